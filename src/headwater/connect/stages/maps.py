"""Singer stream maps, as the Singer SDK defines them, over record batches.

A map names the properties of a stream and what becomes of them: an expression, or null to leave it out. Expressions
see the record as it came. What SQL computes exactly goes through SQL, everything else row by row.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.singer.schema import TYPE_OF_FAMILY, Family
from headwater.connect.stages import python, python_rows, python_sql, sql
from headwater.connect.stages.part import Part, Site, View, Work, all_missing, assembled
from headwater.connect.stages.python import Evaluate, RefusedPythonError
from headwater.connect.stages.python_rows import Resolve, UnknownFieldError, columns_of, fields_of

Tell = Callable[[str], None]


class Expression(Struct, frozen=True):
    text: str
    tree: ast.expr


class StreamMap(Struct, frozen=True):
    """The step. `properties` have an expression, or None to leave them out. `keys` None keeps the stream's own."""

    source: str
    alias: str
    properties: dict[str, Expression | None]
    condition: Expression | None
    others: bool  # whether properties that are not named go on
    keys: tuple[str, ...] | None
    config: dict[str, Any]
    site: Site
    tell: Tell
    # What columns became when a value did not fit, over all schemas of a run.
    widened: dict[str, pa.DataType]

    def ready(self, view: View) -> tuple[View, Work]:
        keys = view.keys if self.keys is None else self.keys
        stay = view.columns.names if self.others else [key for key in keys if key not in self.properties]
        fields: dict[str, pa.Field] = {field.name: field for field in view.columns if field.name in stay}
        computed: dict[str, _Result] = {}
        for name, expression in self.properties.items():
            if expression is None:
                self._leave_out(name, fields, keys, view)
            else:
                self._put(name, expression, fields, computed, view)
        for key in keys:
            if key not in fields:
                self.site.unknown(key, replace(view, columns=pa.schema(list(fields.values()))))
        condition = self._condition(view)
        cursor = view.cursor if view.cursor in fields else None
        out = replace(
            view, stream=self.alias, columns=pa.schema(list(fields.values())), keys=tuple(keys), cursor=cursor
        )

        def work(part: Part) -> Part:
            if condition is not None:
                part = condition(part)
            return self._mapped(part, view, fields, computed, out.keys)

        return out, work

    def _leave_out(self, name: str, fields: dict[str, pa.Field], keys: Sequence[str], view: View) -> None:
        if name in keys:
            self.site.fail(
                "key-column",
                f"`{name}` is a key and can't be left out",
                stream=view.stream,
                hint="name other keys, or none (null), under `__key_properties__`",
            )
        for column in fields_of(name, list(fields)):
            del fields[column]

    def _put(
        self,
        name: str,
        expression: Expression,
        fields: dict[str, pa.Field],
        computed: dict[str, _Result],
        view: View,
    ) -> None:
        """Settle what a property becomes: the columns it is copied from, or one that is computed."""
        tree = self._resolved(expression, view, name)
        source = tree.id[1:] if isinstance(tree, ast.Name) and tree.id.startswith(python_rows.FIELD) else None
        if source is not None and not view.has(source) and name not in fields:
            for column in fields_of(source, view.columns.names):
                inner = name + column[len(source) :]
                fields[inner] = view.field(column).with_name(inner)
                computed[inner] = _Result(copied=column)
            return
        there = fields.get(name)
        if there is None and source is not None and view.has(source):
            there = view.field(source)
        field, family = _typed(expression.text, name, there)
        if source is not None and view.has(source) and field.equals(view.field(source).with_name(name)):
            computed[name] = _Result(copied=source)
        else:
            computed[name] = self._compiled(expression, tree, family, view)
        wider = self.widened.get(name)
        fields[name] = field if wider is None else field.with_type(wider)

    def _compiled(self, expression: Expression, tree: ast.expr, family: Family | None, view: View) -> _Result:
        try:
            evaluate = python.compiled(tree)
        except RefusedPythonError as error:
            self.site.fail(
                "wrong-expression",
                f"`{expression.text}` can't be computed",
                stream=view.stream,
                why=str(error),
                hint=error.hint,
            )
        translated = python_sql.truth(tree, view) if family is None else python_sql.value(tree, view, family)
        bound = None
        if translated is not None:
            try:
                bound = sql.bind(sql.parse(translated), view.columns)
            except sql.RefusedError:
                bound = None
        if bound is None and not isinstance(tree, ast.Constant):
            self.tell(f"{self.site.owner}: `{expression.text}` is computed row by row, which is slow")
        inputs, asks = python_rows.used(tree)
        return _Result(
            text=expression.text,
            evaluate=evaluate,
            family=family or Family.BOOLEAN,
            bound=bound,
            inputs=tuple(inputs),
            asks=asks,
        )

    def _resolved(self, expression: Expression, view: View, own: str | None) -> ast.expr:
        constants = {
            "config": self.config,
            "__stream_name__": self.alias,
            "__original_stream_name__": self.source,
        }
        try:
            # A copy: to resolve changes the tree.
            tree = python.parse(expression.text)
            resolved: ast.expr = Resolve(view.columns.names, constants, own).visit(tree)
        except UnknownFieldError as error:
            self.site.unknown(error.name, view)
        except RefusedPythonError as error:
            self.site.fail(
                "wrong-expression",
                f"`{expression.text}` can't be computed",
                stream=view.stream,
                why=str(error),
                hint=error.hint,
            )
        return resolved

    def _condition(self, view: View) -> Work | None:
        if self.condition is None:
            return None
        result = self._compiled(self.condition, self._resolved(self.condition, view, None), None, view)

        def work(part: Part) -> Part:
            wanted, bad = result.truths(part, view)
            if bad:
                reasons = {row: f"`__filter__: {result.text}`: {reason}" for row, reason in bad.items()}
                stays = pa.array([row not in bad for row in range(part.batch.num_rows)], types.BOOL)
                part, wanted = part.without(reasons), wanted.filter(stays)
            return part.taken(wanted)

        return work

    def _mapped(
        self,
        part: Part,
        view: View,
        fields: Mapping[str, pa.Field],
        computed: Mapping[str, _Result],
        keys: Sequence[str],
    ) -> Part:
        found: dict[str, pa.Array] = {}
        bad: dict[int, str] = {}
        for name, result in computed.items():
            if result.copied is None and name in fields:
                found[name], reasons = result.values(part, view, self.widened.get(name, fields[name].type))
                for row, reason in reasons.items():
                    bad.setdefault(row, f"`{name}: {result.text}`: {reason}")
                if name in keys:
                    for row in pc.indices_nonzero(found[name].is_null()).to_pylist():
                        bad.setdefault(row, f"`{name}: {result.text}`: a key is null")
        whole, part = part, part.without(bad)
        stays = None if part is whole else pa.array([row not in bad for row in range(whole.batch.num_rows)], types.BOOL)
        arrays, out, missing = [], [], {}
        for name, field in fields.items():
            result = computed.get(name) or _Result(copied=name)
            if result.copied is not None:
                array, inputs = part.batch.column(result.copied), [result.copied]
            else:
                array = found[name] if stays is None else found[name].filter(stays)
                inputs = [] if result.asks else columns_of(result.inputs, view.columns.names)
            if array.type != field.type:
                self.widened[name] = array.type
            arrays.append(array)
            out.append(field.with_type(array.type))
            mask = all_missing(part, inputs)
            if mask is not None:
                missing[name] = mask
        if not fields:
            part = part.taken(pa.repeat(pa.scalar(value=False), part.batch.num_rows))
        return replace(part, batch=assembled(out, arrays, part.batch.num_rows), missing=missing)


class _Result(Struct, frozen=True, kw_only=True):
    """Where a column comes from: `copied` from another, or computed."""

    copied: str | None = None
    text: str = ""
    evaluate: Evaluate = lambda _names: None
    family: Family = Family.TEXT
    bound: sql.Bound | None = None
    inputs: tuple[str, ...] = ()
    asks: bool = False  # whether it asks which fields were sent

    def values(self, part: Part, view: View, wanted: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
        def slowly(some: Part) -> tuple[pa.Array, dict[int, str]]:
            rows = python_rows.records(some, view, self.inputs)
            column = python_rows.column(self.evaluate, rows, self.family, wanted)
            return column.array, column.bad

        quick = self.bound if self.bound is not None and self.bound.field.type == wanted else None
        unsent = None if self.asks else all_missing(part, columns_of(self.inputs, view.columns.names))
        if unsent is None:
            return _both(part, quick, slowly)
        # Where nothing was sent there is nothing to compute.
        sent = pc.invert(unsent)
        array, bad = _both(part.taken(sent), quick, slowly)
        rows = pc.indices_nonzero(sent).to_pylist()
        places = pc.subtract(pc.cumulative_sum(sent.cast(types.INT64)), 1)
        spread = array.take(pc.if_else(sent, places, pa.scalar(None, types.INT64)))
        return spread, {rows[row]: reason for row, reason in bad.items()}

    def truths(self, part: Part, view: View) -> tuple[pa.Array, dict[int, str]]:
        def slowly(some: Part) -> tuple[pa.Array, dict[int, str]]:
            return python_rows.truths(self.evaluate, python_rows.records(some, view, self.inputs))

        return _both(part, self.bound, slowly)


def _both(
    part: Part, quick: sql.Bound | None, slowly: Callable[[Part], tuple[pa.Array, dict[int, str]]]
) -> tuple[pa.Array, dict[int, str]]:
    """Rows of which SQL is sure by SQL, the others slowly; in the rows' order."""
    if quick is None:
        return slowly(part)
    plain = _plain(part, quick)
    try:
        if plain is None:
            return sql.evaluate([quick], part.batch)[0], {}
        values = sql.evaluate([quick], part.batch.filter(plain))[0]
    except duckdb.Error:
        return slowly(part)
    other = pc.invert(plain)
    rest, bad = slowly(part.taken(other))
    if rest.type != values.type:
        return slowly(part)
    rows = pc.indices_nonzero(other).to_pylist()
    order = pa.concat_arrays([pc.indices_nonzero(plain), pc.indices_nonzero(other)])
    joined = pa.concat_arrays([values, rest]).take(pc.sort_indices(order))
    return joined, {rows[row]: reason for row, reason in bad.items()}


def _plain(part: Part, bound: sql.Bound) -> pa.Array | None:
    """The rows whose inputs are all there, texts in plain ASCII; None when all rows are."""
    plain: pa.Array | None = None
    for name in bound.inputs:
        array = part.batch.column(name)
        mask = array.is_valid()
        if array.type == types.STRING:
            mask = pc.and_(mask, pc.fill_null(pc.string_is_ascii(array), fill_value=False))
        plain = mask if plain is None else pc.and_(plain, mask)
    return None if plain is None or pc.all(plain).as_py() is not False else plain


def _typed(text: str, name: str, there: pa.Field | None) -> tuple[pa.Field, Family]:
    """The column of an expression's results by the SDK's rules, which look at how its text begins. `there` is the
    column of that name, or the one it is copied from."""
    if text in ("record", "_"):
        return pa.field(name, types.STRING, metadata=JSON_FIELD), Family.JSON
    if text.endswith(".date()"):
        return pa.field(name, types.DATE), Family.DATE
    for start, family in _FAMILY_BY_START:
        if text.startswith(start):
            return pa.field(name, TYPE_OF_FAMILY[family]), family
    if there is None or (text[0] == text[-1] == "'"):
        return pa.field(name, types.STRING), Family.TEXT
    return there.with_name(name), python_rows.family_of(there)


_FAMILY_BY_START = (
    ("float(", Family.NUMBER),
    ("int(", Family.INTEGER),
    ("str(", Family.TEXT),
    ("bool(", Family.BOOLEAN),
    ("json.dumps(", Family.TEXT),
    ("datetime.date.", Family.DATE),
    ("datetime.date(", Family.DATE),
    ("datetime.datetime.", Family.TIMESTAMP),
    ("datetime.datetime(", Family.TIMESTAMP),
)

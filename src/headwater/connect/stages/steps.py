"""The steps of `stages`: what a project file says, and what each does to the rows of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.text import did_you_mean
from headwater.connect import types
from headwater.connect.stages import sql
from headwater.connect.stages.cast import Cast
from headwater.connect.stages.part import Part, Site, Step, View, Work, all_missing, assembled
from headwater.connect.stages.reshape import Route, Routes


class Rename(Struct, frozen=True):
    names: dict[str, str]
    site: Site
    strict: bool

    def ready(self, view: View) -> tuple[View, Work]:
        for old in self.names:
            if self.strict and not view.has(old):
                self.site.unknown(old, view)
        columns = [self.names.get(name, name) for name in view.columns.names]
        taken = next((name for name in columns if columns.count(name) > 1), None)
        if taken is not None:
            self.site.fail("column-name-taken", f"two columns would be called `{taken}`", stream=view.stream)
        fields = [field.with_name(name) for field, name in zip(view.columns, columns, strict=True)]
        new = dict(zip(view.columns.names, columns, strict=True))

        def work(part: Part) -> Part:
            return replace(
                part,
                batch=assembled(fields, part.batch.columns, part.batch.num_rows),
                missing={new[name]: mask for name, mask in part.missing.items()},
                repaired={new[name]: count for name, count in part.repaired.items() if name in new},
            )

        return (
            replace(
                view,
                columns=pa.schema(fields),
                keys=tuple(new[key] for key in view.keys),
                cursor=new[view.cursor] if view.cursor else None,
            ),
            work,
        )


class Drop(Struct, frozen=True):
    names: tuple[str, ...]
    site: Site
    strict: bool

    def ready(self, view: View) -> tuple[View, Work]:
        for name in self.names:
            if self.strict and not view.has(name):
                self.site.unknown(name, view)
            if name in view.keys:
                self.site.fail(
                    "key-column", f"`{name}` is a key of the stream and can't be dropped", stream=view.stream
                )
        fields = [field for field in view.columns if field.name not in self.names]

        def work(part: Part) -> Part:
            return replace(part, batch=_only(part.batch, fields), missing=_known(part, fields))

        cursor = None if view.cursor in self.names else view.cursor
        return replace(view, columns=pa.schema(fields), cursor=cursor), work


class Filter(Struct, frozen=True):
    """Keeps the rows for which the expression is true."""

    expression: sql.Parsed
    site: Site

    def ready(self, view: View) -> tuple[View, Work]:
        bound = bind(self.expression, view, self.site)
        if bound.field.type != types.BOOL:
            self.site.fail(
                "wrong-expression",
                f"`{self.expression.text}` is a `{bound.field.type}`, not true or false",
                stream=view.stream,
            )

        def work(part: Part) -> Part:
            part, (wanted,) = evaluated(part, [bound], [f"filter `{self.expression.text}`"])
            return part.taken(pc.fill_null(wanted, False))

        return view, work


class Compute(Struct, frozen=True):
    """Columns by expressions, all of which see the columns as they were before the step. A column of the same name is
    replaced in its place. Where none of the columns that an expression reads was sent, its column counts as not sent.
    """

    expressions: dict[str, sql.Parsed]
    site: Site

    def ready(self, view: View) -> tuple[View, Work]:
        bounds: dict[str, sql.Bound] = {}
        for name, expression in self.expressions.items():
            if name in view.keys:
                self.site.fail(
                    "key-column", f"`{name}` is a key of the stream and can't be computed", stream=view.stream
                )
            bounds[name] = bind(expression, view, self.site)
        new = {name: bound.field.with_name(name) for name, bound in bounds.items()}
        fields = [new.get(field.name, field) for field in view.columns]
        fields += [field for name, field in new.items() if not view.has(name)]

        def work(part: Part) -> Part:
            said = [f"compute `{name}: {self.expressions[name].text}`" for name in bounds]
            part, values = evaluated(part, list(bounds.values()), said)
            computed = dict(zip(bounds, values, strict=True))
            missing = {name: mask for name, mask in part.missing.items() if name not in computed}
            for name, bound in bounds.items():
                mask = all_missing(part, bound.inputs)
                if mask is not None:
                    missing[name] = mask
            arrays = [
                computed[field.name] if field.name in computed else part.batch.column(field.name) for field in fields
            ]
            return replace(part, batch=assembled(fields, arrays, part.batch.num_rows), missing=missing)

        return replace(view, columns=pa.schema(fields)), work


def bind(expression: sql.Parsed, view: View, site: Site) -> sql.Bound:
    try:
        return sql.bind(expression, view.columns)
    except sql.RefusedError as error:
        if error.column is not None:
            site.unknown(error.column, view)
        site.fail("wrong-expression", f"`{expression.text}` can't be computed", stream=view.stream, why=str(error))


def evaluated(part: Part, bounds: Sequence[sql.Bound], said: Sequence[str]) -> tuple[Part, list[pa.Array]]:
    """The expressions' values. Rows on which one of them fails are bad, and left out."""
    try:
        return part, sql.evaluate(bounds, part.batch)
    except duckdb.Error:
        bad: dict[int, str] = {}
        for bound, text in zip(bounds, said, strict=True):
            for row, reason in sql.failures(bound, part.batch).items():
                bad.setdefault(row, f"{text}: {reason}")
        if not bad:
            raise
    part = part.without(bad)
    return part, sql.evaluate(bounds, part.batch)


def _only(batch: pa.RecordBatch, fields: Sequence[pa.Field]) -> pa.RecordBatch:
    return assembled(fields, [batch.column(field.name) for field in fields], batch.num_rows)


def _known(part: Part, fields: Sequence[pa.Field]) -> dict[str, pa.Array]:
    names = {field.name for field in fields}
    return {name: mask for name, mask in part.missing.items() if name in names}


# What the project file says -------------------------------------------------------------------------------------------


def routes(stages: Any, site: Site) -> Routes:
    """`stages` of a mapper as routes: every pattern that matches a stream adds its steps, in the file's order. Raises
    InputError for what can be known to be wrong before a stream has come."""
    if not isinstance(stages, dict):
        site.fail("wrong-stage", "`stages` must be a mapping of stream names to lists of steps")
    patterns = {str(pattern): _steps(str(pattern), given, site) for pattern, given in stages.items()}

    def routes_of(stream: str) -> Sequence[Route]:
        name = stream
        steps: list[Step] = []
        for pattern, (added, rename) in patterns.items():
            if fnmatchcase(stream, pattern):
                steps += added
                name = name if rename is None else rename.replace("{stream}", name)
        return [Route(name, tuple(steps))]

    return routes_of


def _steps(pattern: str, given: Any, site: Site) -> tuple[list[Step], str | None]:
    """The steps of a pattern, and the stream's new name if they give one."""
    site = replace(site, pattern=pattern)
    if not isinstance(given, list):
        site.fail("wrong-stage", "it must be a list of steps", hint="write `- rename: {old: new}` below it")
    steps: list[Step] = []
    rename = None
    for number, item in enumerate(given, 1):
        here = replace(site, step=f"step {number}")
        if not isinstance(item, dict) or len(item) != 1:
            here.fail("wrong-stage", "a step has one word and what it is to do, like `drop: [column]`")
        ((word, value),) = item.items()
        here = replace(here, step=f"step {number} (`{word}`)")
        if word == "rename_stream":
            if not isinstance(value, str) or not value:
                here.fail("wrong-stage", "it must be a name; `{stream}` in it stands for the name so far")
            rename = value.replace("{stream}", rename or "{stream}")
        elif word in _MAKERS:
            steps.append(_MAKERS[word](value, here, not _is_pattern(pattern)))
        else:
            guess = did_you_mean(str(word), [*_MAKERS, "rename_stream"])
            here.fail(
                "unknown-step",
                f"there is no step `{word}`",
                hint=f"did you mean `{guess}`?" if guess else f"there are: {', '.join(_MAKERS)}, rename_stream",
            )
    return steps, rename


def _is_pattern(text: str) -> bool:
    """Steps for many streams leave alone what one of them does not have."""
    return any(mark in text for mark in "*?[")


def _mapping(value: Any, site: Site) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        site.fail("wrong-stage", "it must be a mapping like `{column: …}`")
    for name, text in value.items():
        if not isinstance(text, str | int | float | bool):
            site.fail("wrong-stage", f"what it says for `{name}` must be text")
    return {str(name): _text(text) for name, text in value.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rename(value: Any, site: Site, strict: bool) -> Step:
    return Rename(_mapping(value, site), site, strict)


def _cast(value: Any, site: Site, strict: bool) -> Step:
    step = Cast(_mapping(value, site), site, strict)
    step.check()
    return step


def _filter(value: Any, site: Site, _strict: bool) -> Step:
    if not isinstance(value, str | bool):
        site.fail("wrong-stage", "it must be a SQL expression")
    return Filter(_parsed(_text(value), site), site)


def _compute(value: Any, site: Site, _strict: bool) -> Step:
    return Compute({name: _parsed(text, site) for name, text in _mapping(value, site).items()}, site)


def _drop(value: Any, site: Site, strict: bool) -> Step:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        site.fail("wrong-stage", "it must be a list of columns")
    return Drop(tuple(names), site, strict)


def _parsed(text: str, site: Site) -> sql.Parsed:
    try:
        return sql.parse(text)
    except sql.RefusedError as error:
        site.fail("wrong-expression", f"`{text}` can't be computed", why=str(error), hint=error.hint)


_MAKERS: dict[str, Callable[[Any, Site, bool], Step]] = {
    "rename": _rename,
    "cast": _cast,
    "filter": _filter,
    "compute": _compute,
    "drop": _drop,
}

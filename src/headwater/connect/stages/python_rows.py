"""A stream's rows as the records that Python expressions of stream maps see, and their results as columns.

A record is what the Singer SDK would see, as far as the rows still tell: numbers with a fraction are exact decimals,
JSON is objects and lists, instants are texts like `2024-01-31T10:00:00.000000Z`. Columns `a__b` are also the object
`a`, which is null where all of them are. A field that was not sent is null.
"""

from __future__ import annotations

import ast
import base64
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.connect import types
from headwater.connect.singer import values
from headwater.connect.singer.schema import SEPARATOR, Family
from headwater.connect.stages.part import Part, View
from headwater.connect.stages.python import Evaluate, RefusedPythonError
from headwater.connect.stages.python_operators import EvaluationError

# Names of a resolved expression: a field's value, whether it was sent, and the whole record.
FIELD, SENT, RECORD = "=", "?", "*"

_JSON = msgspec.json.Decoder(float_hook=Decimal)
_TOKEN = msgspec.json.Encoder(decimal_format="number")


class UnknownFieldError(RefusedPythonError):
    def __init__(self, name: str) -> None:
        super().__init__(f"there is no field `{name}`")
        self.name = name


def fields_of(name: str, columns: Sequence[str]) -> list[str]:
    """The columns that make up a field of the record: itself, or those that an object was flattened into."""
    return [name] if name in columns else [column for column in columns if column.startswith(name + SEPARATOR)]


class Resolve(ast.NodeTransformer):
    """Settles what the names of an expression mean, for one stream: afterwards it names fields (`FIELD`, `SENT`), the
    whole `RECORD`, functions, and what a comprehension binds, and nothing else. Raises UnknownFieldError."""

    def __init__(self, columns: Sequence[str], constants: Mapping[str, Any], own: str | None) -> None:
        self._columns = columns
        self._constants = constants
        self._own = own
        self._bound: set[str] = set()

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        key = _constant_text(node.slice)
        if _is_record(node.value) and key is not None:
            return self._field(key)
        if key is not None and isinstance(node.value, ast.Name) and node.value.id == "config":
            config = self._constants["config"]
            if key not in config:
                raise RefusedPythonError(f"`stream_map_config` has no `{key}`")
            return ast.Constant(config[key])
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._field(node.attr) if _is_record(node.value) else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and _is_record(node.func.value) and node.func.attr == "get":
            key = _constant_text(node.args[0]) if node.args else None
            if key is not None and len(node.args) < 3 and not node.keywords:
                default = self.visit(node.args[1]) if len(node.args) > 1 else ast.Constant(None)
                return default if not fields_of(key, self._columns) else self._sent_or(key, default)
        if isinstance(node.func, ast.Name):
            node.args = [self.visit(argument) for argument in node.args]
            node.keywords = [self.visit(word) for word in node.keywords]
            return node
        if isinstance(node.func, ast.Attribute) and _is_record(node.func.value):
            node.func.value = ast.Name(RECORD, ast.Load())
            node.args = [self.visit(argument) for argument in node.args]
            return node
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        key = _constant_text(node.left)
        if key is not None and isinstance(node.ops[0], ast.In | ast.NotIn) and _is_record(node.comparators[0]):
            known = bool(fields_of(key, self._columns))
            sent: ast.expr = ast.Name(SENT + key, ast.Load()) if known else ast.Constant(value=False)
            return sent if isinstance(node.ops[0], ast.In) else ast.UnaryOp(ast.Not(), sent)
        return self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        name = node.id
        if isinstance(node.ctx, ast.Store) or name in self._bound:
            return node
        if name in ("_", "record"):
            return ast.Name(RECORD, ast.Load())
        if name == "self":
            if self._own is None or not fields_of(self._own, self._columns):
                raise RefusedPythonError("`self` is the field that is mapped, and the stream has no such field")
            return self._field(self._own)
        if name in self._constants:
            return ast.Constant(self._constants[name])
        if name in ("fake", "Faker"):
            raise RefusedPythonError(
                "made-up values (`fake`) are not supported", hint="use the mapper's public variant: variant: meltano"
            )
        if name in ("datetime", "json") and not fields_of(name, self._columns):
            return node
        return self._field(name)

    def _comprehension(self, node: Any) -> ast.AST:
        before = self._bound
        first = node.generators[0]
        source = self.visit(first.iter)
        self._bound = before | {first.target.id} if isinstance(first.target, ast.Name) else before
        made = self.generic_visit(node)
        first.iter = source
        self._bound = before
        return made

    def _field(self, name: str) -> ast.expr:
        if not fields_of(name, self._columns):
            raise UnknownFieldError(name)
        return ast.Name(FIELD + name, ast.Load())

    def _sent_or(self, key: str, default: ast.expr) -> ast.expr:
        return ast.IfExp(ast.Name(SENT + key, ast.Load()), self._field(key), default)


def _is_record(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("_", "record")


def _constant_text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def used(tree: ast.expr) -> tuple[list[str], bool]:
    """The fields a resolved expression reads, and whether it asks what was sent. `RECORD` stands for all."""
    names = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    fields = [name[1:] or RECORD for name in names if name[:1] in (FIELD, SENT, RECORD)]
    return list(dict.fromkeys(fields)), any(name.startswith((SENT, RECORD)) for name in names)


def columns_of(fields: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns behind the fields of `used`."""
    if RECORD in fields:
        return list(columns)
    return list(dict.fromkeys(column for field in fields for column in fields_of(field, columns)))


# Records --------------------------------------------------------------------------------------------------------------


def records(part: Part, view: View, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The names of a resolved expression with their values, row after row."""
    names = view.columns.names
    wanted = columns_of(fields, names)
    decoded = {name: _objects(part.batch.column(name), view.field(name)) for name in wanted}
    sent = {name: mask.to_pylist() for name, mask in part.missing.items() if name in wanted}
    for row in range(part.batch.num_rows):
        found: dict[str, Any] = {}
        for field in fields:
            if field == RECORD:
                found[RECORD] = _record(decoded, sent, row)
                continue
            parts = fields_of(field, names)
            found[SENT + field] = not all(name in sent and sent[name][row] for name in parts)
            if parts == [field]:
                found[FIELD + field] = decoded[field][row]
            else:
                found[FIELD + field] = _object({name[len(field) + 2 :]: decoded[name][row] for name in parts})
        yield found


def _record(decoded: Mapping[str, list[Any]], sent: Mapping[str, list[bool]], row: int) -> dict[str, Any]:
    present = {name: column[row] for name, column in decoded.items() if not (name in sent and sent[name][row])}
    return _nested(present)


def _object(flat: dict[str, Any]) -> dict[str, Any] | None:
    return None if all(value is None for value in flat.values()) else _nested(flat)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(SEPARATOR)
        inner = tree
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                break
        else:
            inner[last] = value
            continue
        tree[name] = value
    return tree


def _objects(array: pa.Array, field: pa.Field) -> list[Any]:
    if types.is_json(field):
        return [None if text is None else _JSON.decode(text) for text in array.to_pylist()]
    match types.kind(field.type):
        case "float64":
            return [None if value is None else _decimal(value) for value in array.to_pylist()]
        case "decimal" if field.type.scale == 0:
            return [None if value is None else int(value) for value in array.to_pylist()]
        case "timestamp" | "date32" | "time64":
            texts: list[Any] = types.cast(array, types.STRING).to_pylist()
            return texts
        case "binary":
            return [None if value is None else base64.b64encode(value).decode() for value in array.to_pylist()]
    plain: list[Any] = array.to_pylist()
    return plain


def _decimal(value: float) -> Decimal | float:
    """The number as it stood in the source's JSON; NaN and infinities are none."""
    return Decimal(repr(value)) if value - value == 0 else value


# Results --------------------------------------------------------------------------------------------------------------


class Column(Struct, frozen=True):
    """A column of results. `bad` says by row why there is none."""

    array: pa.Array
    bad: dict[int, str]


def column(evaluate: Evaluate, rows: Iterator[dict[str, Any]], family: Family, wanted: pa.DataType) -> Column:
    """The expression's values as the type wanted, or the next wider one that holds them all."""
    tokens: list[bytes] = []
    bad: dict[int, str] = {}
    for row, names in enumerate(rows):
        try:
            tokens.append(_token(evaluate(names)))
        except (EvaluationError, TypeError, ValueError, OverflowError) as error:
            bad[row] = str(error)
            tokens.append(b"null")
    fitted = values.from_tokens(family, wanted, tokens, exact=False, loose=True, marked=False)
    return Column(fitted.array, {**(fitted.bad or {}), **bad})


def truths(evaluate: Evaluate, rows: Iterator[dict[str, Any]]) -> tuple[pa.Array, dict[int, str]]:
    """Whether the expression's value counts as true, row by row."""
    found: list[bool] = []
    bad: dict[int, str] = {}
    for row, names in enumerate(rows):
        try:
            found.append(bool(evaluate(names)))
        except EvaluationError as error:
            bad[row] = str(error)
            found.append(False)
    return pa.array(found, types.BOOL), bad


def _token(value: Any) -> bytes:
    if isinstance(value, dt.date | dt.time):
        value = value.isoformat()
    elif isinstance(value, bytes):
        raise TypeError("the value is bytes, which JSON has no word for")
    return _TOKEN.encode(value)


def family_of(field: pa.Field) -> Family:
    """The family of a column that is there already."""
    if types.is_json(field):
        return Family.JSON
    return _FAMILIES.get(types.kind(field.type), Family.TEXT)


_FAMILIES = {
    "bool": Family.BOOLEAN,
    "int64": Family.INTEGER,
    "float64": Family.NUMBER,
    "decimal": Family.NUMBER,
    "date32": Family.DATE,
    "time64": Family.TIME,
    "timestamp": Family.TIMESTAMP,
}

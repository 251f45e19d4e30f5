"""JSON Schema to columns and back.

A schema of a tap is any JSON Schema. Reading it answers one question per property: which column type holds all that
may come? Formats only hint: a column leaves them behind at the first value that does not follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import JSON_FIELD

SEPARATOR = "__"
FLATTEN_DEPTH = 5
# The JSON Schema of a JSON column that came with one, for who writes it as Singer again.
_STATED = b"headwater.schema"

JsonSchema = Mapping[str, Any]


class Family(StrEnum):
    """What a property's values are by their schema. It stays when the column's type widens."""

    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"  # numbers sent as text
    BOOLEAN = "boolean"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TIME = "time"
    JSON = "json"
    NULL = "null"  # nothing but null was announced; whatever comes is kept as text


TYPE_OF_FAMILY: Mapping[Family, pa.DataType] = {
    Family.INTEGER: types.INT64,
    Family.NUMBER: types.FLOAT64,
    Family.DECIMAL: pa.decimal128(38, 9),
    Family.BOOLEAN: types.BOOL,
    Family.TEXT: types.STRING,
    Family.TIMESTAMP: types.TIMESTAMP,
    Family.DATE: types.DATE,
    Family.TIME: types.TIME,
    Family.JSON: types.STRING,
    Family.NULL: types.STRING,
}
_FAMILY_OF_FORMAT = {
    "date-time": Family.TIMESTAMP,
    "date": Family.DATE,
    "time": Family.TIME,
    "x-singer.decimal": Family.DECIMAL,
    "singer.decimal": Family.DECIMAL,
}
_FAMILY_OF_TYPE = {"integer": Family.INTEGER, "number": Family.NUMBER, "boolean": Family.BOOLEAN, "null": Family.NULL}
# Several families in one property: the first row that holds them all. What no row holds is text.
_FAMILY_OF_MIX: tuple[tuple[frozenset[Family], Family], ...] = (
    (frozenset({Family.INTEGER, Family.NUMBER}), Family.NUMBER),
    (frozenset({Family.INTEGER, Family.NUMBER, Family.DECIMAL}), Family.DECIMAL),
    (frozenset({Family.DATE, Family.TEXT}), Family.DATE),
    (frozenset({Family.TIME, Family.TEXT}), Family.TIME),
    (frozenset({Family.TIMESTAMP, Family.DATE, Family.TEXT}), Family.TIMESTAMP),
)


class Leaf(Struct, frozen=True):
    """A property that becomes a column: the names that lead to it, its family and the type to begin with. `stated` is
    the schema of an object or array that nobody wants flattened, to be handed on with it; `items` is set for a JSON
    column that is only ever to hold lists of single values of one type: that list type, loosely."""

    path: tuple[str, ...]
    family: Family
    type: pa.DataType
    stated: bytes = b""
    items: pa.DataType | None = None


def leaves(schema: JsonSchema, *, whole: Collection[str] = (), depth: int = FLATTEN_DEPTH) -> list[Leaf]:
    """The columns of a stream, in the schema's order.

    Objects with properties flatten, `depth` levels of them; deeper ones, and the top-level properties in `whole`,
    stay one JSON column. Raises RunFailedError (`bad-schema`) when the schema describes no object, or refers to
    something that is not in it. Nothing is ever fetched.
    """
    alternatives = [shape for shape in _alternatives(schema, schema, ()) if "properties" in shape]
    if not alternatives:
        raise RunFailedError(
            "bad-schema",
            "the stream's schema has no `properties`",
            hint="the tap must describe its records; report it to the tap's author",
        )
    found: list[Leaf] = []
    for name, member in _properties(alternatives).items():
        found.extend(_leaves((name,), member, schema, 0 if name in whole else depth))
        if not depth and found[-1].family is Family.JSON:
            text = msgspec.json.encode(member)
            # What a reference refers to is not in the text.
            found[-1] = replace(found[-1], stated=b"" if b'"$ref"' in text else text)
    return found


def required(schema: JsonSchema) -> frozenset[str]:
    """Top-level properties every record must have."""
    names = schema.get("required")
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def json_schema(columns: pa.Schema) -> dict[str, Any]:
    """The JSON Schema of a stream with these columns; every one of them may be null."""
    return {"type": "object", "properties": {column.name: _property(column) for column in columns}}


def _property(column: pa.Field) -> dict[str, Any]:
    if types.is_json(column):
        stated = column.metadata.get(_STATED)
        if stated is not None:
            return dict(msgspec.json.decode(stated))
        return {"type": ["null", "object", "array", "string", "number", "boolean"]}
    match types.kind(column.type):
        case "bool":
            return {"type": ["null", "boolean"]}
        case "int64":
            return {"type": ["null", "integer"]}
        case "float64":
            return {"type": ["null", "number"]}
        case "decimal" if column.type.scale == 0:
            return {"type": ["null", "integer"]}
        case "decimal":
            return {"type": ["null", "number"], "precision": column.type.precision, "scale": column.type.scale}
        case "date32":
            return {"type": ["null", "string"], "format": "date"}
        case "time64":
            return {"type": ["null", "string"], "format": "time"}
        case "timestamp":
            return {"type": ["null", "string"], "format": "date-time"}
        case "binary":
            return {"type": ["null", "string"], "contentEncoding": "base64"}
    return {"type": ["null", "string"]}


def _properties(shapes: Iterable[JsonSchema]) -> dict[str, Any]:
    """The properties of several alternatives: a property known to more than one of them may be either."""
    merged: dict[str, Any] = {}
    for shape in shapes:
        for name, member in (shape.get("properties") or {}).items():
            merged[name] = {"anyOf": [merged[name], member]} if name in merged else member
    return merged


def _leaves(path: tuple[str, ...], schema: Any, root: JsonSchema, depth: int) -> Iterator[Leaf]:
    shapes = list(_alternatives(schema, root, ()))
    objects = [shape for shape in shapes if shape.get("type") == "object"]
    others = [shape for shape in shapes if shape.get("type") not in ("object", "null")]
    if depth > 0 and len(objects) == 1 and not others and objects[0].get("properties"):
        for name, member in objects[0]["properties"].items():
            yield from _leaves((*path, name), member, root, depth - 1)
        return
    families = {_family(shape) for shape in shapes}
    family = _one_family(families)
    yield Leaf(path, family, _initial_type(family, shapes), items=_list(shapes, root))


def _list(shapes: Iterable[JsonSchema], root: JsonSchema) -> pa.DataType | None:
    lists = [shape for shape in shapes if shape.get("type") != "null"]
    if not lists or any(shape.get("type") != "array" or "items" not in shape for shape in lists):
        return None
    kinds = {str(one.get("type")) for shape in lists for one in _alternatives(shape["items"], root, ())} - {"null"}
    if kinds <= {"integer", "number"} and kinds:
        return pa.list_(types.FLOAT64)
    return {"string": pa.list_(types.STRING), "boolean": pa.list_(types.BOOL)}.get(", ".join(kinds))


def _one_family(families: set[Family]) -> Family:
    """The family that keeps the values of all of them."""
    real = families - {Family.NULL}
    if not families or Family.JSON in real:
        return Family.JSON
    if len(real) < 2:
        return next(iter(real), Family.NULL)
    for mix, family in _FAMILY_OF_MIX:
        if real <= mix:
            return family
    return Family.TEXT


def _family(shape: JsonSchema) -> Family:
    kind = shape.get("type")
    if kind in ("string", "number") and shape.get("format") in _FAMILY_OF_FORMAT:
        return _FAMILY_OF_FORMAT[shape["format"]]
    if kind == "string":
        return Family.TEXT
    return _FAMILY_OF_TYPE.get(str(kind), Family.JSON)


def _initial_type(family: Family, shapes: Iterable[JsonSchema]) -> pa.DataType:
    """A number that states its decimal places is a decimal from the start."""
    if family in (Family.NUMBER, Family.DECIMAL):
        for shape in shapes:
            precision, scale = shape.get("precision"), shape.get("scale")
            if isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision and precision > 0:
                return pa.decimal128(precision, scale) if precision <= 38 else types.STRING
            places = _decimal_places(shape.get("multipleOf"))
            if places is not None:
                return pa.decimal128(38, places)
    return TYPE_OF_FAMILY[family]


def _decimal_places(multiple: object) -> int | None:
    """`0.01` → 2. Databases without a limit announce 38 places and more; those columns decide by their values."""
    if not isinstance(multiple, int | float) or multiple <= 0:
        return None
    sign, digits, exponent = Decimal(str(multiple)).normalize().as_tuple()
    places = -exponent if isinstance(exponent, int) else 0
    return places if (sign, digits) == (0, (1,)) and 0 < places <= 18 else None


def _alternatives(schema: Any, root: JsonSchema, seen: tuple[str, ...]) -> Iterator[JsonSchema]:
    """The schema as schemas of one `type` each; one without `type` allows anything."""
    if not isinstance(schema, Mapping):
        yield {}
        return
    if isinstance(schema.get("$ref"), str):
        reference = schema["$ref"]
        if reference in seen:  # a schema that contains itself has no end: JSON
            yield {}
            return
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        yield from _alternatives({**_resolve(reference, root), **rest}, root, (*seen, reference))
        return
    for word in ("allOf", "anyOf", "oneOf"):
        members = schema.get(word)
        if isinstance(members, list) and members:
            base = {name: value for name, value in schema.items() if name != word}
            for together in [members] if word == "allOf" else [[member] for member in members]:
                references = {
                    str(member["$ref"]) for member in together if isinstance(member, Mapping) and "$ref" in member
                }
                if references & set(seen):
                    yield {}
                else:
                    yield from _alternatives(_all_of([base, *together], root), root, (*seen, *sorted(references)))
            return
    kinds = schema.get("type", _inferred_types(schema))
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        yield {**schema, "type": kind} if isinstance(kind, str) else {}


def _all_of(members: list[Any], root: JsonSchema) -> dict[str, Any]:
    """One schema that says what all of them say; of two types the later counts."""
    merged: dict[str, Any] = {}
    for member in members:
        if not isinstance(member, Mapping):
            continue
        stated = {name: value for name, value in member.items() if name != "$ref"}
        if isinstance(member.get("$ref"), str):
            stated = {**_resolve(member["$ref"], root), **stated}
        properties = {**(merged.get("properties") or {}), **(stated.get("properties") or {})}
        merged |= stated
        if properties:
            merged["properties"] = properties
    return merged


def _inferred_types(schema: JsonSchema) -> Sequence[str | None]:
    """The types of a schema that does not say: by its values, else by its other words."""
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
    if values:
        return sorted({_type_of(value) for value in values})
    for word, kind in (("properties", "object"), ("items", "array"), ("format", "string"), ("multipleOf", "number")):
        if word in schema:
            return [kind]
    return [None]


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    for python, kind in ((int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, python):
            return kind
    return "null"


def _resolve(reference: str, root: JsonSchema) -> dict[str, Any]:
    if not reference.startswith("#"):
        raise RunFailedError(
            "bad-schema",
            f"the schema refers to `{reference}`, which is outside of it",
            why="a schema is never fetched from elsewhere",
            hint="let the tap resolve its references before it sends the schema",
        )
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            raise RunFailedError("bad-schema", f"the schema refers to `{reference}`, which it does not define")
        found = found[name]
    return dict(found) if isinstance(found, Mapping) else {}


def field(name: str, family: Family, current: pa.DataType, first: pa.DataType, stated: bytes = b"") -> pa.Field:
    """The column as the contract wants it: JSON marked, and the declared type named when a value widened it."""
    if family is Family.JSON:
        return pa.field(name, current, metadata={**JSON_FIELD, _STATED: stated} if stated else JSON_FIELD)
    if family is Family.NULL or current != first:
        first_type = "null" if family is Family.NULL else str(first)
        return pa.field(name, current, metadata={types.DECLARED: first_type.encode()})
    return pa.field(name, current)

"""The step `cast`: columns in another type, exactly. A value that would have to change to fit makes its row bad."""

from __future__ import annotations

import re

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.base.text import did_you_mean
from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.singer import numeric, temporal
from headwater.connect.stages.part import Part, Site, View, Work, assembled

_TYPES: dict[str, pa.DataType] = {
    "boolean": types.BOOL,
    "bool": types.BOOL,
    "integer": types.INT64,
    "int": types.INT64,
    "bigint": types.INT64,
    "number": types.FLOAT64,
    "double": types.FLOAT64,
    "float": types.FLOAT64,
    "string": types.STRING,
    "text": types.STRING,
    "varchar": types.STRING,
    "json": types.STRING,
    "date": types.DATE,
    "time": types.TIME,
    "timestamp": types.TIMESTAMP,
}
_DECIMAL = re.compile(r"(?:decimal|numeric)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", re.ASCII)


def field(name: str, text: str) -> pa.Field | None:
    """The column that `cast: {name: text}` asks for; None when there is no such type."""
    word = " ".join(text.lower().split())
    match = _DECIMAL.fullmatch(word)
    if match is not None:
        precision, scale = int(match[1] or 38), int(match[2] or (0 if match[1] else 9))
        return pa.field(name, pa.decimal128(precision, scale)) if 0 < precision <= 38 and scale <= precision else None
    if word not in _TYPES:
        return None
    return pa.field(name, _TYPES[word], metadata=JSON_FIELD if word == "json" else None)


class Cast(Struct, frozen=True):
    """`strict` refuses columns that the stream does not have; else they are left out."""

    types: dict[str, str]
    site: Site
    strict: bool

    def check(self) -> None:
        """Raise InputError for a type that there is not."""
        for name, text in self.types.items():
            if field(name, text) is None:
                guess = did_you_mean(text.split("(")[0].lower(), [*_TYPES, "decimal"])
                self.site.fail(
                    "unknown-type",
                    f"`{text}`, the type for `{name}`, is not known",
                    hint=f"did you mean `{guess}`?" if guess else f"there are: decimal(p,s), {', '.join(_TYPES)}",
                )

    def ready(self, view: View) -> tuple[View, Work]:
        wanted: dict[str, pa.Field] = {}
        for name, text in self.types.items():
            if view.has(name):
                made = field(name, text)
                assert made is not None
                wanted[name] = made
            elif self.strict:
                self.site.unknown(name, view)
        fields = [wanted.get(old.name, old) for old in view.columns]

        def work(part: Part) -> Part:
            bad: dict[int, str] = {}
            for name, to in wanted.items():
                bad |= _failures(part.batch.column(name), view.field(name), to)
            part = part.without(bad)
            batch = part.batch
            arrays = [
                _exactly(batch.column(i), old, new)
                for i, (old, new) in enumerate(zip(view.columns, fields, strict=True))
            ]
            return msgspec.structs.replace(part, batch=assembled(fields, arrays, batch.num_rows))

        return msgspec.structs.replace(view, columns=pa.schema(fields)), work


def _failures(array: pa.Array, old: pa.Field, new: pa.Field) -> dict[int, str]:
    """The rows whose value does not survive the cast."""
    found: dict[int, str] = {}

    def look(start: int, count: int) -> None:
        try:
            _exactly(array.slice(start, count), old, new)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
            if count == 1:
                stated = "json" if types.is_json(new) else str(new.type)
                found[start] = f"the value of `{new.name}` can't be a `{stated}` exactly"
            else:
                look(start, count // 2)
                look(start + count // 2, count - count // 2)

    if len(array):
        look(0, len(array))
    return found


def _exactly(array: pa.Array, old: pa.Field, new: pa.Field) -> pa.Array:
    """Raises ValueError (pa.ArrowInvalid is one) when a value does not survive."""
    if old is new or (old.type == new.type and types.is_json(old) == types.is_json(new)):
        return array
    if types.is_json(new):
        return _json(array, old)
    if old.type == types.STRING:
        return _from_text(array, new.type)
    if types.kind(old.type) == "timestamp" and new.type == types.DATE:
        days = array.cast(types.DATE)
        _same(days.cast(types.TIMESTAMP), array)
        return days
    return types.cast(array, new.type)


def _from_text(array: pa.Array, to: pa.DataType) -> pa.Array:
    made: pa.Array | None
    match types.kind(to):
        case "string":
            return array
        case "bool":
            made = array.cast(to) if pc.all(pc.is_in(array.drop_null(), _BOOLEANS)).as_py() is not False else None
        case "date32":
            made = temporal.dates(array)
        case "time64":
            made = temporal.times(array)
        case "timestamp":
            made, _ = temporal.timestamps(array, exact=True)
        case _:
            made = numeric.exactly(array, to)
    if made is None:
        raise ValueError("a text is something else")
    return made


_BOOLEANS = pa.array(["true", "false"])


def _json(array: pa.Array, old: pa.Field) -> pa.Array:
    """A text must be JSON already; what is no text becomes the JSON it is."""
    if old.type == types.STRING:
        # map is a loop in C: no bytecode runs per value.
        list(map(msgspec.json.decode, array.drop_null().to_pylist()))
        return array
    strings = types.cast(array, types.STRING)
    return strings if types.kind(old.type) in ("bool", "int64", "float64", "decimal") else _quoted(strings)


def _quoted(strings: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', strings, '"', "")


def _same(one: pa.Array, other: pa.Array) -> None:
    if pc.all(pc.equal(one, other)).as_py() is False:
        raise ValueError("a value changed")

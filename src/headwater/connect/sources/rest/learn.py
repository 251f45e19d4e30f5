"""The columns of records that nothing is known of: the narrowest types that hold each value exactly.

Objects flatten to `a__b`, as many levels as everywhere; lists, deeper objects and what is an object here and something
else there are JSON. ISO dates and timestamps are such columns when all values are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import methodcaller

import msgspec
import pyarrow as pa
from msgspec import Raw

from headwater.connect import types
from headwater.connect.singer.schema import FLATTEN_DEPTH, Family, Leaf
from headwater.connect.sources import text_types
from headwater.connect.sources.rest.spec import decimal_of
from headwater.connect.sources.text_types import Kind

_MEMBERS = msgspec.json.Decoder(list[dict[str, Raw]])
_TEXTS = msgspec.json.Decoder(list[str])
_ABSENT = Raw(b"null")
_FAMILY_OF_KIND = {
    Kind.BOOL: Family.BOOLEAN,
    Kind.DATE: Family.DATE,
    Kind.TIMESTAMP: Family.TIMESTAMP,
    Kind.TEXT: Family.TEXT,
}
_DECLARED = {
    "integer": (Family.INTEGER, types.INT64),
    "number": (Family.NUMBER, types.FLOAT64),
    "boolean": (Family.BOOLEAN, types.BOOL),
    "string": (Family.TEXT, types.STRING),
    "date": (Family.DATE, types.DATE),
    "time": (Family.TIME, types.TIME),
    "timestamp": (Family.TIMESTAMP, types.TIMESTAMP),
    "json": (Family.JSON, types.STRING),
}


def declared(path: str, kind: str) -> Leaf:
    """A column as the source's `columns` say: a dotted path and a type."""
    if (digits := decimal_of(kind)) is not None:
        return Leaf(tuple(path.split(".")), Family.DECIMAL, pa.decimal128(*digits))
    family, column_type = _DECLARED[kind]
    return Leaf(tuple(path.split(".")), family, column_type)


def kept(path: tuple[str, ...], field: pa.Field) -> Leaf:
    """A column as it is known from an earlier run."""
    if types.is_json(field):
        return Leaf(path, Family.JSON, types.STRING)
    if pa.types.is_decimal(field.type):
        return Leaf(path, Family.DECIMAL, field.type)
    family = next((family for family, kind in _DECLARED.values() if kind == field.type), Family.TEXT)
    return Leaf(path, family, field.type)


def leaves(records: Sequence[Raw]) -> list[Leaf]:
    """The columns of these records, in the order in which they come. A field that is always null is of family NULL.
    Raises msgspec.DecodeError for a record that is no object."""
    return _leaves(_decoded(records), (), FLATTEN_DEPTH)


def _decoded(records: Sequence[Raw]) -> list[dict[str, Raw]]:
    return _MEMBERS.decode(b"[" + b",".join(records) + b"]")


def _leaves(members: list[dict[str, Raw]], at: tuple[str, ...], depth: int) -> list[Leaf]:
    found: list[Leaf] = []
    for name in dict.fromkeys(itertools.chain.from_iterable(members)):
        tokens = list(map(bytes, map(methodcaller("get", name, _ABSENT), members)))
        given = [token for token in tokens if token != b"null"]
        path = (*at, name)
        firsts = {token[:1] for token in given}
        if firsts == {b"{"} and depth:
            inner = _leaves(_MEMBERS.decode(b"[" + b",".join(given) + b"]"), path, depth - 1)
            found.extend(inner or [Leaf(path, Family.JSON, types.STRING)])
        else:
            found.append(_leaf(path, given, firsts))
    return found


def _leaf(path: tuple[str, ...], tokens: list[bytes], firsts: set[bytes]) -> Leaf:
    if not tokens:
        return Leaf(path, Family.NULL, types.STRING)
    if firsts & {b"{", b"["}:
        return Leaf(path, Family.JSON, types.STRING)
    if b'"' in firsts:
        if len(firsts) > 1:
            return Leaf(path, Family.TEXT, types.STRING)
        texts = pa.array(_TEXTS.decode(b"[" + b",".join(tokens) + b"]"), types.STRING)
        look = text_types.looked_at_moments(texts)
    else:
        look = text_types.looked_at(pa.array(tokens, pa.binary()).cast(types.STRING))
    kind = text_types.field_of("", look).type
    if look.kind is Kind.NUMBER:
        # A number of any kind may be followed by one with a fraction.
        family = Family.INTEGER if kind == types.INT64 else Family.NUMBER
        return Leaf(path, family if kind != types.STRING else Family.TEXT, kind)
    return Leaf(path, _FAMILY_OF_KIND[look.kind], kind)


def joined(known: Family, new: Family) -> Family | None:
    """The family that holds values of both, where that is neither widening nor the same: None then."""
    numbers = {Family.INTEGER, Family.NUMBER, Family.DECIMAL}
    moments = {Family.DATE, Family.TIMESTAMP, Family.TIME, Family.TEXT}
    both = {known, new}
    if known is new or new is Family.NULL or both <= numbers or both <= moments or known is Family.JSON:
        return None
    if known is Family.NULL:
        return new
    return Family.JSON if new is Family.JSON else Family.TEXT

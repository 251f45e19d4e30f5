"""The messages of `pgoutput`, PostgreSQL's own output plugin, in version 1 of its protocol. Bytes in, structs out."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct as Layout
from typing import Final

from msgspec import Struct


class Unchanged:
    """Stands for a value that was stored out of line and that an update left alone: the log does not hold it."""


UNCHANGED: Final = Unchanged()
Value = str | Unchanged | None

_BEGIN = Layout(">Qqi")
_COMMIT = Layout(">BQQq")
_RELATION = Layout(">I")
_MEMBER = Layout(">Ii")
_COUNT = Layout(">H")
_SIZE = Layout(">I")
_TRUNCATE = Layout(">IB")
_TEXT, _NULL = ord("t"), ord("n")


class Begin(Struct, frozen=True):
    """A transaction begins whose commit record is at `lsn`. `at` is when it was committed, in microseconds since
    2000-01-01 UTC; `xid` the lower half of its number."""

    lsn: int
    at: int
    xid: int


class Commit(Struct, frozen=True):
    """It has ended; `end` is where the next record of the log begins."""

    end: int


class Member(Struct, frozen=True):
    """A column of a relation. `is_key` tells those that identify a row of it in the log."""

    name: str
    type_oid: int
    modifier: int
    is_key: bool


class Relation(Struct, frozen=True):
    """How a table looks from here on; comes before its first change and whenever it may look different."""

    oid: int
    schema: str
    name: str
    members: tuple[Member, ...]


class RowChange(Struct, frozen=True):
    """A row as it was and as it is, in the order of the relation's columns. `old` is None where the log does not hold
    it, and holds only what identifies the row but for REPLICA IDENTITY FULL; `new` is None for a row that is gone."""

    relation: int
    old: list[Value] | None
    new: list[Value] | None


class Truncate(Struct, frozen=True):
    relations: tuple[int, ...]


Logged = Begin | Commit | Relation | RowChange | Truncate


def decoded(data: bytes) -> Logged | None:
    """None for a message that says nothing about rows: of a type, of an origin, or of another plugin's."""
    match data[:1]:
        case b"I":
            return RowChange(_RELATION.unpack_from(data, 1)[0], None, _row(data, 6)[0])
        case b"U":
            return _update(data)
        case b"D":
            return RowChange(_RELATION.unpack_from(data, 1)[0], _row(data, 6)[0], None)
        case b"B":
            lsn, at, xid = _BEGIN.unpack_from(data, 1)
            return Begin(lsn, at, xid & 0xFFFFFFFF)
        case b"C":
            return Commit(_COMMIT.unpack_from(data, 1)[2])
        case b"R":
            return _relation(data)
        case b"T":
            count, _options = _TRUNCATE.unpack_from(data, 1)
            return Truncate(tuple(_RELATION.unpack_from(data, 6 + 4 * n)[0] for n in range(count)))
        case _:
            return None


def _update(data: bytes) -> RowChange:
    old: list[Value] | None = None
    at = 5
    if data[at : at + 1] in (b"K", b"O"):
        old, at = _row(data, at + 1)
    return RowChange(_RELATION.unpack_from(data, 1)[0], old, _row(data, at + 1)[0])


def _row(data: bytes, at: int) -> tuple[list[Value], int]:
    """The one loop over values: each is decoded where it stands."""
    (count,) = _COUNT.unpack_from(data, at)
    at += 2
    found: list[Value] = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == _TEXT:
            (size,) = _SIZE.unpack_from(data, at)
            at += 4
            found.append(data[at : at + size].decode())
            at += size
        else:
            found.append(None if kind == _NULL else UNCHANGED)
    return found, at


def _relation(data: bytes) -> Relation:
    (oid,) = _RELATION.unpack_from(data, 1)
    schema, at = _name(data, 5)
    name, at = _name(data, at)
    at += 1  # its replica identity, which the columns tell too
    (count,) = _COUNT.unpack_from(data, at)
    at += 2
    members = []
    for _ in range(count):
        is_key = bool(data[at] & 1)
        column, at = _name(data, at + 1)
        type_oid, modifier = _MEMBER.unpack_from(data, at)
        at += _MEMBER.size
        members.append(Member(column, type_oid, modifier, is_key))
    return Relation(oid, schema or "pg_catalog", name, tuple(members))


def _name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def identified(relation: Relation, old: Sequence[Value]) -> list[Value]:
    """`old` without the nulls that stand for what the log does not hold."""
    return [value if member.is_key else UNCHANGED for member, value in zip(relation.members, old, strict=True)]

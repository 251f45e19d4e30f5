"""Rows as checksums that are the same in every database, and the questions that find where two tables differ.

Each value has one canonical text (docs/guides/verify.md has the table). A row is its columns' texts joined by `|`, in
the source's order: null is `~`, a text stands behind its length in bytes, so no two rows have the same. Its digest is
the MD5 of that; 60 bits of it, summed, stand for many rows. What only says of many rows whether they differ may be
cheaper: where both ends are the same database, its own hash of the values; where both know brief texts, the MD5 of
these. What is named as a difference has another MD5 of its canonical texts all the same.

A row's position says where to look for it: the key itself where that is one integer, so that an index finds a range,
else 60 bits of the MD5 of its key, which spreads rows evenly whatever the key is, and needs no order of texts.
"""

# ruff: noqa: S608 - names are quoted by who gives them, and values are numbers

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from headwater.connect.contract import ReadRequest

HASHED = (0, (1 << 60) - 1)
_MOST_ARGUMENTS = 50
_MARKED = 30  # nulls in a 32-bit number
_SHOWN = 200


class Alike(Struct, frozen=True, kw_only=True):
    """A checksum of rows that is cheaper than their MD5, and the same wherever this database runs. `row` is SQL for
    that of the values `{0}`; `values` has the value of a column by its kind, `text` a canonical text as such a value.
    """

    row: str
    values: Mapping[str, str]
    text: str


class Brief(Struct, frozen=True, kw_only=True):
    """Texts that cost less to make than the canonical ones and tell values of one kind apart as well: the same in every
    database that has them. `forms` has SQL that `concat_ws` takes for the value `{0}`, by its kind, where it is not
    the canonical one; `sized` is a text and its length, as two; `marks` is a number that is another for each choice
    of nulls among the columns whose values are `{0}` and whose terms are `{1}`."""

    forms: Mapping[str, str]
    sized: str
    marks: str


class Words(Struct, frozen=True, kw_only=True):
    """How a database says it. `forms` has SQL for the canonical text of the value `{0}`, by the column's kind, and as
    `digits` for that of a decimal that is held as text; `sized` for a text behind its length; `number` for 60 bits of
    the hex text `{0}` as an integer, `part` for `{0}` divided by `{1}`, `integer` for 64 bits that hold `{0}`; `start`
    for the first `{1}` characters of `{0}`. `alike` is for two ends of the same words, `brief` for two that have it."""

    forms: Mapping[str, str]
    sized: str
    number: str
    part: str
    integer: str = "({0})"
    start: str = "left({0}, {1})"
    alike: Alike | None = None
    brief: Brief | None = None


class Column(Struct, frozen=True, kw_only=True):
    """`sql` is the value, `kind` one of `Words.forms`, `type` what the database calls it. `normal` is JSON as jsonb
    writes it, where the database can."""

    sql: str
    kind: str
    type: str
    normal: str | None = None


class Relation(Struct, frozen=True, kw_only=True):
    """A stream on one side. `place` names it, `sql` is what to select from; `columns` and `keys` go by the source's
    names. Rows for which `where` holds are compared; `later` are rows of a source that came since."""

    place: str
    sql: str
    columns: Mapping[str, Column]
    keys: tuple[str, ...] = ()
    where: str | None = None
    later: str | None = None
    remarks: tuple[str, ...] = ()


Ask = Callable[[str], list[tuple[Any, ...]]]


class Tables(Protocol):
    """One end of a pipeline, as it is at one moment."""

    @property
    def words(self) -> Words: ...

    def relation(self, stream: str) -> Relation | None:
        """None when it has no such stream."""
        ...

    def checkpoint(self) -> bytes | None:
        """The state up to which the data of a destination reaches."""
        ...

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises HeadwaterError."""
        ...

    def interrupt(self) -> None:
        """End the query that runs, if one does: its `ask` raises. From any thread; may take a moment."""
        ...

    def close(self) -> None: ...


class SourceDigests(Protocol):
    def open(self, settings: Any, request: ReadRequest) -> Tables:
        """What stands behind the request's state is no part of what is compared."""
        ...


class DestinationDigests(Protocol):
    def open(
        self, settings: Any, *, source: str, pipeline: str | None, folder: Path, on_wait: Callable[[str], None]
    ) -> Tables:
        """`source` and `folder` as in `OpenRequest`."""
        ...


class Range(Struct, frozen=True, order=True):
    """Positions from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def width(self) -> int:
        return self.high - self.low + 1


class Part(Struct, frozen=True):
    """What lies in a range: how many rows, and the sum of their checksums."""

    rows: int
    checksum: int


class Bounds(Struct, frozen=True):
    """`placed` of the rows have a position."""

    rows: int
    placed: int
    low: int | None
    high: int | None


class Row(Struct, frozen=True):
    """Rows that are alike: their position, key (its canonical texts), digest, and how many there are."""

    position: int
    key: tuple[str | None, ...]
    digest: str
    count: int


class Value(Struct, frozen=True):
    """`digest` is None for null; `text` is the beginning of the canonical text, None unless it was asked for."""

    digest: str | None
    text: str | None


class Item(Struct, frozen=True):
    """A column that is compared. A text of any length is `is_text` on both sides if it is on one; `is_typed` says that
    both sides have the same kind of values."""

    name: str
    column: Column
    is_text: bool
    is_typed: bool = False


class Side(Protocol):
    """One of two tables that are compared. Both answer alike for rows that are alike."""

    def bounds(self) -> Bounds: ...

    def parts(self, ranges: Sequence[Range], low: int, width: int) -> dict[int, Part]:
        """What lies in the ranges, by the number of the part, of `width` positions, that it is in; counted from
        `low`, which no range lies below."""
        ...

    def rows(self, ranges: Sequence[Range]) -> list[Row]: ...

    def later(self, positions: Sequence[int]) -> set[tuple[str | None, ...]]:
        """The keys at these positions whose rows came after what is compared."""
        ...

    def values(self, positions: Sequence[int], *, shown: bool) -> dict[tuple[tuple[str | None, ...], str], list[Value]]:
        """The values of the columns that are compared, by key and digest of the row."""
        ...


class SqlSide:
    """A table that is asked in its own SQL. Without `keys` the digest of a row is its key."""

    def __init__(
        self,
        ask: Ask,
        words: Words,
        relation: Relation,
        items: Sequence[Item],
        keys: Sequence[Item],
        *,
        indexed: bool,
        alike: Alike | None = None,
        brief: Brief | None = None,
    ) -> None:
        """`indexed` says that the key is one integer, which is the position then. `alike` or else `brief` makes the
        checksums of parts, on both sides."""
        self._ask, self._words, self._relation = ask, words, relation
        self._items = items
        row = f"md5({self._joined(items)})"
        self._keys = [self._text(item) for item in keys] or [row]
        if indexed:
            (key,) = keys
            self._position = key.column.sql
        else:
            self._position = words.number.format(f"md5({self._joined(keys)})" if keys else row)
        self._is_hashed = not indexed
        self._row = row
        self._checksum = words.number.format(row)
        if alike is not None:
            self._checksum = alike.row.format(", ".join(self._value(item, alike) for item in items))
        elif brief is not None:
            self._checksum = words.number.format(f"md5({self._abridged(items, brief)})")

    def bounds(self) -> Bounds:
        if self._is_hashed:
            ((rows,),) = self._ask(f"select count(*) from {self._relation.sql}{self._where()}")
            return Bounds(int(rows), int(rows), *HASHED)
        position = self._position
        query = f"select count(*), count({position}), min({position}), max({position}) from {self._relation.sql}"
        ((rows, placed, low, high),) = self._ask(query + self._where())
        return Bounds(int(rows), int(placed), *(None if one is None else int(one) for one in (low, high)))

    def parts(self, ranges: Sequence[Range], low: int, width: int) -> dict[int, Part]:
        inner = f"{self._position} as position, {self._checksum} as checksum"
        offset = f"{self._words.integer.format('position')} - {self._words.integer.format(low)}"
        number = self._words.part.format(offset, width)
        query = f"select {number} as part, count(*), sum(checksum) from {self._within(inner, ranges)} group by 1"
        return {int(part): Part(int(rows), int(checksum or 0)) for part, rows, checksum in self._ask(query)}

    def rows(self, ranges: Sequence[Range]) -> list[Row]:
        keys = ", ".join(f"k{number}" for number in range(len(self._keys)))
        inner = f"{self._position} as position, {self._listed('k', self._keys)}, {self._row} as digest"
        query = f"select position, {keys}, digest, count(*) from {self._within(inner, ranges)}"
        found = self._ask(f"{query} group by position, {keys}, digest")
        # MariaDB has no digest of a row that is larger than a packet.
        return [Row(int(position), tuple(key), digest or "", int(count)) for position, *key, digest, count in found]

    def later(self, positions: Sequence[int]) -> set[tuple[str | None, ...]]:
        if self._relation.later is None:
            return set()
        inner = f"{self._position} as position, {self._listed('k', self._keys)}"
        keys = ", ".join(f"k{number}" for number in range(len(self._keys)))
        ranges = [Range(position, position) for position in positions]
        return {
            tuple(key) for key in self._ask(f"select {keys} from {self._within(inner, ranges, self._relation.later)}")
        }

    def values(self, positions: Sequence[int], *, shown: bool) -> dict[tuple[tuple[str | None, ...], str], list[Value]]:
        texts = [self._text(item) for item in self._items]
        asked = [*self._keys, *(f"md5({text})" for text in texts)]
        asked += [self._words.start.format(text, _SHOWN) for text in texts] if shown else []
        inner = f"{self._position} as position, {self._row} as digest, {self._listed('v', asked)}"
        names = ", ".join(f"v{number}" for number in range(len(asked)))
        query = f"select digest, {names} from {self._within(inner, [Range(one, one) for one in positions])}"
        found = {}
        for digest, *values in self._ask(query):
            key, rest = tuple(values[: len(self._keys)]), values[len(self._keys) :]
            digests, beginnings = rest[: len(texts)], rest[len(texts) :] or [None] * len(texts)
            found[key, digest or ""] = [Value(*pair) for pair in zip(digests, beginnings, strict=True)]
        return found

    def _within(self, inner: str, ranges: Sequence[Range], where: str | None = None) -> str:
        """A subquery. Databases dissolve it, so that an index on the position is used."""
        limits = [
            f"position = {one.low}" if one.low == one.high else f"position between {one.low} and {one.high}"
            for one in ranges
        ]
        limited = " or ".join(limits)
        if self._is_hashed and limits:
            # An MD5 for each comparison would take long: one look into a list leaves few rows to compare exactly.
            width = max(one.width for one in ranges)
            numbers = sorted({number for one in ranges for number in (one.low // width, one.high // width)})
            listed = ", ".join(map(str, numbers))
            near = f"{self._words.part.format('position', width)} in ({listed})"
            limited = f"case when {near} then {limited} else false end"  # in this order: DuckDB takes its own for AND
            if Range(*HASHED) in ranges:
                limited = ""
        limited = limited and f" where {limited}"
        return f"(select {inner} from {self._relation.sql}{self._where(where)}) as q{limited}"

    def _where(self, where: str | None = None) -> str:
        condition = where or self._relation.where
        return f" where {condition}" if condition else ""

    def _text(self, item: Item) -> str:
        return self._words.forms[item.column.kind].format(item.column.sql)

    def _value(self, item: Item, alike: Alike) -> str:
        if item.is_typed:
            return alike.values[item.column.kind].format(item.column.sql)
        return alike.text.format(self._text(item))

    def _abridged(self, items: Sequence[Item], brief: Brief) -> str:
        """As `_joined`, from brief texts. Nulls are left out, so which they are comes first."""
        pieces = []
        for start in range(0, len(items), _MARKED):
            some = [item.column.sql for item in items[start : start + _MARKED]]
            terms = [f"({sql} is null)::int * {1 << number}" for number, sql in enumerate(some)]
            pieces.append(brief.marks.format(", ".join(some), " + ".join(terms)))
        for item in items:
            form = brief.forms.get(item.column.kind) if item.is_typed and not item.is_text else None
            text = self._text(item) if form is None else form.format(item.column.sql)
            pieces.append(brief.sized.format(text) if item.is_text else text)
        return self._concatenated(pieces)

    def _joined(self, items: Sequence[Item]) -> str:
        pieces = []
        for item in items:
            text = self._text(item)
            pieces.append(f"coalesce({self._words.sized.format(text) if item.is_text else text}, '~')")
        return self._concatenated(pieces)

    @staticmethod
    def _concatenated(pieces: list[str]) -> str:
        while len(pieces) > _MOST_ARGUMENTS:  # PostgreSQL takes 100
            first, pieces = pieces[:_MOST_ARGUMENTS], pieces[_MOST_ARGUMENTS:]
            pieces.insert(0, f"concat_ws('|', {', '.join(first)})")
        return f"concat_ws('|', {', '.join(pieces)})"

    @staticmethod
    def _listed(letter: str, expressions: Sequence[str]) -> str:
        return ", ".join(f"{one} as {letter}{number}" for number, one in enumerate(expressions))

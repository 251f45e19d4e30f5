"""Columns of JSON objects that an upsert merges member by member, as it does rows field by field.

The fields that a schema does not know (`_extra`) are such a column: a record that sends one of them says nothing of
the others. A member that comes takes the old one's place, whole, and a null is a value like any other; a member that
does not come stays. A value that is no object has no members, and takes the place of what was there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pyarrow as pa

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD

_MARK = b"headwater.members"
# Metadata of such a column.
FIELD = {**JSON_FIELD, _MARK: b"merged"}
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Values of one page, which is all that is held of them at a time.
_PAGE_BYTES = 8 << 20


def is_merged(field: pa.Field) -> bool:
    """Whether the column is one of those."""
    return bool((field.metadata or {}).get(_MARK) == FIELD[_MARK])


def merged_sources(
    columns: Mapping[str, pa.Field], keys: Sequence[str], reached: Iterable[tuple[str, pa.Field]]
) -> frozenset[str]:
    """Of a stream's `columns` those to be merged, where the table (`reached`) holds JSON for them."""
    return frozenset(
        source for source, held in reached if source not in keys and types.is_json(held) and is_merged(columns[source])
    )


class Chain:
    """The values of one row, from the oldest on: `add` answers what stands after each."""

    def __init__(self, old: str | None) -> None:
        self._text: str | None = None
        self._members: dict[str, bytes] = {}
        if old is not None:
            self.add(old)

    def add(self, new: str) -> str:
        """Members lie in the order of their names, but a value that brings nothing new leaves the text as it is."""
        found = _members(new)
        if found is None:
            self._text = None
            return new
        if self._text is None and not self._members:
            self._text = new
        elif self._text is None or not found.items() <= self._members.items():
            both = {**self._members, **found}
            self._text = msgspec.json.encode({name: msgspec.Raw(both[name]) for name in sorted(both)}).decode()
        self._members |= found
        return self._text


class Chains:
    """Chains one after the other, in pages."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._chain = Chain(None)

    def merged(self, numbers: Sequence[int], olds: Sequence[str | None], news: Sequence[str]) -> list[str]:
        """What stands after each of `news`. Those of a chain follow each other and have its number; where a chain
        begins, the old value counts."""
        found = []
        for number, old, new in zip(numbers, olds, news, strict=True):
            if number != self._number:
                self._number, self._chain = number, Chain(old)
            found.append(self._chain.add(new))
        return found


def page_rows(count: int, size: int) -> int:
    """How many rows make a page when so many have that size together."""
    return max(1, min(50_000, count * _PAGE_BYTES // max(size, 1)))


def _members(text: str) -> dict[str, bytes] | None:
    try:
        return {name: bytes(value) for name, value in _MEMBERS.decode(text).items()}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None

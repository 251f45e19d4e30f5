"""What each file format offers to the files source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import pyarrow as pa
from msgspec import Struct, field

from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.text_types import Look


class Bad(Struct, frozen=True, kw_only=True):
    """A record that can't be read, on that `line` of the file, behind `row` rows that can; `record` is its text."""

    row: int
    line: int
    record: bytes
    why: str


class Piece(Struct, frozen=True, kw_only=True):
    """Rows of a file in file order; `size` in bytes as read. `missing` and `repaired` as in `contract.Rows`. `bad` is
    what lies among the rows of this piece or of an earlier one; only where a file `sets_aside`."""

    batch: pa.RecordBatch
    size: int
    missing: pa.Array | None = None
    repaired: dict[str, int] = field(default_factory=dict)
    bad: tuple[Bad, ...] = ()


class UnexpectedError(Exception):
    """A column holds something else than was expected of it."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class Format(Protocol):
    def looks(self, file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
        """What the columns that are taken hold, seen over the whole file; in file order. With `most`, over about so
        many bytes at its start."""
        ...

    def batches(self, file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
        """All rows in file order, each batch with those of `columns` that the file has, about `batch_bytes` at once.

        `columns` can hold each value: its types come from `looks`.
        """
        ...

"""What a commit into a database takes of what is staged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import RunFailedError
from headwater.connect import encoded
from headwater.connect.contract import ActivateVersion, Change, Receipt, Rejected, StreamReceipt
from headwater.connect.destinations.bookkeeping import Entry, Standing
from headwater.connect.rejects import Again, Origin
from headwater.connect.staging import StagedStream


class StreamPart(Struct, frozen=True):
    """What a commit takes of a stream: its first `count` batches, which may be none; of their rows only `kept`, ranges
    in order, unless that is None."""

    stream: StagedStream
    count: int
    kept: tuple[range, ...] | None = None

    @property
    def rows(self) -> int:
        return self.stream.spool.rows(self.count) if self.kept is None else sum(map(len, self.kept))

    def is_encoded(self) -> bool:
        """Whether some of its rows are."""
        return any(encoded.form(batch) for batch in self.batches())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Can be asked for again."""
        batches = self.stream.spool.first(self.count)
        return batches if self.kept is None else _cut(batches, self.kept)

    def only(self, rows: tuple[range, ...]) -> StreamPart:
        """Of its rows those, by their positions among the ones it has now."""
        if self.kept is None:
            return replace(self, kept=rows)
        kept, first = [], 0
        for held in self.kept:
            for wanted in rows:
                start, stop = max(wanted.start - first, 0), min(wanted.stop - first, len(held))
                if start < stop:
                    kept.append(held[start:stop])
            first += len(held)
        return replace(self, kept=tuple(kept))

    def without(self, rows: Iterable[int]) -> StreamPart:
        """All but those, by their positions among the rows it has now."""
        kept, start = [], 0
        for row in (*sorted(rows), self.rows):
            if start < row:
                kept.append(range(start, row))
            start = row + 1
        return self.only(tuple(kept))

    def receipt(self, taken: int, place: str, *, repaired: int = 0) -> StreamReceipt:
        """That the table `place` took so many rows, `repaired` values of them changed on the way. Raises RunFailedError
        (`count-mismatch`) when others were staged."""
        if taken != self.rows:
            raise RunFailedError(
                "count-mismatch",
                f"{self.rows} rows of stream `{self.stream.name}` were staged, but `{place}` took {taken}",
            )
        repaired += sum(self.stream.repaired[: self.count])
        return StreamReceipt(rows_in=taken, rows_out=taken, repaired=repaired)


class Commit(Struct, frozen=True, kw_only=True):
    """What is to become durable together. `expected` is where the pipeline stands unless someone else loaded it;
    `streams` are those that have rows, a new shape, or (when it is `final`) a content to be replaced. `rejects` are
    set aside as what `origin` says; `again` were before, and are taken out of quarantine. One that `is_trial` is
    written up to the books and rolled back."""

    entry: Entry
    expected: Standing
    streams: tuple[StreamPart, ...]
    activations: tuple[ActivateVersion, ...]
    rejects: list[Rejected]
    origin: Origin
    state: bytes | None
    final: bool
    is_trial: bool = False
    again: Again | None = None

    def touched(self) -> set[str]:
        """The streams whose tables it changes."""
        return {part.stream.name for part in self.streams} | {one.stream for one in self.activations}

    def receipt(self, streams: dict[str, StreamReceipt], changes: list[Change] | None = None) -> Receipt:
        return Receipt(
            sequence=self.entry.sequence, streams=streams, changes=tuple(changes or ()), checkpoint=self.state
        )


def _cut(batches: Iterable[pa.RecordBatch], kept: tuple[range, ...]) -> Iterator[pa.RecordBatch]:
    """The rows of those ranges, which count over all batches."""
    first = 0
    for batch in batches:
        for rows in kept:
            start, stop = max(rows.start - first, 0), min(rows.stop - first, batch.num_rows)
            if start < stop:
                yield batch.slice(start, stop - start)
        first += batch.num_rows

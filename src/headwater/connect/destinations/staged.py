"""A load into a database: its rows wait on this side, and each commit writes them, the books and the checkpoint at
once. What holds for every database is here; a `Writer` is what is one database's own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from headwater.base.clock import now
from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.base.failpoint import reach
from headwater.connect.contract import (
    ActivateVersion,
    Change,
    OpenRequest,
    Receipt,
    Rejected,
    Rows,
    Schema,
    StartOverError,
    Stored,
    StreamReceipt,
)
from headwater.connect.destinations import poison
from headwater.connect.destinations.bookkeeping import (
    Entry,
    Standing,
    refuse_another_writer,
    rejects_changed,
)
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.destinations.history import refuse_without_keys
from headwater.connect.rejects import Again, Origin
from headwater.connect.staging import InexactError, LongKeyError, Part, StagedStream, Staging, with_rejects

MOST_ATTEMPTS = 8
# Before anything was done: a server that is not there is told soon, one that has just ended the session is asked again.
ATTEMPTS_AT_FIRST = 3
# Little enough that a server has not yet done with what is on its way when the next portion comes, and that a source,
# which reads on while rows are sent, need not wait. Not so little that what each one costs would show.
PORTION_BYTES = 8 << 20
_Answer = TypeVar("_Answer")
_Connection_contra = TypeVar("_Connection_contra", contravariant=True)


class Writer(Protocol):
    """What a database does its own way. It holds the connection, where there is one to be held. `stored` is how the
    streams that it wrote stand."""

    stored: dict[str, Stored]

    def standing(self) -> Standing:
        """Where the pipeline stands; asked once, at the start."""
        ...

    def check(self, stream: StagedStream) -> None:
        """Refuse what `write` would refuse of the stream's shape. Raises InputError (`unsupported-change`)."""
        ...

    def write(self, commit: Commit) -> Receipt:
        """Make the commit durable, or nothing of it. One that is durable already, because only its answer got lost, is
        not written again. Raises InexactError and LongKeyError, after which it is called again."""
        ...

    def close(self) -> None:
        """Safe to call twice."""
        ...


class StagedSession:
    """The contract's Session for a database: keeps the books of what is staged, and has `writer` make it durable."""

    def __init__(
        self,
        writer: Writer,
        staging: Staging,
        request: OpenRequest,
        *,
        takes_versions: bool = True,
        send_ahead: Callable[[Commit], None] | None = None,
        takes: Callable[[StagedStream], frozenset[str]] = lambda _stream: frozenset(),
    ) -> None:
        """`takes` says in which forms a stream's rows may come encoded. `send_ahead` is told now and then what the next
        commit would be if it came now: its rows may be sent already, where nobody sees them before `write`."""
        self.writer = writer
        self._send_ahead = send_ahead
        self._takes = takes
        self._told_bytes = 0
        self._staging = staging
        self._request = request
        self._takes_versions = takes_versions
        self._again: Again | None = None
        try:
            self._standing = writer.standing()
        except BaseException:
            writer.close()
            raise
        self._since = now()

    def checkpoint(self) -> bytes | None:
        return self._standing.state

    def prepare(self, schema: Schema) -> bool:
        if self._staging.load_method == "history":
            refuse_without_keys(schema.stream, schema.keys)
        stream = self._staging.prepare(schema)
        if stream.is_reshaped:
            self.writer.check(stream)
        return stream.is_replaced

    def takes(self, stream: str) -> frozenset[str]:
        return self._takes(self._staging.streams[stream])

    def stage(self, rows: Rows) -> None:
        self._staging.stage(rows)
        reach("stage.taken")
        # What comes out of quarantine is first compared with the rows that are there.
        if self._send_ahead is None or self._again is not None:
            return
        if self._staging.staged_bytes() - self._told_bytes >= PORTION_BYTES:
            self._told_bytes = self._staging.staged_bytes()
            part = self._staging.part(to_boundary=False)
            self._send_ahead(self._commit(part, self._standing.state, final=True))

    def reject(self, rejected: Rejected) -> None:
        self._staging.reject(rejected)

    def replay(self, again: Again) -> None:
        """As `rejects.ReplaySession` says."""
        self._again = again

    def activate(self, version: ActivateVersion) -> None:
        if self._takes_versions:
            self._staging.activations.append(version)

    def staged_bytes(self) -> int:
        return self._staging.staged_bytes()

    def boundary(self) -> None:
        self._staging.boundary()

    def commit(self, checkpoint: bytes | None, *, final: bool = False, to_boundary: bool = False) -> Receipt:
        part = self._staging.part(to_boundary=to_boundary)
        state = self._standing.state if checkpoint is None else checkpoint
        commit = self._commit(part, state, final=final, shapes=not to_boundary)
        is_nothing = part.is_empty() and not commit.streams and commit.again is None
        if is_nothing and commit.state == self._standing.state:
            return Receipt(sequence=self._standing.sequence, streams={}, checkpoint=commit.state)
        receipt = self._written(commit)
        reach("commit.done")
        self._standing = Standing(sequence=receipt.sequence, run_id=self._request.run_id, state=commit.state)
        self._staging.drop(part)
        self._again, self._since = None, now()
        self._told_bytes = 0
        for one in commit.streams:
            one.stream.is_reshaped = False
        return receipt

    def sends_ahead(self) -> bool:
        return self._send_ahead is not None

    def stored(self) -> dict[str, Stored]:
        return self.writer.stored

    def close(self) -> None:
        self._staging.clear()
        self.writer.close()

    def _commit(self, part: Part, state: bytes | None, *, final: bool, shapes: bool = True) -> Commit:
        """With `shapes` streams without rows get their tables, too. A commit up to a boundary leaves that to the one
        that has their rows: those are on their way already."""
        streams = self._staging.streams
        entry = Entry(
            pipeline=self._request.pipeline, run_id=self._request.run_id, sequence=self._standing.sequence + 1
        )
        now_aside = Origin(run_id=entry.run_id, sequence=entry.sequence, since=self._since, rejected_at=now())
        return Commit(
            entry=entry,
            expected=self._standing,
            streams=tuple(
                StreamPart(stream, part.batches[name])
                for name, stream in streams.items()
                if part.batches[name] or (stream.is_reshaped and shapes) or (final and stream.is_replaced)
            ),
            activations=tuple(
                one
                for one in self._staging.activations[: part.activations]
                if one.stream not in streams or not streams[one.stream].is_replaced
            ),
            rejects=self._staging.rejects[: part.rejects],
            origin=(self._again.origin if self._again else None) or now_aside,
            state=state,
            final=final,
            again=self._again,
        )

    def _written(self, commit: Commit) -> Receipt:
        while True:
            try:
                return self._written_once(commit)
            except poison.OutdatedError as error:
                commit = poison.without_outdated(commit, error)

    def _written_once(self, commit: Commit) -> Receipt:
        try:
            return self._adapted(commit)
        except RunFailedError as error:
            if error.reference not in poison.REFERENCES:
                raise
            if any(part.is_encoded() for part in commit.streams):  # which row it is can be told of others only
                raise StartOverError(error.what) from error
            return self._written_without_poison(commit, error)

    def _written_without_poison(self, commit: Commit, error: RunFailedError) -> Receipt:
        """The commit without the rows that the database refuses. Raises RunFailedError that names the first of them
        when none may be set aside; the `error` itself when it is not for single rows."""
        may_set_aside = self._request.on_bad_row == "quarantine"
        rows = poison.found(commit, self._trial, most=poison.MOST_ROWS if may_set_aside else 1)
        if may_set_aside and rows:
            return self._adapted(poison.without(commit, rows))
        raise poison.named(rows[0]) if rows else error

    def _trial(self, commit: Commit) -> RunFailedError | None:
        try:
            self._adapted(commit)
        except _TrialDoneError:
            return None
        except RunFailedError as error:
            if error.reference not in poison.REFERENCES:
                raise
            return error
        raise AssertionError

    def _adapted(self, commit: Commit) -> Receipt:
        while True:
            try:
                return self.writer.write(commit)
            except InexactError as error:
                # A value does not survive the type its column has: the column becomes text, and the commit starts over.
                self._staging.streams[error.stream].texts.add(error.column)
            except LongKeyError as error:
                self._staging.streams[error.stream].has_long_keys = True


class _TrialDoneError(Exception):
    """A trial came to where it would commit; whoever began its transaction rolls it back."""


class Books(Protocol[_Connection_contra]):
    """A database's module of that name; the functions that every commit calls."""

    def standing(self, connection: _Connection_contra, pipeline: str | None) -> Standing: ...

    def recorded(self, connection: _Connection_contra, entry: Entry) -> dict[str, StreamReceipt] | None: ...

    def write_rejects(
        self, connection: _Connection_contra, entry: Entry, origin: Origin, rejects: list[Rejected]
    ) -> None: ...

    def take_rejects(self, connection: _Connection_contra, ids: Sequence[str]) -> int:
        """Take them out of quarantine. How many of them were there."""
        ...

    def forget_rejects(
        self, connection: _Connection_contra, entry: Entry, stream: str, *, before: int | None = None
    ) -> None:
        """Those of the pipeline's former runs; only those of a table version `before` that when it is given."""
        ...

    def write_ledger(
        self, connection: _Connection_contra, entry: Entry, receipts: dict[str, StreamReceipt], state: bytes | None
    ) -> None: ...

    def write_checkpoint(self, connection: _Connection_contra, entry: Entry, state: bytes | None) -> None: ...


def already_durable(books: Books[_Connection_contra], connection: _Connection_contra, commit: Commit) -> Receipt | None:
    """The receipt of this very commit when it is in the books. Raises RunFailedError (`another-writer`)."""
    receipts = books.recorded(connection, commit.entry)
    if receipts is not None:
        return commit.receipt(receipts)
    refuse_another_writer(books.standing(connection, commit.entry.pipeline), commit.expected, commit.entry.pipeline)
    reach("commit.begun")
    return None


def enter(
    books: Books[_Connection_contra],
    connection: _Connection_contra,
    commit: Commit,
    receipts: dict[str, StreamReceipt],
    changes: list[Change],
) -> Receipt:
    """Write the commit into the books, in the transaction that its rows are in."""
    if commit.is_trial:
        raise _TrialDoneError
    reach("commit.loaded")
    receipts = with_rejects(receipts, commit.rejects)
    _forget_rejects(books, connection, commit, changes)
    if commit.again is not None and books.take_rejects(connection, commit.again.ids) != len(commit.again.ids):
        raise rejects_changed()
    books.write_rejects(connection, commit.entry, commit.origin, commit.rejects)
    books.write_ledger(connection, commit.entry, receipts, commit.state)
    books.write_checkpoint(connection, commit.entry, commit.state)
    reach("commit.booked")
    return commit.receipt(receipts, changes)


def _forget_rejects(
    books: Books[_Connection_contra], connection: _Connection_contra, commit: Commit, changes: list[Change]
) -> None:
    """What a stream's whole content was replaced with has come instead of its rejects too, and a row of an older table
    version is gone from the source whether it was loaded or not."""
    for part in commit.streams:
        if commit.final and part.stream.is_replaced:
            books.forget_rejects(connection, commit.entry, part.stream.name)
    heeded = {change.stream for change in changes if change.change in ("rows-deleted", "rows-marked", "rows-closed")}
    for one in commit.activations:
        if one.stream in heeded:
            books.forget_rejects(connection, commit.entry, one.stream, before=one.version)


def steadily(work: Callable[[], _Answer], passes: Callable[[Exception], bool], *, most: int = MOST_ATTEMPTS) -> _Answer:
    """Do it, again after an error that passes, at most `most` times. That the server can't be reached is one of those:
    it may be starting."""
    attempt = 1
    while True:
        try:
            return work()
        except EnvironmentProblemError as error:
            if attempt == most or error.reference not in ("cannot-connect", "unknown-host"):
                raise
        except Exception as error:
            if attempt == most or not passes(error):
                raise
        # Not all at once after an outage.
        time.sleep(random.uniform(0.5, 1.0) * min(0.1 * 2**attempt, 5))  # noqa: S311 - spread, not secrecy
        attempt += 1

"""Messages into a destination: when to commit, up to where, and whether all that was read has arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, HeadwaterError, RunFailedError
from headwater.connect.contract import (
    ActivateVersion,
    Checkpoint,
    Message,
    Receipt,
    Rejected,
    Rows,
    Schema,
    Session,
    Stage,
    StreamReceipt,
    staged,
)
from headwater.model.event import Adjusted, CheckpointSaved, Level, Progress, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.run.runner import Run
from headwater.run.state import is_partial
from headwater.store.states import StateBackend, is_empty, merge_text, save

_PROGRESS_SECONDS = 0.5


class _Tally(Struct):
    """One stream. `given` and `vouched` count what went into the session, in all and up to the last boundary;
    `settled` what receipts answered for."""

    read: int = 0
    given: int = 0
    vouched: int = 0
    settled: int = 0
    loaded: int = 0
    rejected: int = 0
    repaired: int = 0
    size: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    by_column: dict[str, int] = field(default_factory=dict)  # repaired before they came here


class Load:
    """A load into a session. Give it each message with `take`, then end it: `finish` when the source ended well,
    else `salvage`. `stands` is the state that stood before the run. `names` says under which names a stream comes out
    of `stages`: what is read of it counts for each of them.

    A checkpoint is committed when enough bytes or seconds have gathered since the commit before; the newest counts.
    After each commit the receipt must answer for every row that was given, or the run fails (`count-mismatch`).

    From the first stream on that is replaced, nothing is committed before the end: a checkpoint of the source counts
    such a stream as read, and its rows only take effect when they swap. A load that begins `anew`, where rows of the
    pipeline stand already, replaces the streams that have no keys: added again, their rows would stand twice.
    """

    def __init__(
        self,
        session: Session,
        step: ExtractLoad,
        run: Run,
        backend: StateBackend,
        *,
        stands: str | None,
        stages: Sequence[Stage] = (),
        names: Callable[[str], tuple[str, ...]] = lambda stream: (stream,),
        anew: bool = False,
    ) -> None:
        self._session = session
        self._step = step
        self._run = run
        self._backend = backend
        self._stands = stands
        self._stages = stages
        self._names = names
        self._anew = anew
        self._tallies: dict[str, _Tally] = {}
        self._pending: bytes | None = None
        self._is_tail = False  # rows came after the last boundary
        self._comes_again = False  # some of what came since the last commit does
        self._is_replacing = False
        self._is_saved = False  # a checkpoint of this run stands with the data
        self._unkept: str | None = None  # the state of which the backend has no copy yet
        self.commits = 0
        self.is_broken = False  # the destination failed: nothing more may be written
        self._started = self._committed_at = self._told_at = monotonic()

    def take(self, message: Message) -> None:
        if isinstance(message, Rows | Rejected):
            # A stream that ends on the way is counted under its own name.
            for name in self._names(message.stream) or (message.stream,):
                self._count(self._tally(name), message)
        results = staged(message, self._stages)
        try:
            for result in results:
                self._hand_over(result)
        except BaseException:
            self.is_broken = True
            raise
        self.tell()

    def idle(self) -> None:
        """To be called every moment: commits what has waited long enough, so that a slow source is seen too."""
        if self._pending is not None and self._is_due() and not self._is_replacing:
            self._commit(to_boundary=True)
        self.tell()

    def finish(self) -> None:
        """The source ended well: all it delivered is committed, also the rows after its last state."""
        if self._is_tail and self._pending is not None:
            self._run.tell(
                self._step.name,
                Level.DEBUG,
                "the source sent rows after its last state: they are loaded, and may be sent again next time",
            )
        self._commit(final=True)

    def salvage(self) -> None:
        """The source failed: commit what its last checkpoint vouches for. After a failure of the destination, or
        an abort, nothing more is written."""
        if self.is_broken or self._pending is None or self._is_replacing or self._run.cancel.is_aborted():
            return
        self._commit(to_boundary=True)

    def figures(self) -> tuple[StreamFigures, ...]:
        return tuple(
            StreamFigures(
                stream=stream,
                read=one.read,
                loaded=one.loaded,
                rejected=one.rejected,
                filtered=one.read - one.given,
                repaired=one.repaired,
                size=one.size,
                seconds=max(0.0, one.last_at - one.first_at),
                checkpoint="saved" if self._is_saved else None,
            )
            for stream, one in self._tallies.items()
        )

    def committed_figures(self) -> tuple[StreamFigures, ...]:
        """The same of nothing but what receipts answered for."""
        return tuple(
            replace(one, read=tally.loaded + tally.rejected, filtered=0, size=0)
            for one, tally in zip(self.figures(), self._tallies.values(), strict=True)
            if tally.settled
        )

    def repaired(self, stream: str) -> dict[str, int]:
        """How many values of each column were changed to fit before they came here."""
        tally = self._tallies.get(stream)
        return dict(tally.by_column) if tally else {}

    def tell(self, phase: str = "extracting", *, now: bool = False) -> None:
        """A Progress event, at most two a second unless `now`."""
        at = monotonic()
        if not now and at - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = at
        self._run.emit(
            Progress(
                step=self._step.name,
                phase=phase,
                streams=self.figures(),
                size=sum(one.size for one in self._tallies.values()),
                seconds=at - self._started,
            )
        )

    def _hand_over(self, message: Message) -> None:
        session = self._session
        match message:
            case Rows():
                # What comes again nobody keeps: it goes with the first commit, and with none that leaves it out.
                if message.again and self._pending is not None and not self._is_replacing:
                    self._commit(to_boundary=True)
                self._comes_again = self._comes_again or message.again
                self._tally(message.stream).given += message.batch.num_rows
                self._is_tail = True
                session.stage(message)
                for column, count in message.repaired.items():
                    by_column = self._tally(message.stream).by_column
                    by_column[column] = by_column.get(column, 0) + count
            case Checkpoint():
                session.boundary()
                self._is_tail = False
                for tally in self._tallies.values():
                    tally.vouched = tally.given
                self._pending = message.state
                is_due = self._is_due() or session.staged_bytes() >= self._step.commit_bytes
                if (is_due or self._comes_again) and not self._is_replacing:
                    self._commit()
            case Schema():
                self._prepare(message)
            case Rejected():
                self._tally(message.stream).given += 1
                self._is_tail = True
                session.reject(message)
            case ActivateVersion():
                self._is_tail = True
                session.activate(message)

    def _prepare(self, schema: Schema) -> None:
        if self._anew and not schema.keys:
            schema = replace(schema, replace=True)
        if self._session.prepare(schema) and not self._is_replacing:
            if self._pending is not None:
                self._commit(to_boundary=True)
            self._is_replacing = True
        if schema.forms is not None:
            schema.forms.set_result(self._session.takes(schema.stream))

    def _count(self, tally: _Tally, message: Rows | Rejected) -> None:
        if isinstance(message, Rows):
            tally.read += message.batch.num_rows
            tally.size += message.size
            tally.last_at = monotonic()
        else:
            tally.read += 1

    def _tally(self, stream: str) -> _Tally:
        if stream not in self._tallies:
            at = monotonic()
            self._tallies[stream] = _Tally(first_at=at, last_at=at)
        return self._tallies[stream]

    def _is_due(self) -> bool:
        return monotonic() - self._committed_at >= self._step.commit_seconds

    def _commit(self, *, final: bool = False, to_boundary: bool = False) -> None:
        self.tell("loading", now=True)
        state = self._vouched_state()
        try:
            receipt = self._session.commit(
                None if state is None else state.encode(), final=final, to_boundary=to_boundary
            )
            self._settle(receipt, to_boundary=to_boundary)
        except BaseException:
            self.is_broken = True
            raise
        self._committed_at = monotonic()
        self._pending = None
        self._comes_again = False
        self.commits += 1
        for change in receipt.changes:
            self._run.emit(
                Adjusted(
                    step=self._step.name,
                    stream=change.stream,
                    column=change.column,
                    change=change.change,
                    detail=change.detail,
                    count=change.count,
                )
            )
        if state is not None:
            self._keep(state)

    def _vouched_state(self) -> str | None:
        """The state to commit; None keeps the one that stands, which an empty state must not replace."""
        if self._pending is None or self._step.state_id is None:
            return None
        text = self._pending.decode()
        if is_empty(text):
            return None if not is_empty(self._stands) else text
        return merge_text(self._stands, text) if is_partial(self._step) else text

    def _settle(self, receipt: Receipt, *, to_boundary: bool) -> None:
        for stream in {*self._tallies, *receipt.streams}:
            tally = self._tally(stream)
            expected = (tally.vouched if to_boundary else tally.given) - tally.settled
            found = receipt.streams.get(stream)
            rows_in = found.rows_in if found else 0
            if rows_in != expected or (found and found.rows_in != found.rows_out + found.rejected):
                raise RunFailedError(
                    "count-mismatch",
                    f"stream `{stream}`: {expected} rows were given to `{self._step.loader.name}`, "
                    f"its receipt says {_counts(found)}",
                    hint="compare the counts in the destination and report this as a bug of the loader",
                )
            tally.settled += expected
            if found:
                tally.loaded += found.rows_out
                tally.rejected += found.rejected
                tally.repaired += found.repaired

    def _keep(self, state: str) -> None:
        """The data are safe, and their checkpoint with them: a copy that can't be kept is no reason to stop."""
        step = self._step
        assert step.state_id is not None
        self._stands, self._is_saved = state, True
        try:
            save(self._backend, step.state_id, state, run_id=self._run.plan.run_id, with_data=True)
            self._unkept = None
        except HeadwaterError as error:
            self._unkept = state
            self._run.tell(step.name, Level.WARNING, f"the copy of the state was not kept: {error.what}")
        self._run.emit(CheckpointSaved(step=step.name, state_id=step.state_id, state=state))

    def keep_copy(self) -> None:
        """To be called at the end: a run does not end well without its copy, since a state that a person set would
        still stand there, and count again. Raises EnvironmentProblemError (`state-not-kept`)."""
        if self._unkept is None:
            return
        assert self._step.state_id is not None
        try:
            save(self._backend, self._step.state_id, self._unkept, run_id=self._run.plan.run_id, with_data=True)
        except HeadwaterError as error:
            raise EnvironmentProblemError(
                "state-not-kept",
                f"all is loaded, but the {self._backend.label} did not take the copy of the state",
                why="\n".join(text for text in (error.what, error.why) if text),
                hint="nothing is lost: the next run goes on from the checkpoint in the destination. Run it again when "
                "the states can be reached",
            ) from error


def added(before: tuple[StreamFigures, ...], after: tuple[StreamFigures, ...]) -> tuple[StreamFigures, ...]:
    """The figures of two attempts at a load."""
    both = {one.stream: one for one in before}
    for one in after:
        other = both.get(one.stream)
        both[one.stream] = one if other is None else _sum(other, one)
    return tuple(both.values())


def _sum(one: StreamFigures, other: StreamFigures) -> StreamFigures:
    counts = ("read", "loaded", "rejected", "filtered", "repaired", "size", "seconds")
    summed = {name: (getattr(one, name) or 0) + (getattr(other, name) or 0) for name in counts}
    return replace(other, **summed)


def _counts(found: StreamReceipt | None) -> str:
    if found is None:
        return "none"
    return f"{found.rows_in} in, {found.rows_out} taken, {found.rejected} set aside"

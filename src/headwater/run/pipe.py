"""Singer to Singer: the programs talk through kernel pipes, we read nothing but the states that the loader prints.

This road imports no data library: a small run costs little more than its plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headwater.base.clock import monotonic
from headwater.model.event import Level, Progress, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.run.chain import Chain, Start
from headwater.run.runner import Run

_SAVE_SECONDS = 0.5
_PROGRESS_SECONDS = 0.5


def pipe(
    step: ExtractLoad, starts: Sequence[Start], run: Run, *, save: Callable[[str], None]
) -> tuple[StreamFigures, ...]:
    """Run extractor, mappers and loader to their end. `save` gets the states that the loader vouches for.

    Returns what the extractor says it read. Raises RunFailedError naming the one to blame, or the reason of a
    cancellation; the states that came before it are saved.
    """
    with Chain(starts, step=step.name, run=run, idle_seconds=step.idle_timeout_seconds) as chain:
        supervise(step, chain, run, save=save, counts=lambda: chain.source_counts)
        return _figures(chain.source_counts)


def supervise(
    step: ExtractLoad, chain: Chain, run: Run, *, save: Callable[[str], None], counts: Callable[[], dict[str, int]]
) -> None:
    """Read the states until the chain has ended; raise when it didn't end well."""
    started = monotonic()
    told = started
    states = StateLines(step.name, run, save)

    def idle() -> None:
        nonlocal told
        states.save_late()
        if monotonic() - told >= _PROGRESS_SECONDS:
            told = monotonic()
            run.emit(
                Progress(
                    step=step.name, phase="extracting and loading", streams=_figures(counts()), seconds=told - started
                )
            )

    try:
        for data in chain.chunks(idle):
            states.feed(data)
        chain.wait(idle)
    finally:
        states.finish()
    run.cancel.check()
    failure = chain.failure()
    if failure is not None:
        raise failure
    if step.state_id is not None and not states.are_any and _says_where_it_stands(step):
        run.tell(
            step.name,
            Level.WARNING,
            f"`{step.loader.name}` read everything and printed no state: whether it kept the rows only it knows, "
            f"and the next run extracts what this one did (if `{step.extractor.name}` did send a state)",
        )


def _says_where_it_stands(step: ExtractLoad) -> bool:
    """Whether states are to be expected of the extractor. What it sends through a kernel pipe nobody sees."""
    return step.extractor.native is not None or "state" in step.extractor.capabilities


class StateLines:
    """A loader's stdout: each line is a state that everything before is safe for; the newest is what counts.

    States are saved at most twice a second: a state that is saved late is never ahead of the data.
    """

    def __init__(self, step: str, run: Run, save: Callable[[str], None]) -> None:
        self._step = step
        self._run = run
        self._save = save
        self._rest = b""
        self._newest: str | None = None
        self._saved_at = 0.0
        self.are_any = False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.strip())
        self.save_late()

    def save_late(self) -> None:
        if self._newest is not None and monotonic() - self._saved_at >= _SAVE_SECONDS:
            self._saved_at = monotonic()
            text, self._newest = self._newest, None
            self._save(text)

    def finish(self) -> None:
        # A last line without its end may be cut, but then it is no JSON either.
        self._take(self._rest.strip())
        self._rest = b""
        self._saved_at = float("-inf")
        self.save_late()

    def _take(self, line: bytes) -> None:
        if not line:
            return
        try:
            msgspec.json.decode(line, type=dict[str, msgspec.Raw] | None)
            self._newest = line.decode()
            self.are_any = True
        except (msgspec.DecodeError, UnicodeDecodeError):
            shown = line[:80].decode("utf-8", "replace")
            self._run.tell(
                self._step, Level.WARNING, f"the loader wrote a line that is no state, it is ignored: {shown}"
            )


def _figures(counts: dict[str, int]) -> tuple[StreamFigures, ...]:
    return tuple(StreamFigures(stream=stream, read=count) for stream, count in counts.items())

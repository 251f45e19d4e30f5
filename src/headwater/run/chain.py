"""Programs joined by kernel pipes: no byte between them passes through this process.

We keep a second read end of every joint. So a program whose reader dies is not hit by a broken pipe, which would
hide who failed: it waits until we stop it. And when a reader ends we can see whether it had read everything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from msgspec import Struct

from headwater.base import process
from headwater.base.clock import monotonic
from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.base.process import Child
from headwater.base.text import duration
from headwater.model.plan import Block
from headwater.run.blame import End, verdict
from headwater.run.lines import Lines
from headwater.run.runner import Run

TICK = 0.1
GRACE = 10.0  # for a program that was told to stop
_CHUNK = 4 << 20
_GATHER = 0.05


class Start(Struct, frozen=True, kw_only=True):
    """A program to start: its block and the arguments that come after the block's own."""

    block: Block
    args: tuple[str, ...] = ()


class _Link:
    def __init__(self, block: Block, child: Child, lines: Lines, joint: int | None) -> None:
        self.block = block
        self.child = child
        self.lines = lines
        self.joint = joint  # our read end of the pipe it reads from
        self.stopped_at: float | None = None
        self.cut_off = False

    def stop(self) -> None:
        if self.stopped_at is None and self.child.code is None:
            self.stopped_at = monotonic()
            self.child.signal(signal.SIGTERM)


class Chain:
    """Starts the programs and looks after them until all have ended. Use as a context manager.

    With `fed`, the first one reads from `inlet`, which the caller writes to until `close_inlet`. `outlet` is the
    last one's stdout. `tick` must be called every moment while the caller does something else than the calls here.
    """

    def __init__(self, starts: Sequence[Start], *, step: str, run: Run, idle_seconds: float, fed: bool = False) -> None:
        self._run = run
        self._fed = fed
        self._idle_seconds = idle_seconds
        self._links: list[_Link] = []
        self._signs: object = None
        self._sign_at = monotonic()
        self._looked_at = 0.0
        self._failure: HeadwaterError | None = None
        self._watch = contextlib.ExitStack()
        self.inlet: int | None = None
        self.at_end = False
        reader: int | None = None
        if fed:
            reader, self.inlet = process.pipe()
        try:
            for start in starts:
                reader = self._start(start, step, reader)
        except BaseException:
            self.close()
            raise
        assert reader is not None
        self.outlet = reader
        self._watch.enter_context(run.cancel.watched(self._on_cancel, self._on_abort))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, start: Start, step: str, reader: int | None) -> int:
        block = start.block
        lines = Lines(step, block, self._run.emit)
        outlet, writer = process.pipe()
        try:
            child = Child(
                [*block.argv, *start.args],
                name=block.name,
                env=block.env,
                cwd=self._run.plan.root,
                stdin=process.DEVNULL if reader is None else reader,
                stdout=writer,
                on_line=lines,
            )
        except BaseException:
            os.close(outlet)
            if reader is not None:
                os.close(reader)
            raise
        finally:
            os.close(writer)
        self._links.append(_Link(block, child, lines, reader))
        return outlet

    @property
    def source_counts(self) -> dict[str, int]:
        """Records by stream as the first program counted them itself; empty when it doesn't tell."""
        return dict(self._links[0].lines.read)

    def chunks(self, on_idle: Callable[[], None]) -> Iterator[bytes]:
        """What the last program writes, in pieces of up to 4 MiB. `on_idle` is called between pieces, at least
        twice a second. Ends at end of file, or when the run is cancelled and the programs have ended."""
        while data := self._read(on_idle):
            yield data
        self.at_end = True

    def _read(self, on_idle: Callable[[], None]) -> bytes:
        self._sign_at = monotonic()
        while not process.is_readable(self.outlet, TICK):
            self.tick()
            on_idle()
        parts = [os.read(self.outlet, _CHUNK)]
        size = len(parts[0])
        # Many small pieces cost more than a moment's wait for a large one.
        until = monotonic() + _GATHER
        while parts[-1] and size < _CHUNK and process.is_readable(self.outlet, max(0.0, until - monotonic())):
            parts.append(os.read(self.outlet, _CHUNK))
            size += len(parts[-1])
        self.tick()
        on_idle()
        return b"".join(parts)

    def tick(self) -> None:
        """Stop whoever writes to a dead reader, kill whoever was told to stop and didn't, notice a hang.

        Raises what hindered us to hand on a line of stderr: a listener that failed, a full disk.
        """
        for upstream, link in zip(self._links, self._links[1:], strict=False):
            self._look_at_joint(upstream, link)
            _end_leftovers(upstream, link.joint)
        _end_leftovers(self._links[-1], self.outlet)
        for link in self._links:
            if link.child.line_error is not None:
                raise link.child.line_error
            if link.stopped_at is not None and link.child.code is None and monotonic() - link.stopped_at > GRACE:
                link.child.signal(signal.SIGKILL)
        self._look_for_signs()

    def wait(self, on_idle: Callable[[], None] = lambda: None) -> None:
        """Until every program has ended."""
        for link in self._links:
            while link.child.wait(TICK) is None:
                self.tick()
                on_idle()
        for upstream, link in zip([None, *self._links], self._links, strict=False):
            self._look_at_joint(upstream, link)
            link.lines.finish()

    def failure(self) -> HeadwaterError | None:
        """After `wait`: what went wrong, None when every program ended well."""
        if self._failure is not None:
            return self._failure
        return verdict([_end(link) for link in self._links])

    def end(self) -> None:
        """End what still runs. A thread that reads from `outlet` comes to its end then; idempotent."""
        self._watch.close()
        for link in self._links:
            link.stop()
        until = monotonic() + GRACE
        for link in self._links:
            if link.child.code is None:
                link.child.terminate(max(0.0, until - monotonic()))

    def close(self) -> None:
        """End what still runs and free everything; nobody may read from `outlet` any more. Idempotent."""
        self.end()
        for link in self._links:
            _close(link.joint)
            link.joint = None
        self.close_inlet()
        _close(getattr(self, "outlet", None))
        self.outlet = -1

    def is_first_dead(self) -> bool:
        """Whether the program that reads from `inlet` has ended."""
        return self._links[0].child.code is not None

    def close_inlet(self) -> None:
        """The first program gets end of file; idempotent."""
        inlet, self.inlet = self.inlet, None
        _close(inlet)

    def _look_at_joint(self, upstream: _Link | None, link: _Link) -> None:
        if link.joint is None or link.child.code is None or link.cut_off:
            return
        if not process.ended_and_empty(link.joint):
            link.cut_off = True
            if upstream is not None:
                upstream.stop()

    def _look_for_signs(self) -> None:
        now = monotonic()
        if now - self._looked_at < 1:
            return
        self._looked_at = now
        signs = [
            (link.child.code is None and _traffic(link.child.pid), link.child.last_sign_at) for link in self._links
        ]
        if signs != self._signs:
            self._signs, self._sign_at = signs, now
        elif now - self._sign_at > self._idle_seconds and self._failure is None:
            self._failure = self._silence(now - self._sign_at)
            for link in self._links if self._failure is not None else ():
                link.stop()

    def _silence(self, seconds: float) -> RunFailedError | None:
        """Who has something to do and does not do it: the last one whose input waits for it or is at its end, else the
        first. Where that one waits for what we feed, it is not its fault: who feeds us has the time to be found out."""
        alive = [link for link in self._links if link.child.code is None]
        waited_for = [link for link in alive if link.joint is not None and process.is_readable(link.joint, 0)]
        link = (waited_for or self._links[:1])[-1]
        if waited_for:
            what = f"`{link.block.name}` did nothing with its input"
        elif self._fed:
            if seconds < self._idle_seconds + GRACE:
                return None
            what = f"nothing came for `{link.block.name}`"
        else:
            what = f"`{link.block.name}` did nothing"
        return RunFailedError(
            "no-sign-of-life",
            f"{what} for {duration(self._idle_seconds)}",
            why=link.lines.cause(),
            hint="to allow more time: headwater config set EXTRACTOR _idle_timeout_seconds N",
        )

    def _on_cancel(self) -> None:
        # Only the source: the others end by end of file, with all that they were given. Who feeds us asks himself.
        if not self._fed:
            self._links[0].stop()

    def _on_abort(self) -> None:
        for link in self._links:
            link.stop()
            link.child.signal(signal.SIGKILL)


def write(descriptor: int, data: bytes, is_over: Callable[[], bool]) -> bool:
    """Write all of `data` to a non-blocking pipe. False when `is_over` says that nobody will read it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            if is_over():
                return False
            time.sleep(0.002)
        except BrokenPipeError:
            return False
    return True


def _end_leftovers(link: _Link, pipe: int | None) -> None:
    """A process that a program left running may hold its stdout open, and the next one waits for ever."""
    ended_at = link.child.ended_at
    if pipe is not None and ended_at is not None and monotonic() - ended_at > GRACE and process.has_writer(pipe):
        link.child.kill_group()


def _end(link: _Link) -> End:
    assert link.child.code is not None
    assert link.child.ended_at is not None
    return End(
        kind=link.block.kind,
        name=link.block.name,
        code=link.child.code,
        at=link.child.ended_at,
        stopped=link.stopped_at is not None,
        cut_off=link.cut_off,
        cause=link.lines.cause(),
    )


def _traffic(pid: int) -> bytes:
    """The bytes that a process has moved, as text that changes when they do. Where the system doesn't tell, it
    always changes: nobody is stopped for a silence that we can't hear."""
    try:
        descriptor = os.open(f"/proc/{pid}/io", os.O_RDONLY)
        try:
            return os.read(descriptor, 512)
        finally:
            os.close(descriptor)
    except OSError:
        return str(monotonic()).encode()


def _close(descriptor: int | None) -> None:
    if descriptor is not None and descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)

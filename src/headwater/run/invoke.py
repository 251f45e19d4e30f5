"""Runs one command of a plugin."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence

from headwater.base import process
from headwater.base.errors import RunFailedError
from headwater.base.process import Child
from headwater.model.event import Level, PluginLine, StreamFigures
from headwater.model.plan import Block, Invoke
from headwater.run.lines import Lines, redactor
from headwater.run.runner import Run

_GRACE = 10.0
_TICK = 0.1
_LINE = 8 << 10


def execute(step: Invoke, run: Run) -> tuple[StreamFigures, ...]:
    """The executor for Invoke steps: stdout and stderr become PluginLine events.

    Raises RunFailedError (`command-failed`) when the command's exit code is not 0.
    """
    lines = Lines(step.name, step.block, run.emit)
    outlet, writer = process.pipe()
    try:
        try:
            child = _child(step, stdout=writer, on_line=lines)
        finally:
            os.close(writer)
        with run.cancel.watched(lambda: child.signal(signal.SIGTERM), lambda: child.signal(signal.SIGKILL)):
            try:
                _hand_on(step.name, step.block, outlet, run)
                while child.wait(_TICK) is None and not run.cancel.is_set():
                    pass
            finally:
                code = child.terminate(_GRACE) if child.code is None else child.code
                lines.finish()
    finally:
        os.close(outlet)
    run.cancel.check()
    if code != 0:
        what = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        raise RunFailedError(
            "command-failed",
            f"`{step.name}` failed with {what}",
            why=lines.cause(),
            hint=f"headwater invoke {step.name} shows all it says",
            program_code=code,
        )
    return ()


def passthrough(argv: Sequence[str], block: Block, *, cwd: str) -> int:
    """Run a program of the plugin on our own stdin, stdout and stderr, as a shell would. Returns its exit code;
    128 + n when signal n ended it.

    It stays in our process group, so that it may read from the terminal and gets Ctrl-C from there as we do: what
    to make of that is its own affair, and we wait for it.
    """
    with _deaf_to_ctrl_c():
        child = Child(argv, name=block.name, env=block.env, cwd=cwd, stdin=None, stdout=None, own_group=False)
        code = child.wait()
    assert code is not None
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A handler that does nothing, not SIG_IGN: a program would inherit that."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _child(step: Invoke, *, stdout: int, on_line: Lines) -> Child:
    return Child(step.argv, name=step.block.name, env=step.block.env, cwd=step.cwd, stdout=stdout, on_line=on_line)


def _hand_on(step: str, block: Block, outlet: int, run: Run) -> None:
    """Every line of stdout, until its end or a cancellation."""
    redact = redactor(block)
    rest = b""

    def show(line: bytes) -> None:
        text = redact(line.decode("utf-8", "replace").rstrip("\r"))[:_LINE]
        run.emit(PluginLine(step=step, plugin=block.name, level=Level.INFO, text=text, stdout=True))

    while not run.cancel.is_set():
        if not process.is_readable(outlet, _TICK):
            continue
        data = os.read(outlet, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            show(line)
        rest = rest[: process.LINE_BYTES]
    if rest:
        show(rest)

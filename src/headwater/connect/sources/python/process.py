"""The process that runs a source's code, and the frames it sends (see `headwater.sources.child`)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import HeadwaterError, InputError, RunFailedError, Where
from headwater.base.process import Child, is_readable, pipe
from headwater.base.redact import Redactor
from headwater.base.text import duration

# How often a silent process is left to look whether it is still wanted, and how long it has to end by itself.
_TICK = 0.2
_GRACE_SECONDS = 2.0
_CHUNK = 1 << 20
_PACKAGE = Path(__file__).parents[3]
_ARROW = Path(pa.__file__).parents[1]


class Frame(Struct, frozen=True):
    """What the code's process says: `about` by name, with `payload` for what is Arrow."""

    what: str
    about: dict[str, Any]
    payload: pa.Buffer

    def batch(self) -> pa.RecordBatch:
        with pa.ipc.open_stream(self.payload) as reader:
            return reader.read_next_batch()

    def schema(self) -> pa.Schema:
        return pa.ipc.read_schema(self.payload)


class StoppedError(Exception):
    """It was told to stop before it was done."""


def frames(
    request: Mapping[str, Any],
    *,
    source: str,
    root: str,
    venv: str | None,
    env: Mapping[str, str],
    secrets: Sequence[str],
    idle_seconds: float,
    should_stop: Callable[[], bool] = lambda: False,
    on_line: Callable[[str], None] = lambda _text: None,
    failed: Callable[[dict[str, Any]], HeadwaterError] | None = None,
) -> Generator[Frame, None, None]:
    """Start the code with a request and give its frames, up to the end that it says; it is gone when this is closed.
    `failed` makes an error of what the process says of one, where that is no code of the user's. Neither its errors nor
    its lines show one of the `secrets`.

    Raises RunFailedError with the place in the user's file (`source-failed`), `source-ended-early`,
    `no-sign-of-life`, InputError for what can't be meant as it stands (`bad-source`); StoppedError.
    """
    redact = Redactor(secrets)

    def say(text: str) -> None:
        on_line(redact(text))

    python = str(Path(venv) / "bin" / "python") if venv else sys.executable
    argv = [python, "-u", str(_PACKAGE / "sources" / "child.py"), str(_PACKAGE), str(_ARROW)]
    inlet, ours = pipe()
    outlet, theirs = pipe()
    try:
        child = Child(argv, name=source, env=env, cwd=root, stdin=inlet, stdout=theirs, on_line=say)
    except BaseException:
        for descriptor in (ours, outlet):
            os.close(descriptor)
        raise
    finally:
        os.close(inlet)
        os.close(theirs)
    try:
        with contextlib.suppress(BrokenPipeError), os.fdopen(ours, "wb") as file:
            file.write(msgspec.json.encode(request))
        tell = failed or partial(_failed, name=child.name, root=root)
        yield from _read(_Pipe(outlet, child, should_stop, idle_seconds), child, redact, tell)
    finally:
        os.close(outlet)
        child.terminate(_GRACE_SECONDS)


class _Pipe:
    """The read end, read in pieces between which it is asked whether anybody still wants them."""

    def __init__(self, descriptor: int, child: Child, should_stop: Callable[[], bool], idle_seconds: float) -> None:
        self._descriptor = descriptor
        self._child = child
        self._should_stop = should_stop
        self._idle_seconds = idle_seconds
        self._rest = bytearray()

    def line(self) -> bytes | None:
        """The next line; None at the end."""
        while (end := self._rest.find(b"\n")) < 0:
            self._wait()
            data = os.read(self._descriptor, _CHUNK)
            if not data:
                return None
            self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    def take(self, size: int) -> pa.Buffer | None:
        """So many bytes, in memory of their own; None when the end comes before."""
        taken = bytearray(size)
        filled = min(size, len(self._rest))
        taken[:filled] = self._rest[:filled]
        del self._rest[:filled]
        view = memoryview(taken)
        while filled < size:
            self._wait()
            count = os.readv(self._descriptor, [view[filled:]])
            if not count:
                return None
            filled += count
        return pa.py_buffer(taken)

    def _wait(self) -> None:
        began = monotonic()
        while not is_readable(self._descriptor, _TICK):
            if self._should_stop():
                raise StoppedError
            if monotonic() - max(began, self._child.last_sign_at) > self._idle_seconds:
                raise RunFailedError(
                    "no-sign-of-life",
                    f"the code of `{self._child.name}` did nothing for {duration(self._idle_seconds)}",
                    why="it yielded no row and wrote no line",
                    hint="to allow more time: headwater config set EXTRACTOR _idle_timeout_seconds N",
                )


def _read(
    source: _Pipe, child: Child, redact: Redactor, failed: Callable[[dict[str, Any]], HeadwaterError]
) -> Iterator[Frame]:
    while (line := source.line()) is not None:
        about = msgspec.json.decode(line)
        payload = source.take(about["bytes"])
        if payload is None:
            break
        if about["is"] == "done":
            return
        if about["is"] == "error":
            raise failed({**about, "text": redact(about["text"])})
        yield Frame(about["is"], about, payload)
    code = child.wait(_GRACE_SECONDS)
    raise RunFailedError(
        "source-ended-early",
        f"the process of `{child.name}` ended before it was done: {_ending(code)}",
        why=redact("\n".join(child.tail[-3:])) or None,
        hint="what it wrote before stands in the log of the run",
    )


def _ending(code: int | None) -> str:
    if code is None:
        return "it closed its output"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _failed(about: dict[str, Any], name: str, root: str) -> RunFailedError | InputError:
    where = None
    if about["file"]:
        path = Path(about["file"])
        with contextlib.suppress(ValueError):
            path = path.relative_to(root)
        where = Where(str(path), about["line"])
    kind, text = about["kind"], about["text"]
    if about["module"]:
        return RunFailedError(
            "source-needs-package",
            f"the code of `{name}` needs the package `{about['module']}`, which it does not have",
            where=where,
            hint="name its package at the top of the file, in `# dependencies = […]`, or in `pip_url`",
        )
    if kind == "DeclarationError":
        return InputError("bad-source", text, where=where)
    if kind == "RowError":
        return RunFailedError("bad-row", f"the code of `{name}` yields what can't be loaded: {text}", where=where)
    inside = f" in `{about['function']}`" if about["function"] not in (None, "<module>") else ""
    return RunFailedError(
        "source-failed",
        f"the code of `{name}` failed{inside}: {kind}" + (f": {text.splitlines()[0]}" if text else ""),
        where=where,
        why="\n".join(text.splitlines()[1:6]) or None,
    )

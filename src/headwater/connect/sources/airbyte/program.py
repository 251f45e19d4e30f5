"""The connector's program: its commands, the files that they take, and what it writes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.base.process import Child, is_readable, pipe
from headwater.base.redact import Redactor
from headwater.base.text import duration
from headwater.connect.sources.airbyte.messages import Failure, Reader

_CHUNK = 1 << 20
_TICK = 0.2
_GRACE_SECONDS = 5.0
_PREFIX = "airbyte-"
# What connectors say when they do not know what happened; the cause stands in the words for their authors.
_EMPTY_WORDS = "Something went wrong in the connector"


class Program(Struct, frozen=True, kw_only=True):
    """`package` is the one that brings the program; its `venv` is where it is installed."""

    package: str
    venv: str | None
    root: str = "."
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.package.removeprefix(_PREFIX)

    def path(self) -> str:
        """Raises EnvironmentProblemError (`connector-not-installed`), InputError (`no-connector`)."""
        if self.venv is None or not (Path(self.venv) / "bin" / "python").exists():
            raise EnvironmentProblemError(
                "connector-not-installed", f"the package `{self.package}` is not installed", hint="headwater install"
            )
        path = Path(self.venv) / "bin" / self.name
        if not path.exists():
            raise InputError(
                "no-connector",
                f"the package `{self.package}` brings no program `{self.name}`",
                why="an Airbyte connector in Python brings a program that is called like it, without `airbyte-`",
                hint="correct `source`: airbyte:PACKAGE",
            )
        return str(path)


def chunks(
    program: Program,
    command: str,
    files: Mapping[str, Any],
    *,
    folder: Path,
    reader: Reader,
    idle_seconds: float,
    should_stop: Callable[[], bool] = lambda: False,
    on_line: Callable[[str], None] = lambda _text: None,
) -> Generator[bytes, None, None]:
    """Run a command, `read` or another, and give what it writes; it is gone when this is closed. `files` become its
    options: `config` is written to `folder` and named by `--config`. It ends early when `should_stop` says so.

    After the end, the failures that `reader` has heard of and the exit code count: raises RunFailedError
    (`connector-failed`, `no-sign-of-life`).
    """
    redact = Redactor(program.secrets)
    argv = [program.path(), command]
    for name, content in files.items():
        file = folder / f"{name}.json"
        file.touch(mode=0o600)
        file.write_bytes(msgspec.json.encode(content))
        argv += [f"--{name}", str(file)]
    outlet, theirs = pipe()
    try:
        child = Child(argv, name=program.name, env=program.env, cwd=program.root, stdout=theirs, on_line=on_line)
    except BaseException:
        os.close(outlet)
        raise
    finally:
        os.close(theirs)
    try:
        while True:
            if not _wait(outlet, child, should_stop, idle_seconds):
                return
            data = os.read(outlet, _CHUNK)
            if not data:
                break
            yield data
        code = child.wait(_GRACE_SECONDS)
    finally:
        os.close(outlet)
        child.terminate(_GRACE_SECONDS)
    # The last words may have come with the last piece, which was yielded and read by now.
    if code or reader.failures:
        raise _failed(program, command, code, reader.failures, child.tail[-5:] or list(reader.heard), redact)


def _wait(outlet: int, child: Child, should_stop: Callable[[], bool], idle_seconds: float) -> bool:
    """Whether there is something to read; False when nobody wants it any more."""
    began = monotonic()
    while not is_readable(outlet, _TICK):
        if should_stop():
            return False
        if monotonic() - max(began, child.last_sign_at) > idle_seconds:
            raise RunFailedError(
                "no-sign-of-life",
                f"`{child.name}` did nothing for {duration(idle_seconds)}",
                why="it wrote no record and no line",
                hint="to allow more time: headwater config set EXTRACTOR _idle_timeout_seconds N",
            )
    return not should_stop()


def _failed(
    program: Program,
    command: str,
    code: int | None,
    failures: Sequence[Failure],
    tail: Sequence[str],
    redact: Redactor,
) -> RunFailedError:
    ending = "" if not code else f" with {_ending(code)}"
    if not failures:
        return RunFailedError(
            "connector-failed",
            f"`{program.name} {command}` ended{ending}",
            why=redact("\n".join(tail)) or None,
            hint="what it wrote before stands in the log of the run",
        )
    # The first is the cause; what follows is often no more than that not all streams were read.
    first = failures[0]
    stream = first.stream_descriptor.name if first.stream_descriptor else ""
    texts = [first.internal_message or "", *(failure.message for failure in failures[1:])]
    said = first.message.strip().splitlines() or [first.failure_type or "it does not say why"]
    if said[0].startswith(_EMPTY_WORDS) and first.internal_message:
        said = first.internal_message.strip().splitlines()
    more = dict.fromkeys(line for text in texts for line in text.splitlines()[:3] if line and line not in said)
    return RunFailedError(
        "connector-failed",
        redact(f"`{program.name}` failed" + (f" in stream `{stream}`" if stream else "") + f": {said[0].rstrip('.')}"),
        why=redact("\n".join([*said[1:], *more][:6])) or None,
        hint="correct its settings: headwater config list EXTRACTOR"
        if first.failure_type == "config_error"
        else "its whole traceback stands in the log of the run",
    )


def _ending(code: int) -> str:
    with contextlib.suppress(ValueError):
        if code < 0:
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"

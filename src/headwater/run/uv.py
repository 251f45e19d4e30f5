"""Calls uv, the installer that comes with this package: arguments as a list, no shell, its words kept for errors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv
from msgspec import Struct

from headwater.base.errors import CancelledError, EnvironmentProblemError
from headwater.base.redact import Redactor, without_credentials

# Would point uv or the pythons it starts at the wrong environment, or keep them from caching bytecode.
_NOT_FOR_UV = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON")

_NO_NETWORK = re.compile(
    r"dns error|failed to lookup address|name resolution|could not resolve host|error sending request|"
    r"connection refused|network is unreachable|no route to host|network connectivity is disabled|"
    r"tcp connect error|could not connect|operation timed out|connection timed out",
    re.IGNORECASE,
)
_GRACE_SECONDS = 5.0


class Answer(Struct, frozen=True, kw_only=True):
    """What a call came to. `error` holds uv's stderr without credentials."""

    code: int
    out: str
    error: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def is_no_network(self) -> bool:
        return not self.ok and _NO_NETWORK.search(self.error) is not None

    def last_lines(self, count: int = 12) -> str:
        """The end of what uv said: its errors stand last."""
        lines = [line.rstrip() for line in self.error.splitlines() if line.strip()]
        return "\n".join(lines[-count:])


class Uv:
    """Runs uv in `cwd` with `env`; `stop` ends every call under way, from any thread, and refuses new ones."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._program = _program()

    def __call__(self, args: Sequence[str], *, cwd: Path, env: Mapping[str, str], redact: Redactor) -> Answer:
        return self._run([self._program, *args], cwd=cwd, env=env, redact=redact)

    def program(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Answer:
        """Any other program, in the same clean surroundings."""
        return self._run(list(argv), cwd=cwd, env=env, redact=Redactor())

    def stop(self) -> None:
        with self._guard:
            self._stopped = True
            running = list(self._running)
        for process in running:
            _signal(process, signal.SIGTERM)
        for process in running:
            try:
                process.wait(timeout=_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)

    def _run(self, argv: list[str], *, cwd: Path, env: Mapping[str, str], redact: Redactor) -> Answer:
        with self._guard:
            if self._stopped:
                raise CancelledError(signal.SIGINT)
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=surroundings(env),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                return Answer(code=127, out="", error=f"cannot start {argv[0]}: {error.strerror}")
            self._running.add(process)
        try:
            out, error_text = process.communicate()
        finally:
            with self._guard:
                self._running.discard(process)
        if self._stopped:
            raise CancelledError(signal.SIGINT)
        return Answer(code=process.returncode, out=out, error=without_credentials(redact(error_text)))


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """To the process and those it started: a build runs in a child of uv."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv and for programs of a new build."""
    kept = {name: value for name, value in env.items() if name not in _NOT_FOR_UV}
    return kept | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "GIT_TERMINAL_PROMPT": "0"}


# Its search asks `sysconfig`, whose first call is not safe in two threads at once.
_search = threading.Lock()


def _program() -> str:
    try:
        with _search:
            return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise EnvironmentProblemError(
            "uv-missing",
            "the program `uv` is missing from this installation",
            why=str(error),
            hint="install it again: pip install --force-reinstall uv",
        ) from error

"""The warm worker from our side: a process with dbt loaded that runs the commands of a run, one at a time.

Whatever is odd (another system than Linux, an old dbt, a worker that does not answer) means None, and the caller
starts a plain process instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

import msgspec

from headwater.base import process
from headwater.base.clock import monotonic
from headwater.base.process import Child
from headwater.base.scratch import scratch
from headwater.model.plan import Block
from headwater.plan.dbt import PROGRAM
from headwater.run.cancel import Cancel

# Read when Python starts and when modules are imported: a command with others needs another worker. No secrets.
_AT_START = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|LD_\w+|MALLOC_\w+|OMP_\w+|PYTHON\w+|"
    r"SSL_\w+|OPENSSL_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)
_START_SECONDS = 120.0
_GRACE_SECONDS = 2.0
_TICK = 0.1
_WORKER = Path(__file__).with_name("worker.py")


class _Answer(msgspec.Struct):
    """Of the worker, in one message; empty when it is gone."""

    pid: int | None = None
    code: int | None = None
    odd: str | None = None


class WarmCommand:
    """A command in a fork of the worker; as `Child`, as far as commands go."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self.code: int | None = None
        self._control = control
        self._pid = pid

    def wait(self, seconds: float) -> int | None:
        """The exit code, `-n` when signal n ended it, None when it still runs after `seconds`."""
        if self.code is None and process.is_readable(self._control.fileno(), seconds):
            code = _answer(self._control).code
            self.code = -signal.SIGKILL if code is None else code  # without a code the worker died, and its fork too
        return self.code

    def signal(self, number: int) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def terminate(self, grace: float) -> int:
        """TERM, up to `grace` seconds to end well, then KILL. Returns the exit code."""
        self.signal(signal.SIGTERM)
        if self.wait(grace) is None:
            self.signal(signal.SIGKILL)
        while self.wait(_TICK) is None:
            pass
        assert self.code is not None
        return self.code


class Worker:
    """A worker for one environment of dbt; `close` ends it, and so does our end."""

    def __init__(self, block: Block, program: str, adapter: str | None) -> None:
        self.key = key(block, program)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._at_end = contextlib.ExitStack()
        python = str(Path(program).with_name("python"))
        try:
            # Ours to wipe: the worker may be killed while it uses it.
            folder = self._at_end.enter_context(scratch())
            self._child = Child(
                [python, str(_WORKER), program, adapter or "", str(folder)],
                name=f"worker of {block.name}",
                env=_at_start(block),
                stdin=theirs.fileno(),
                on_line=lambda _: None,
            )
        except BaseException:
            self._control.close()
            self._at_end.close()
            raise
        finally:
            theirs.close()

    def command(
        self, argv: tuple[str, ...], env: dict[str, str], *, cwd: str, output: int, cancel: Cancel
    ) -> WarmCommand | None:
        """Run `argv` (without the program) with exactly this environment; its output and errors go to `output`.
        None when the worker can't: it is of no use any more."""
        request = msgspec.json.encode({"argv": argv, "env": env, "cwd": cwd})
        try:
            socket.send_fds(self._control, [request], [output])
        except OSError:  # gone, or a request that is too long for one message
            return None
        until = monotonic() + _START_SECONDS
        while not process.is_readable(self._control.fileno(), _TICK):
            if monotonic() > until:
                return None
            cancel.check()
        pid = _answer(self._control).pid
        return None if pid is None else WarmCommand(self._control, pid)

    def close(self) -> None:
        self._control.close()
        if self._child.wait(_GRACE_SECONDS) is None:
            self._child.terminate(_GRACE_SECONDS)
        self._at_end.close()


def key(block: Block, program: str) -> tuple[object, ...]:
    """Equal for commands that one worker can run."""
    return (program, block.fingerprint, tuple(sorted(_at_start(block).items())))


def alone(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The words that run the command `argv` of dbt in a process of its own, quicker than its own script does."""
    return (str(Path(argv[0]).with_name("python")), str(_WORKER), argv[0], "--alone", *argv[1:])


def can_be_warm(block: Block, program: str) -> bool:
    """Whether a worker is worth trying: forks are safe on Linux only."""
    path = Path(program)
    return sys.platform == "linux" and path.name == PROGRAM and block.venv is not None and path.is_absolute()


def _at_start(block: Block) -> dict[str, str]:
    return {name: value for name, value in block.env.items() if _AT_START.fullmatch(name)}


def _answer(control: socket.socket) -> _Answer:
    try:
        data = control.recv(1 << 16)
    except OSError:
        data = b""
    return msgspec.json.decode(data, type=_Answer) if data else _Answer()

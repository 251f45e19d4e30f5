"""Child processes that are never lost: own process group, stderr always drained, dead when we are dead.

Why a guard and not `PR_SET_PDEATHSIG`: setting that needs Python code between fork and exec, which is unsafe in a
process that has threads (Arrow and DuckDB start some); it fires when the *thread* that forked ends; it reaches the
child, not the child's children; and it is Linux only. The guard is a `sh` of 1 ms that waits on a pipe whose other
end only we hold: when we die, however we die, the kernel closes it and the guard kills the child's whole group.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError

PIPE_BYTES = 1 << 20  # Linux gives 64 KiB; 1 MiB spares most context switches between two busy processes
LINE_BYTES = 256 << 10  # what goes beyond is dropped: a line of stderr is for people
TAIL_LINES = 40
DEVNULL = subprocess.DEVNULL
_GUARD = 'read -r _ || kill -KILL "$1"'
_WIPE = 'read -r _ || exec /bin/rm -rf -- "$1"'


def pipe() -> tuple[int, int]:
    """A kernel pipe (read end, write end) of 1 MiB where the system grants it. Children don't inherit it by chance."""
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's quota for large pipes may be used up
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


def is_readable(descriptor: int, seconds: float) -> bool:
    """Whether a read would return at once (data or end of file), waiting up to `seconds` for it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def ended_and_empty(descriptor: int) -> bool:
    """Whether all that was written to the pipe has been read and nobody can write to it any more."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(flags & select.POLLHUP and not flags & select.POLLIN for _, flags in poll.poll(0))


def has_writer(descriptor: int) -> bool:
    """Whether anybody can still write to the pipe."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return not any(flags & select.POLLHUP for _, flags in poll.poll(0))


class Child:
    """A running program.

    `stdin` and `stdout` are file descriptors or `DEVNULL`, None inherits ours; they stay the caller's to close.
    Each line of stderr goes to `on_line` (without its line end) from a thread of its own; with `on_line` None
    stderr is inherited. What `on_line` raises is kept as `line_error`, and no more lines are handed on. Raises
    EnvironmentProblemError (`cannot-start`) when the program is not there or may not be run.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str],
        cwd: str | None = None,
        stdin: int | None = DEVNULL,
        stdout: int | None = DEVNULL,
        on_line: Callable[[str], None] | None = None,
        own_group: bool = True,
    ) -> None:
        self.name = name
        self.ended_at: float | None = None
        self.line_error: Exception | None = None
        self.last_sign_at = monotonic()
        self._own_group = own_group
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._ended = threading.Event()
        try:
            self._process = subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=None if on_line is None else subprocess.PIPE,
                process_group=0 if own_group else None,
            )
        except (OSError, ValueError) as error:
            raise _cannot_start(name, argv, cwd, error) from error
        self.pid = self._process.pid
        self._guard = _guard(_GUARD, str(-self.pid if own_group else self.pid))
        self._drain: threading.Thread | None = None
        if on_line is not None:
            self._drain = threading.Thread(
                target=self._read_lines, args=(on_line,), name=f"stderr of {name}", daemon=True
            )
            self._drain.start()
        threading.Thread(target=self._reap, name=f"wait for {name}", daemon=True).start()

    @property
    def code(self) -> int | None:
        """The exit code, `-n` when signal n ended it, None while it runs."""
        return self._process.returncode if self._ended.is_set() else None

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of stderr."""
        return tuple(self._tail)

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, None when it still runs after `seconds`. All of its stderr has then been handed on."""
        if not self._ended.wait(seconds):
            return None
        if self._drain is not None and self._drain is not threading.current_thread():
            # A grandchild may hold stderr open for ever: its lines are not worth waiting for.
            self._drain.join(1.0)
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to the whole group. Does nothing when the program has ended."""
        if self._ended.is_set():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._own_group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def terminate(self, grace: float) -> int:
        """TERM, up to `grace` seconds to end well, then KILL. Returns the exit code."""
        self.signal(signal.SIGTERM)
        code = self.wait(grace)
        if self._own_group:
            self.kill_group()  # also when it ended in time: its children may have ignored TERM
        elif code is None:
            self.signal(signal.SIGKILL)
        code = self.wait()
        assert code is not None
        return code

    def kill_group(self) -> None:
        """Kill the program and whatever it left behind, also after its own end."""
        assert self._own_group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        self._process.wait()
        self.ended_at = monotonic()
        self._ended.set()
        if self._guard is not None:
            _release(self._guard)

    def _read_lines(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stderr is not None
        descriptor = self._process.stderr.fileno()
        rest = b""
        while data := os.read(descriptor, 1 << 16):
            self.last_sign_at = monotonic()
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[:LINE_BYTES]
            for line in lines:
                self._take(line, on_line)
        if rest:
            self._take(rest, on_line)
        self._process.stderr.close()

    def _take(self, line: bytes, on_line: Callable[[str], None]) -> None:
        text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
        self._tail.append(text)
        if self.line_error is None:
            try:
                on_line(text)
            except Exception as error:  # noqa: BLE001 - kept for the caller; a pipe nobody drains would block the child
                self.line_error = error


@contextlib.contextmanager
def wiped_when_killed(folder: Path) -> Iterator[None]:
    """Within the block: when this process dies, however it dies, the folder is removed."""
    guard = _guard(_WIPE, str(folder))
    try:
        yield
    finally:
        if guard is not None:
            _release(guard)


def _guard(script: str, target: str) -> subprocess.Popen[bytes] | None:
    """None where there is no `sh`: children then end by their pipes closing."""
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", target],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal must not reach it
        )
    except OSError:
        return None


def _release(guard: subprocess.Popen[bytes]) -> None:
    assert guard.stdin is not None
    with contextlib.suppress(OSError):
        guard.stdin.write(b"\n")
        guard.stdin.close()
    guard.wait()


def _cannot_start(name: str, argv: Sequence[str], cwd: str | None, error: Exception) -> EnvironmentProblemError:
    program = argv[0] if argv else ""
    if isinstance(error, FileNotFoundError) and cwd is not None and error.filename == cwd:
        return EnvironmentProblemError("cannot-start", f"cannot start `{name}`: the folder `{cwd}` does not exist")
    if isinstance(error, FileNotFoundError):
        what = f"cannot start `{name}`: `{program}` was not found"
        hint = f"headwater install {name}, or correct its `executable`"
    elif isinstance(error, PermissionError):
        what, hint = f"cannot start `{name}`: `{program}` may not be executed", f"chmod +x {program}"
    else:
        what, hint = f"cannot start `{name}`: {error}", f"headwater install {name}"
    return EnvironmentProblemError("cannot-start", what, hint=hint)

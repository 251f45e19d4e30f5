"""A lease on a file: shared to read, exclusive to write, freed by the kernel when its holder dies.

Beside `warehouse.duckdb` stands the folder `.warehouse.duckdb.lease` with two lock files. `use` is the lock proper.
`turn` is a turnstile before it: whoever waits for `use` stands in the turnstile, so late readers can't slip past
a waiting writer. Every holder also keeps a file of its own, locked for as long as it holds, that says who it
is. No file's presence or age means anything; only a lock does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError
from headwater.base.files import cannot_write

# flock has no time limit and wakes no callback, so a waiter asks again: at once, then slower.
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


@contextlib.contextmanager
def lease(
    path: Path,
    *,
    exclusive: bool,
    who: str,
    on_wait: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> Iterator[None]:
    """Hold `path` shared (any number of holders) or exclusive (one), between processes and between threads.

    `who` is a short text (`load of github`); with the process id it is what others are told while they wait.
    `on_wait` gets that text once for each holder waited for. The lease is fair: a waiting writer is not
    overtaken by readers that came later. It can't be taken twice by one thread.

    Raises EnvironmentProblemError: `warehouse-busy` naming the holder after `timeout` seconds (None waits for
    ever), `cannot-write` when the lock folder can't be made.
    """
    folder = lease_folder(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        turn = _open(folder / "turn")
    except OSError as error:
        raise cannot_write(folder, error) from error
    with contextlib.ExitStack() as held:
        with contextlib.ExitStack() as in_turn:
            in_turn.callback(os.close, turn)
            use = _open(folder / "use")
            held.callback(os.close, use)
            wait = _Wait(path, folder, on_wait, timeout)
            mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
            wait.until_locked(turn, mode)
            wait.until_locked(use, mode)
            held.enter_context(_named(folder, who))
        yield


def lease_folder(path: Path) -> Path:
    """Where the lease of a file lives. All names of one file (links, relative paths) lead to the same folder."""
    real = path.resolve()
    return real.parent / f".{real.name}.lease"


def holders(path: Path) -> list[str]:
    """Who holds the lease now, as `load of github (pid 4711)`."""
    found = []
    for file in sorted(lease_folder(path).glob("*.holder")):
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # its holder has just gone
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            found.append(os.pread(descriptor, 1000, 0).decode(errors="replace"))
        else:  # nobody holds it: left behind by a process that died
            file.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return [text for text in found if text]


def _wipe_left(folder: Path) -> None:
    """What holders that were killed left. One that has just made its file and not locked it yet loses a courtesy."""
    for file in (*folder.glob("*.holder"), *folder.glob("*.new")):
        with contextlib.suppress(OSError), file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


@contextlib.contextmanager
def _named(folder: Path, who: str) -> Iterator[None]:
    """Tell waiters who holds the lease. It is only a courtesy: a full disk must not cost us the lease."""
    made = folder / f"{os.getpid()}-{secrets.token_hex(4)}.new"
    file = made.with_suffix(".holder")
    descriptor = None
    _wipe_left(folder)
    with contextlib.suppress(OSError):
        descriptor = _open(made)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.pwrite(descriptor, f"{who} (pid {os.getpid()})".encode(), 0)
        made.rename(file)  # nobody meets one that is not locked yet
    try:
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
            os.close(descriptor)


class _Wait:
    """One attempt to get in: its deadline, and whom it has reported already."""

    def __init__(self, path: Path, folder: Path, on_wait: Callable[[str], None] | None, timeout: float | None) -> None:
        self._path = path
        self._folder = folder
        self._on_wait = on_wait
        self._deadline = None if timeout is None else monotonic() + timeout
        self._reported = ""

    def until_locked(self, descriptor: int, mode: int) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return
            self._report()
            if self._deadline is not None and monotonic() >= self._deadline:
                raise busy(self._path, self._reported or None)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _report(self) -> None:
        names = " and ".join(holders(self._path))
        if names and names != self._reported:
            self._reported = names
            if self._on_wait is not None:
                self._on_wait(names)


def busy(path: Path, holder: str | None) -> EnvironmentProblemError:
    """The error for a file that others hold."""
    return EnvironmentProblemError(
        "warehouse-busy",
        f"`{path}` is in use",
        why=f"held by {holder}" if holder else None,
        hint=f"wait for it to end, or see who has it open: fuser -v {path}",
    )

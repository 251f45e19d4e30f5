"""Locks that the kernel frees when their holder dies. No timestamp, no heartbeat, no stale lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from pathlib import Path

from headwater.base.files import cannot_write


class Lock:
    """A lock that is held until `release` or the end of this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def release(self, *, remove: bool = False) -> None:
        """Free it; idempotent. `remove` also takes the file away: only for a name that is never used again."""
        if self._descriptor is None:
            return
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None


def try_lock(path: Path, owner: str = "") -> Lock | None:
    """Take the lock at once, or None when somebody holds it. `owner` is what `owner_of` tells the others."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, owner.encode())
    return Lock(path, descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def owner_of(path: Path) -> str:
    """What the last holder said of itself; empty when nobody ever held it."""
    try:
        return path.read_text()
    except OSError:
        return ""


def file_name(name: str) -> str:
    """A file name for any text: readable, and different for different texts."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)[:80].lstrip('.')}-{digest}"

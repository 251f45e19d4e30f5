"""Private folders among the system's temporary files. They may hold rows and certificates, so nothing stays behind:
what a killed process left is wiped by the next one that needs such a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "headwater-"
_OWNER = ".owner"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder for this user alone, wiped at the end of the block."""
    place = Path(tempfile.gettempdir())
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    # Locked before it has its name: a folder whose lock is free would look abandoned.
    making = folder / f"{_OWNER}.new"
    descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        making.rename(folder / _OWNER)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _sweep(place: Path) -> None:
    for owner in place.glob(f"{_PREFIX}*/{_OWNER}"):
        with contextlib.suppress(OSError):  # another user's, or gone
            _wipe_abandoned(owner)


def _wipe_abandoned(owner: Path) -> None:
    if owner.parent.is_symlink() or owner.parent.stat().st_uid != os.geteuid():
        return
    descriptor = os.open(owner, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(owner.parent, ignore_errors=True)
    finally:
        os.close(descriptor)

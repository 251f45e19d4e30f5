"""A private folder per run for config files, catalogs and spools: 0700, gone when the run is gone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from headwater.base.files import locked, private_folder
from headwater.base.process import wiped_when_killed
from headwater.store.locks import Lock, is_held, try_lock

_OWNER = ".owner"


class RunFolders:
    """The folders below `<home>/run`. Config files with secrets stand here, so nothing stays behind, also when the
    run is killed. What a machine that lost its power left is wiped at the start of the next run."""

    def __init__(self, home: Path) -> None:
        self.root = home / "run"

    @contextlib.contextmanager
    def opened(self, run_id: str) -> Iterator[Path]:
        """The folder of a run, empty at first and wiped at the end. One holder at a time."""
        path = self.root / run_id
        # Making and sweeping exclude each other: a folder without its lock yet would look abandoned.
        with locked(self.root / ".lock"):
            self._sweep()
            owner = self._make(path)
        try:
            with wiped_when_killed(path):
                yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            owner.release()

    def sweep(self) -> int:
        """Wipe the folders whose run is dead; returns how many."""
        with locked(self.root / ".lock"):
            return self._sweep()

    def _make(self, path: Path) -> Lock:
        private_folder(self.root)
        private_folder(path)
        owner = try_lock(path / _OWNER)
        if owner is None:
            raise RuntimeError(f"the folder {path} is in use")
        return owner

    def _sweep(self) -> int:
        wiped = 0
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.is_dir() and not is_held(path / _OWNER):
                shutil.rmtree(path, ignore_errors=True)
                wiped += 1
        return wiped

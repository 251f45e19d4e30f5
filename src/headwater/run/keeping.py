"""What a run reads and leaves behind, handed to it by whoever starts it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from headwater.base.errors import RunFailedError
from headwater.store.catalogs import Catalogs
from headwater.store.locks import Lock, file_name, owner_of, try_lock
from headwater.store.run_folders import RunFolders
from headwater.store.states import StateBackend


class Keeping(Struct, frozen=True, kw_only=True):
    states: StateBackend
    catalogs: Catalogs
    folders: RunFolders
    locks: Path

    def pipeline_lock(self, state_id: str, owner: str) -> Lock:
        """One load at a time for a state id. Raises RunFailedError (`already-running`) that says who runs."""
        path = self.locks / f"{file_name(state_id)}.lock"
        lock = try_lock(path, owner)
        if lock is None:
            raise RunFailedError(
                "already-running",
                f"`{state_id}` is already running",
                why=owner_of(path) or None,
                hint="wait for it to end, or run beside it: headwater run --force …",
            )
        return lock

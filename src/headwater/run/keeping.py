"""What a run reads and leaves behind, handed to it by whoever starts it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from headwater.base.errors import RunFailedError
from headwater.store.catalogs import Catalogs
from headwater.store.locks import Lock, file_name, owner_of, try_lock
from headwater.store.run_folders import RunFolders
from headwater.store.states import Held, StateBackend


class Keeping(Struct, frozen=True, kw_only=True):
    states: StateBackend
    catalogs: Catalogs
    folders: RunFolders
    locks: Path

    def pipeline_lock(self, state_id: str, owner: str) -> PipelineLock:
        """One load at a time for a state id: of those on this machine, and where the states are kept in a place that
        has locks, of all that keep theirs there. Raises RunFailedError (`already-running`) that says who runs."""
        path = self.locks / f"{file_name(state_id)}.lock"
        lock = try_lock(path, owner)
        if lock is None:
            raise RunFailedError(
                "already-running",
                f"`{state_id}` is already running",
                why=owner_of(path) or None,
                hint=_HINT,
            )
        try:
            held = self.states.hold(state_id, owner)
        except BaseException:
            lock.release()
            raise
        if held is None:
            lock.release()
            raise RunFailedError(
                "already-running",
                f"`{state_id}` is already running elsewhere",
                why=f"a run holds its place in the {self.states.label}",
                hint=_HINT,
            )
        return PipelineLock(here=lock, everywhere=held)


class PipelineLock(Struct, frozen=True, kw_only=True):
    here: Lock
    everywhere: Held

    def release(self) -> None:
        """Free both; idempotent."""
        self.everywhere.release()
        self.here.release()


_HINT = "wait for it to end, or run beside it: headwater run --force …"

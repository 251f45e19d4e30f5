"""A state backend as a package of a third party has it, with the methods that Meltano asks for."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

KEY = SimpleNamespace(name="state_backend.attic.key", kind="string", value=None, sensitive=True)


class Attic:
    label = "Attic"

    def __init__(self, uri: str, key: str, **_others: object) -> None:
        if key != "k":
            raise ValueError(f"no door opens with {key}")
        self.folder = Path(uri.partition("://")[2])
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, state_id: str) -> SimpleNamespace | None:
        path = self.folder / state_id.replace("/", "%")
        if not path.exists():
            return None
        found = json.loads(path.read_text())
        return SimpleNamespace(completed_state=found["completed"], partial_state=found["partial"])

    def set(self, state: object) -> None:
        (self.folder / state.state_id.replace("/", "%")).write_text(state.json())

    def get_state_ids(self, pattern: str | None = None) -> list[str]:
        return [path.name.replace("%", "/") for path in self.folder.iterdir() if path.name[0] != "."]

    @contextmanager
    def acquire_lock(self, state_id: str, *, retry_seconds: float) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def close(self) -> None:
        """Nothing is open."""

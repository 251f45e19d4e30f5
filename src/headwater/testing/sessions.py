"""A destination to test with: keeps its rows in a JSON file and misbehaves on demand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base.errors import RunFailedError
from headwater.base.files import write_atomic
from headwater.connect.contract import (
    ActivateVersion,
    Change,
    OpenRequest,
    Receipt,
    Rejected,
    Rows,
    Schema,
    Stored,
    StreamReceipt,
)


class Settings(Struct, frozen=True, kw_only=True):
    """`loses` rows are left out of every receipt; commit number `fails_at` (from 1) raises."""

    path: str
    loses: int = 0
    fails_at: int = 0


class FileSession:
    """Holds `{"rows": [[stream, row]…], "checkpoint": text, "commits": n}` in one file."""

    def __init__(self, settings: Settings, request: OpenRequest) -> None:
        self._settings = settings
        self._request = request
        self._file = Path(settings.path)
        self._staged: list[tuple[str, Any]] = []
        self._boundary = 0
        self._commits = 0

    def checkpoint(self) -> bytes | None:
        text = contents(self._file)["checkpoint"]
        return None if text is None else str(text).encode()

    def prepare(self, schema: Schema) -> bool:
        """Nothing to do: rows bring their names."""
        return schema.replace

    def takes(self, stream: str) -> frozenset[str]:  # noqa: ARG002 - it takes none
        return frozenset()

    def stage(self, rows: Rows) -> None:
        self._staged += [(rows.stream, row) for row in rows.batch.to_pylist()]

    def reject(self, rejected: Rejected) -> None:
        self._staged.append((rejected.stream, None))

    def activate(self, version: ActivateVersion) -> None:
        """Versions are not kept."""

    def staged_bytes(self) -> int:
        return len(self._staged)

    def boundary(self) -> None:
        self._boundary = len(self._staged)

    def commit(self, checkpoint: bytes | None, *, final: bool = False, to_boundary: bool = False) -> Receipt:
        self._commits += 1
        if self._commits == self._settings.fails_at:
            raise RunFailedError("disk-full", "the disk is full")
        taken = self._staged[: self._boundary] if to_boundary else self._staged
        kept = contents(self._file)
        kept["rows"] += [list(row) for row in taken if row[1] is not None]
        kept["commits"] += 1
        kept["final"] = final
        if checkpoint is not None:
            kept["checkpoint"] = checkpoint.decode()
        write_atomic(self._file, json.dumps(kept, default=str).encode())
        self._staged = self._staged[len(taken) :]
        self._boundary = 0
        rows_in = Counter(stream for stream, _ in taken)
        rejected = Counter(stream for stream, row in taken if row is None)
        return Receipt(
            sequence=kept["commits"],
            streams={
                stream: StreamReceipt(
                    rows_in=count - self._settings.loses,
                    rows_out=count - self._settings.loses - rejected[stream],
                    rejected=rejected[stream],
                )
                for stream, count in rows_in.items()
            },
            changes=(Change(stream="s", column=None, change="table-created", detail="made"),)
            if kept["commits"] == 1
            else (),
            checkpoint=checkpoint,
        )

    def sends_ahead(self) -> bool:
        return False

    def stored(self) -> dict[str, Stored]:
        """It keeps rows as they come."""
        return {}

    def close(self) -> None:
        self._staged.clear()


def open(settings: Settings, request: OpenRequest) -> FileSession:  # noqa: A001 - the contract's word
    return FileSession(settings, request)


def contents(file: Path) -> dict[str, Any]:
    """What the destination holds."""
    if not file.exists():
        return {"rows": [], "checkpoint": None, "commits": 0}
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found

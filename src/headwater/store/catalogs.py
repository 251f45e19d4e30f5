"""Discovered catalogs, kept between runs as they came from the source: `<home>/catalogs/<plugin>.json`."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base import clock
from headwater.base.files import write_atomic
from headwater.store.locks import file_name


class CachedCatalog(Struct, frozen=True, kw_only=True):
    """`key` says what the catalog depends on: a catalog with another key is of no use but to compare with."""

    key: str
    discovered_at: str
    catalog: dict[str, Any]

    def age(self) -> float:
        """Seconds since the discovery. Negative when the clock was set back: then nobody knows."""
        return (clock.now() - datetime.fromisoformat(self.discovered_at)).total_seconds()


class Catalogs:
    def __init__(self, home: Path) -> None:
        self._folder = home / "catalogs"

    def read(self, plugin: str) -> CachedCatalog | None:
        """None when there is none or the file is damaged: a cache is never a reason to fail."""
        try:
            # Not msgspec: it would turn an integer beyond 64 bits (a `maximum`, say) into a float.
            kept = json.loads(self._file(plugin).read_bytes())
            found = CachedCatalog(key=kept["key"], discovered_at=kept["discovered_at"], catalog=dict(kept["catalog"]))
            found.age()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def write(self, plugin: str, key: str, catalog: dict[str, Any]) -> None:
        kept = {"key": key, "discovered_at": clock.iso(clock.now()), "catalog": catalog}
        write_atomic(self._file(plugin), json.dumps(kept).encode(), mode=0o600)

    def forget(self, plugin: str) -> None:
        """Idempotent."""
        self._file(plugin).unlink(missing_ok=True)

    def _file(self, plugin: str) -> Path:
        is_plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", plugin)
        return self._folder / f"{plugin if is_plain else file_name(plugin)}.json"

"""Settings kept in the system database: those of this machine that belong in no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec

from headwater.store.system_db import SystemDb, file


def read(home: Path) -> dict[str, dict[str, Any]]:
    """All of them, by plugin (`meltano`: the project itself) and setting. Makes no database where there is none."""
    if not file(home).exists():
        return {}
    db = SystemDb(home)
    try:
        found: dict[str, dict[str, Any]] = {}
        for plugin, name, value in db.rows("select plugin, name, value from plugin_settings"):
            found.setdefault(cast("str", plugin), {})[cast("str", name)] = msgspec.json.decode(cast("str", value))
        return found
    finally:
        db.close()


def write(home: Path, plugin: str, name: str, value: Any) -> None:
    """Set a setting of a plugin; replaces the one that stands."""
    db = SystemDb(home)
    try:
        with db.transaction() as connection:
            connection.execute(
                "insert or replace into plugin_settings values (?, ?, ?)",
                (plugin, name, msgspec.json.encode(value).decode()),
            )
    finally:
        db.close()


def remove(home: Path, plugin: str, name: str | None = None) -> bool:
    """Remove a setting, all of the plugin's when no name is given. False when there was none."""
    if not file(home).exists():
        return False
    db = SystemDb(home)
    try:
        with db.transaction() as connection:
            gone = connection.execute(
                "delete from plugin_settings where plugin = ?1 and (?2 is null or name = ?2)", (plugin, name)
            )
            return gone.rowcount > 0
    finally:
        db.close()

"""The files that a Singer program is started with: config, catalog, state. All 0600 in the run's private folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.base.files import write_atomic
from headwater.model.plan import Block


def config_arguments(block: Block, folder: Path) -> tuple[str, ...]:
    """Writes the block's config and returns the arguments that name it."""
    path = _config_file(block, folder)
    write_atomic(path, _config_text(block), mode=0o600)
    return ("--config", str(path))


def is_config_changed(block: Block, folder: Path) -> bool:
    """Whether the program wrote to its config file, as some do with a renewed token."""
    path = _config_file(block, folder)
    return path.exists() and path.read_bytes() != _config_text(block)


def catalog_arguments(block: Block, catalog: dict[str, Any] | None, folder: Path) -> tuple[str, ...]:
    """Nothing for a program that takes no catalog."""
    if catalog is None:
        return ()
    option = next((f"--{word}" for word in ("catalog", "properties") if word in block.capabilities), None)
    if option is None:
        return ()
    path = folder / f"{block.name}.catalog.json"
    write_atomic(path, json.dumps(catalog).encode(), mode=0o600)
    return (option, str(path))


def state_arguments(block: Block, state: str | None, folder: Path) -> tuple[str, ...]:
    if state is None or "state" not in block.capabilities:
        return ()
    path = folder / f"{block.name}.state.json"
    write_atomic(path, _without_empty_place(state).encode(), mode=0o600)
    return ("--state", str(path))


def _without_empty_place(state: str) -> str:
    """The state without `currently_syncing`, where that names a stream of which there is no bookmark.

    Taps for MySQL go on with such a stream only if it has one, and otherwise leave it out: a run that was killed just
    after it had begun with a table would be followed by one that misses the table. Without the word, which is there to
    save time, a tap begins with the first stream."""
    if "currently_syncing" not in state:
        return state
    found = json.loads(state)
    place = found.get("currently_syncing") if isinstance(found, dict) else None
    if not isinstance(place, str):
        return state
    bookmarks = found.get("bookmarks")
    if isinstance(bookmarks, dict) and bookmarks.get(place):
        return state
    return json.dumps({key: value for key, value in found.items() if key != "currently_syncing"})


def read_json(path: Path, kind: str) -> tuple[str, dict[str, Any]]:
    """Text and content of a JSON file that the user wrote. Raises InputError (`bad-<kind>-file`)."""
    try:
        text = path.read_text()
        found = json.loads(text)
    except FileNotFoundError as error:
        raise InputError(f"bad-{kind}-file", f"the {kind} file `{path}` does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"bad-{kind}-file", f"the {kind} file is not readable as JSON", where=Where(str(path)), why=str(error)
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"bad-{kind}-file", f"the {kind} file holds no JSON object", where=Where(str(path)))
    return text, found


def _config_file(block: Block, folder: Path) -> Path:
    return folder / f"{block.kind.value}-{block.name}.config.json"


def _config_text(block: Block) -> bytes:
    return json.dumps(block.config, default=str).encode()

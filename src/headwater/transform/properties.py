"""What SQL can't say of a model, from the YAML files beside it.

    models:
      - name: orders_by_day
        description: One row a day
        materialized: view        # or table, which is the default

`columns`, `checks` and `sources` in the same files belong to the data checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.base.files import files_below
from headwater.base.text import did_you_mean, listed

_FILE_KEYS = ("version", "models", "sources")
_MODEL_KEYS = ("name", "description", "materialized", "columns", "checks")
_MATERIALIZED = ("table", "view")


class Properties(Struct, frozen=True):
    materialized: str = "table"
    description: str = ""


def read_properties(folder: Path, names: Iterable[str]) -> dict[str, Properties]:
    """By model name, in the spelling of `names`: those of the SQL files below `folder`.

    Raises InputError with file and line: `bad-models-file` for a wrong key, value or shape, `unknown-model` for a
    name that no SQL file has, and those of `base.yaml.read`.
    """
    by_name = {name.casefold(): name for name in names}
    found: dict[str, Properties] = {}
    for document, index, entry in _entries(folder):
        name = by_name.get(str(entry.get("name", "")).casefold())
        if name is None:
            raise _no_such_model(document, index, entry, by_name.values())
        if name in found:
            raise InputError(
                "bad-models-file",
                f"`{name}` is described twice",
                where=document.where("models", index, "name"),
                hint="keep one of the two",
            )
        _check_keys(document, entry, _MODEL_KEYS, "models", index)
        materialized = entry.get("materialized", "table")
        if materialized not in _MATERIALIZED:
            raise InputError(
                "bad-models-file",
                f"`{name}` can't be materialized as `{materialized}`",
                where=document.where("models", index, "materialized"),
                why=f"it is one of {listed(_MATERIALIZED)}",
            )
        found[name] = Properties(materialized, str(entry.get("description") or ""))
    return found


def _entries(folder: Path) -> Iterator[tuple[yaml.Document, int, dict[str, Any]]]:
    for path in files_below(folder, ".yml", ".yaml"):
        document = yaml.read(path, shown=path.relative_to(folder.parent).as_posix())
        if document.data is None:
            continue
        if not isinstance(document.data, dict):
            raise InputError("bad-models-file", "a mapping is expected", where=document.where())
        _check_keys(document, document.data, _FILE_KEYS)
        entries = document.data.get("models") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(
                "bad-models-file",
                "`models` must be a list of mappings",
                where=document.where("models"),
                hint="write each model as `- name: …`",
            )
        for index, entry in enumerate(entries):
            yield document, index, entry


def _check_keys(document: yaml.Document, entry: dict[str, Any], known: tuple[str, ...], *path: Any) -> None:
    for key in entry:
        if key not in known:
            guess = did_you_mean(str(key), known)
            raise InputError(
                "bad-models-file",
                f"unknown key `{key}`",
                where=document.where(*path, key),
                why=None if guess else f"known here: {listed(known)}",
                hint=f"did you mean `{guess}`?" if guess else None,
            )


def _no_such_model(document: yaml.Document, index: int, entry: dict[str, Any], names: Iterable[str]) -> InputError:
    if "name" not in entry:
        return InputError("bad-models-file", "a model without `name`", where=document.where("models", index))
    guess = did_you_mean(str(entry["name"]), names)
    return InputError(
        "unknown-model",
        f"no SQL file for the model `{entry['name']}`",
        where=document.where("models", index, "name"),
        hint=f"did you mean `{guess}`?" if guess else f"write {Path(document.file).parent}/{entry['name']}.sql",
    )

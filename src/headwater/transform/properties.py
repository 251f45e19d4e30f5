"""What SQL can't say of a model, from the YAML files beside it.

    models:
      - name: orders_by_day
        description: One row a day
        materialized: incremental  # or table (the default), view, snapshot
        unique_key: day
    seeds:
      - name: countries
        columns:
          - name: code
            type: text             # instead of what its values look like

`columns`, `checks` and `sources` in the same files belong to the data checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from headwater.base import yaml
from headwater.base.errors import InputError, Where
from headwater.base.files import files_below
from headwater.base.text import did_you_mean, listed

_FILE_KEYS = ("version", "models", "seeds", "sources")
_MODEL_KEYS = (
    *("name", "description", "materialized", "unique_key", "updated_at", "keep_deleted"),
    *("columns", "checks"),
)
_SEED_KEYS = ("name", "description", "columns", "checks")
_MATERIALIZED = ("table", "view", "incremental", "snapshot")
_KEYED = ("incremental", "snapshot")
# What a seed's column may be, in words of SQL that every warehouse knows.
SEED_TYPES = ("text", "integer", "decimal", "float", "boolean", "date", "timestamp")


class Properties(Struct, frozen=True, kw_only=True):
    """`types` are those of a seed's columns, where they are said. `where` is the place of the entry."""

    materialized: str = "table"
    description: str = ""
    unique_key: tuple[str, ...] = ()
    updated_at: str | None = None
    keep_deleted: bool = False
    types: dict[str, str] = field(default_factory=dict)
    where: Where | None = None


def read_properties(folder: Path, models: Iterable[str], seeds: Iterable[str] = ()) -> dict[str, Properties]:
    """By name, in the spelling of the files that make models and seeds.

    Raises InputError with file and line: `bad-models-file` for a wrong key, value or shape, `unknown-model` for a
    name that no file has, and those of `base.yaml.read`.
    """
    spelled = {
        "models": {name.casefold(): name for name in models},
        "seeds": {name.casefold(): name for name in seeds},
    }
    found: dict[str, Properties] = {}
    for document, section, index, entry in _entries(folder):
        names = spelled[section]
        name = names.get(str(entry.get("name", "")).casefold())
        if name is None:
            raise _no_such_model(document, section, index, entry, names.values())
        if name in found:
            raise InputError(
                "bad-models-file",
                f"`{name}` is described twice",
                where=document.where(section, index, "name"),
                hint="keep one of the two",
            )
        read = _of_model if section == "models" else _of_seed
        found[name] = read(document, index, entry, name)
    return found


def _of_model(document: yaml.Document, index: int, entry: dict[str, Any], name: str) -> Properties:
    at = ("models", index)
    _check_keys(document, entry, _MODEL_KEYS, *at)
    materialized = entry.get("materialized", "table")
    if materialized not in _MATERIALIZED:
        raise InputError(
            "bad-models-file",
            f"`{name}` can't be materialized as `{materialized}`",
            where=document.where(*at, "materialized"),
            why=f"it is one of {listed(_MATERIALIZED)}",
        )
    given = {key: entry[key] for key in ("unique_key", "updated_at", "keep_deleted") if entry.get(key) is not None}
    only = _KEYED if given.keys() == {"unique_key"} else ("snapshot",)
    if given and materialized not in only:
        key = next(reversed(given))
        raise InputError(
            "bad-models-file",
            f"`{key}` means nothing for a model that is materialized as `{materialized}`",
            where=document.where(*at, key),
            hint=f"materialized: {only[0]}",
        )
    keys = given.get("unique_key", [])
    keys = [keys] if isinstance(keys, str) else keys
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InputError(
            "bad-models-file",
            "`unique_key` must be a column or a list of columns",
            where=document.where(*at, "unique_key"),
            hint="unique_key: [first, second]",
        )
    if materialized == "snapshot" and not keys:
        raise InputError(
            "bad-models-file",
            f"the snapshot `{name}` needs a `unique_key`",
            where=document.where(*at, "materialized"),
            why="without it no row is a version of another",
            hint="unique_key: id",
        )
    return Properties(
        materialized=materialized,
        description=str(entry.get("description") or ""),
        unique_key=tuple(keys),
        updated_at=given.get("updated_at"),
        keep_deleted=bool(given.get("keep_deleted")),
        where=document.where(*at),
    )


def _of_seed(document: yaml.Document, index: int, entry: dict[str, Any], name: str) -> Properties:
    at = ("seeds", index)
    _check_keys(document, entry, _SEED_KEYS, *at)
    types: dict[str, str] = {}
    columns = entry.get("columns")
    for number, column in enumerate(columns if isinstance(columns, list) else []):
        if not isinstance(column, Mapping) or column.get("type") is None:
            continue  # what is wrong with it the checks will say
        if column["type"] not in SEED_TYPES:
            raise InputError(
                "bad-models-file",
                f"a column of the seed `{name}` can't be `{column['type']}`",
                where=document.where(*at, "columns", number, "type"),
                why=f"it is one of {listed(SEED_TYPES)}",
            )
        types[str(column.get("name"))] = column["type"]
    return Properties(
        materialized="seed",
        description=str(entry.get("description") or ""),
        types=types,
        where=document.where(*at),
    )


def _entries(folder: Path) -> Iterator[tuple[yaml.Document, str, int, dict[str, Any]]]:
    for path in files_below(folder, ".yml", ".yaml"):
        document = yaml.read(path, shown=path.relative_to(folder.parent).as_posix())
        if document.data is None:
            continue
        if not isinstance(document.data, dict):
            raise InputError("bad-models-file", "a mapping is expected", where=document.where())
        _check_keys(document, document.data, _FILE_KEYS)
        for section in ("models", "seeds"):
            entries = document.data.get(section) or []
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise InputError(
                    "bad-models-file",
                    f"`{section}` must be a list of mappings",
                    where=document.where(section),
                    hint=f"write each {section[:-1]} as `- name: …`",
                )
            for index, entry in enumerate(entries):
                yield document, section, index, entry


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


def _no_such_model(
    document: yaml.Document, section: str, index: int, entry: dict[str, Any], names: Iterable[str]
) -> InputError:
    if "name" not in entry:
        return InputError("bad-models-file", f"a {section[:-1]} without `name`", where=document.where(section, index))
    what, file = ("SQL file", "models/{}.sql") if section == "models" else ("CSV file", "seeds/{}.csv")
    guess = did_you_mean(str(entry["name"]), names)
    if section == "models":
        file = f"{Path(document.file).parent}/{{}}.sql"
    return InputError(
        "unknown-model",
        f"no {what} for the {section[:-1]} `{entry['name']}`",
        where=document.where(section, index, "name"),
        hint=f"did you mean `{guess}`?" if guess else f"write {file.format(entry['name'])}",
    )

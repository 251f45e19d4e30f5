"""Ready-made transforms: models and checks for what a source loads, which become files of the project.

A transform is a folder here: SQL files and a YAML file. What has to be said in the words of one database stands in a
folder with the name of its dialect; a transform with such folders is for these databases only.
"""

from __future__ import annotations

from importlib.resources import files as resources
from importlib.resources.abc import Traversable

from headwater.base.errors import InputError

_DIALECTS = ("duckdb", "postgres")


def names() -> tuple[str, ...]:
    return tuple(sorted(item.name.replace("_", "-") for item in resources(__name__).iterdir() if _is_one(item)))


def files(name: str, dialect: str) -> dict[str, bytes]:
    """The files of a transform, by their names. Raises InputError (`wrong-dialect`)."""
    folder = resources(__name__) / name.replace("-", "_")
    own = [item.name for item in folder.iterdir() if item.name in _DIALECTS]
    if own and dialect not in own:
        raise InputError(
            "wrong-dialect",
            f"the transform `{name}` is not written for {dialect}",
            why=f"it is written for {', '.join(sorted(own))}",
        )
    found = _of(folder)
    return found | _of(folder / dialect) if (folder / dialect).is_dir() else found


def _of(folder: Traversable) -> dict[str, bytes]:
    wanted = (item for item in folder.iterdir() if item.name.endswith((".sql", ".yml")))
    return {item.name: item.read_bytes() for item in sorted(wanted, key=lambda item: item.name)}


def _is_one(item: Traversable) -> bool:
    return item.is_dir() and not item.name.startswith("_")

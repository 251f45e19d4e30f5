"""The plugin index that comes with this package: works without a network, every plugin in it has been started.

`index/index.json` says which plugins there are; each definition stands in a file of its own and is read only when
it is asked for. `scripts/build_index.py` makes both.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from headwater.model.plugin import Definition, PluginKind
from headwater.store import lock_files

INDEX = Path(__file__).parent / "index"


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One plugin of the index. `verified` is the version of its package that was installed and started, on
    `python`, by the command lines in `ran`."""

    kind: PluginKind
    name: str
    variant: str
    default: bool = False
    label: str = ""
    description: str = ""
    pip_url: str = ""
    package: str = ""
    verified: str = ""
    python: str = ""
    ran: tuple[str, ...] = ()


def find(kind: PluginKind | None, name: str, variant: str | None = None) -> Definition | None:
    """The definition of a plugin, None when the index has none. Without a kind the name tells it (`tap-`,
    `target-`), else every kind is searched; without a variant (or for `default`) the default one is taken."""
    entry = _entry(kind, name, variant)
    return None if entry is None else _read(entry)


def _read(entry: Entry) -> Definition:
    file = INDEX / entry.kind.section / f"{entry.name}--{entry.variant}.json"
    return lock_files.parse(file.read_bytes(), file=str(file))


def definitions() -> Iterator[Definition]:
    """All of them."""
    for entry in _entries():
        yield _read(entry)


def defaults() -> dict[tuple[PluginKind, str], str]:
    """The default variant of every name."""
    return {(entry.kind, entry.name): entry.variant for entry in _entries() if entry.default}


def variants(kind: PluginKind | None, name: str) -> tuple[str, ...]:
    """The variants of a plugin, the default one first; empty when the index has none."""
    return tuple(entry.variant for entry in sorted(_of(kind, name), key=lambda entry: not entry.default))


def names(kind: PluginKind | None = None) -> tuple[str, ...]:
    """The names of a kind, or of all, in order, each once."""
    return tuple(dict.fromkeys(entry.name for entry in _entries() if kind in (None, entry.kind)))


def search(pattern: str = "*", kind: PluginKind | None = None) -> tuple[Entry, ...]:
    """Entries whose name fits the pattern (`*` and `?`), or whose name or label holds it when it has neither.
    Case does not count. In order of kind, name, and the default variant first."""
    wanted = pattern.lower()
    if not any(sign in wanted for sign in "*?["):
        wanted = f"*{wanted}*"
    return tuple(
        entry
        for entry in _entries()
        if kind in (None, entry.kind)
        and (fnmatch.fnmatchcase(entry.name.lower(), wanted) or fnmatch.fnmatchcase(entry.label.lower(), wanted))
    )


def guess_kind(name: str) -> PluginKind | None:
    """The kind that a name tells by its beginning."""
    if name.startswith("tap-"):
        return PluginKind.EXTRACTOR
    return PluginKind.LOADER if name.startswith("target-") else None


def _of(kind: PluginKind | None, name: str) -> list[Entry]:
    found = [entry for entry in _entries() if entry.name == name and kind in (None, entry.kind)]
    guessed = guess_kind(name)
    if kind is None and guessed is not None:
        found = [entry for entry in found if entry.kind is guessed] or found
    # One name may be of two kinds: the first kind in the order of the index wins.
    return [entry for entry in found if entry.kind is found[0].kind]


def _entry(kind: PluginKind | None, name: str, variant: str | None) -> Entry | None:
    found = _of(kind, name)
    if variant not in (None, "default", ""):
        return next((entry for entry in found if entry.variant == variant), None)
    return next((entry for entry in found if entry.default), found[0] if found else None)


@cache
def _entries() -> tuple[Entry, ...]:
    return msgspec.json.decode((INDEX / "index.json").read_bytes(), type=tuple[Entry, ...])

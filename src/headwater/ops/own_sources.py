"""Sources of the user's own: a file of the project, and the plugin that it is."""

from __future__ import annotations

import keyword
import re

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.model.plugin import PACKAGE, PluginKind
from headwater.ops.workspace import Workspace
from headwater.store import project_edit

FOLDER = "sources"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")

_TEMPLATE = '''\
"""What {stem} holds."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from headwater.sources import stream

START = datetime(2026, 1, 1, tzinfo=UTC)


class Item(TypedDict):
    id: int
    name: str
    updated_at: datetime


@stream(keys="id", cursor="updated_at")
def items(count: int = 3, bookmark: datetime | None = None) -> Iterator[Item]:
    """Parameters are settings; `bookmark` is the greatest cursor of the last run. Replace the loop by your source."""
    for number in range(count):
        updated_at = START + timedelta(days=number)
        if bookmark is None or updated_at >= bookmark:
            yield {{"id": number, "name": f"item {{number}}", "updated_at": updated_at}}
'''


# `uv_build` comes with uv, so that building needs no network. Headwater is no requirement: it brings what is imported.
_PYPROJECT = """\
[project]
name = "{plugin}"
version = "0.1.0"
description = "What {stem} holds, as a source for Headwater"
requires-python = ">=3.11"
dependencies = []

# Each names a module whose functions are streams, or a YAML file beside one that describes an API: `{module}:shop.yml`.
[project.entry-points."headwater.sources"]
{stem} = "{module}"

[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"
"""


class Made(Struct, frozen=True, kw_only=True):
    """`wrote` is false for a file that was there before: it is left as it is. So is an entry."""

    plugin: str
    file: str
    wrote: bool


class Place(Struct, frozen=True, kw_only=True):
    """`is_there`: the file. `has_entry`: the project file names it already."""

    plugin: str
    file: str
    is_there: bool
    has_entry: bool


def new(workspace: Workspace, name: str) -> Made:
    """Write `sources/NAME.py`, a source that runs as it is, and its entry in the project file, an extractor `tap-NAME`.

    Raises InputError (`bad-name`, `plugin-exists`); then nothing was written.
    """
    found = place(workspace, name, ".py", "python")
    path = workspace.root / found.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if not found.is_there:
        path.write_text(_TEMPLATE.format(stem=path.stem))
    add_entry(workspace, found)
    return Made(plugin=found.plugin, file=found.file, wrote=not found.is_there)


def new_package(workspace: Workspace, name: str) -> Made:
    """Write a Python package with a source that runs as it is, in the folder `sources/tap-NAME`, and its entry: it is
    installed so that edits count at once. Raises InputError (`bad-name`, `plugin-exists`)."""
    found = place(workspace, name, "", "python")
    stem = found.plugin.removeprefix("tap-").replace("-", "_")
    folder, module = f"{FOLDER}/{found.plugin}", f"tap_{stem}"
    if (workspace.root / folder).exists() or found.has_entry:
        raise InputError(
            "plugin-exists", f"there is a `{found.plugin}` already", hint="headwater tap new python NAME --package"
        )
    code = workspace.root / folder / "src" / module / "__init__.py"
    code.parent.mkdir(parents=True)
    code.write_text(_TEMPLATE.format(stem=stem))
    about = _PYPROJECT.format(plugin=found.plugin, stem=stem, module=module)
    (workspace.root / folder / "pyproject.toml").write_text(about)
    entry = {"name": found.plugin, "source": f"{PACKAGE}{found.plugin}", "pip_url": f"-e {folder}"}
    project_edit.add_plugin(workspace.project, PluginKind.EXTRACTOR, entry)
    return Made(plugin=found.plugin, file=folder, wrote=True)


def place(workspace: Workspace, name: str, suffix: str, word: str) -> Place:
    """Where the source goes that `headwater tap new WORD NAME` is to make. Raises InputError (`bad-name`,
    `plugin-exists`)."""
    project_edit.check_writable(workspace.project)
    short = name.removeprefix("tap-")
    stem = short.replace("-", "_")
    if not _NAME.fullmatch(short) or keyword.iskeyword(stem):
        raise InputError(
            "bad-name",
            f"`{name}` can't be the name of a Python file and of a plugin",
            hint="use lower-case letters, digits and `-`, beginning with a letter",
        )
    plugin, file = f"tap-{short}", f"{FOLDER}/{stem}{suffix}"
    is_there = (workspace.root / file).exists()
    entry = workspace.project.plugin(plugin, PluginKind.EXTRACTOR)
    if entry is not None and (entry.source != file or is_there):
        raise InputError(
            "plugin-exists", f"the project has a plugin `{plugin}` already", hint=f"headwater tap new {word} NAME"
        )
    return Place(plugin=plugin, file=file, is_there=is_there, has_entry=entry is not None)


def add_entry(workspace: Workspace, found: Place) -> None:
    """Write the entry in the project file, unless it is there."""
    if not found.has_entry:
        entry = {"name": found.plugin, "source": found.file}
        project_edit.add_plugin(workspace.project, PluginKind.EXTRACTOR, entry)

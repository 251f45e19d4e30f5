"""Sources of the user's own: a file of the project, and the plugin that it is."""

from __future__ import annotations

import keyword
import re

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.model.plugin import PluginKind
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


class Made(Struct, frozen=True, kw_only=True):
    """`wrote` is false for a file that was there before: it is left as it is. So is an entry."""

    plugin: str
    file: str
    wrote: bool


def new(workspace: Workspace, name: str) -> Made:
    """Write `sources/NAME.py`, a source that runs as it is, and its entry in the project file, an extractor `tap-NAME`.

    Raises InputError (`bad-name`, `plugin-exists`); then nothing was written.
    """
    project_edit.check_writable(workspace.project)
    short = name.removeprefix("tap-")
    stem = short.replace("-", "_")
    if not _NAME.fullmatch(short) or keyword.iskeyword(stem):
        raise InputError(
            "bad-name",
            f"`{name}` can't be the name of a Python file and of a plugin",
            hint="use lower-case letters, digits and `-`, beginning with a letter",
        )
    plugin, file = f"tap-{short}", f"{FOLDER}/{stem}.py"
    path = workspace.root / file
    entry = workspace.project.plugin(plugin, PluginKind.EXTRACTOR)
    if entry is not None and (entry.source != file or path.exists()):
        raise InputError(
            "plugin-exists", f"the project has a plugin `{plugin}` already", hint="headwater tap new python NAME"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    wrote = not path.exists()
    if wrote:
        path.write_text(_TEMPLATE.format(stem=stem))
    if entry is None:
        project_edit.add_plugin(workspace.project, PluginKind.EXTRACTOR, {"name": plugin, "source": file})
    return Made(plugin=plugin, file=file, wrote=wrote)

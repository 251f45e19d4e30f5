"""File bundles: plugins that bring files into the project. A bundle's package holds them in its folder `bundle`."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.base.files import write_atomic
from headwater.model.plugin import Plugin, PluginKind
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.plan import settled
from headwater.store import venvs

# Of files that have comments, and how these begin: a managed file says in its first lines whose it is.
_COMMENTS = {
    **dict.fromkeys((".py", ".sh", ".yml", ".yaml", ".toml", ".cfg", ".ini", ".gitignore", ".env"), "#"),
    ".sql": "--",
}


class Copied(Struct, frozen=True, kw_only=True):
    """What became of a bundle's files, by their paths in the project: `created`, `updated`, `kept` as they were
    because they differ and are not managed."""

    plugin: str
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def create(workspace: Workspace, name: str) -> Copied:
    """Bring the files of an installed bundle into the project. A file that is there stays as it is. Idempotent.

    Raises InputError `not-a-bundle`, EnvironmentProblemError `not-installed`.
    """
    plugin = planning.plugin(workspace, name, PluginKind.FILE)
    created: list[str] = []
    kept: list[str] = []
    managed = _managed(workspace, plugin)
    for path, content in _files(workspace, plugin).items():
        target = workspace.root / path
        text = _marked(path, content, plugin.name) if is_managed(path, managed) else content
        if not target.exists():
            write_atomic(target, text)
            created.append(path)
        elif target.read_bytes() != text:
            kept.append(path)
    return Copied(plugin=plugin.name, created=tuple(created), kept=tuple(kept))


def update(workspace: Workspace, names: Iterable[str] = ()) -> list[Copied]:
    """Bring the managed files of the named bundles, of all when none is named, up to what the installed packages hold.

    Managed is a file that the bundle or the project marks `update: {PATTERN: true}`; whatever it holds is replaced. No
    other file is touched or made. Idempotent. Raises as `create`.
    """
    named = [planning.plugin(workspace, name, PluginKind.FILE) for name in names]
    plugins = named or [item for item in workspace.project.plugins if item.kind is PluginKind.FILE]
    return [_update(workspace, plugin) for plugin in plugins]


def _update(workspace: Workspace, plugin: Plugin) -> Copied:
    managed = _managed(workspace, plugin)
    created: list[str] = []
    updated: list[str] = []
    for path, content in _files(workspace, plugin).items():
        if not is_managed(path, managed):
            continue
        target = workspace.root / path
        text = _marked(path, content, plugin.name)
        if target.exists() and target.read_bytes() == text:
            continue
        (updated if target.exists() else created).append(path)
        write_atomic(target, text)
    return Copied(plugin=plugin.name, created=tuple(created), updated=tuple(updated))


def is_managed(path: str, managed: dict[str, bool]) -> bool:
    """Whether the last pattern that fits the path says so; a pattern that names it exactly goes before all others."""
    if path in managed:
        return managed[path]
    fitting = [wanted for pattern, wanted in managed.items() if fnmatchcase(path, pattern)]
    return bool(fitting) and fitting[-1]


def _managed(workspace: Workspace, plugin: Plugin) -> dict[str, bool]:
    ready = settled.ready(planning.facts(workspace), plugin)
    said = ready.extra("update") or {}
    return {str(pattern): str(wanted).lower() == "true" for pattern, wanted in said.items()}


def _files(workspace: Workspace, plugin: Plugin) -> dict[str, bytes]:
    """The content of every file of the bundle by its path, in order."""
    resolved = settled.ready(planning.facts(workspace), plugin).resolved
    place = venvs.venv(workspace.home, plugin.kind, resolved.venv_name)
    if not place.exists():
        raise EnvironmentProblemError(
            "not-installed", f"`{plugin.name}` is not installed", hint=f"headwater install {plugin.name}"
        )
    folder = next(place.glob("lib/python*/site-packages/bundle"), None)
    if folder is None:
        raise InputError(
            "not-a-bundle",
            f"the package of `{plugin.name}` brings no files: it has no folder `bundle`",
            where=Where(plugin.file, plugin.line),
            hint="check its `pip_url`",
        )
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_of_python(path.relative_to(folder))
    }


def _is_of_python(path: Path) -> bool:
    """What makes the folder a package, or is compiled."""
    return str(path) == "__init__.py" or "__pycache__" in path.parts


def _marked(path: str, content: bytes, name: str) -> bytes:
    """With the words that keep a person from changing it in vain, where the file's form has comments."""
    sign = _COMMENTS.get(Path(path).suffix or Path(path).name)
    if sign is None or content.startswith(b"#!"):
        return content
    lines = (
        f"{sign} This file comes from the bundle `{name}` and is replaced when its files are upgraded.",
        f"{sign} To keep changes of your own, take the bundle out of the project file or set for it:",
        f"{sign}   update: {{{path}: false}}",
    )
    return ("\n".join(lines) + "\n\n").encode() + content

"""What is known of a dlt source as a plugin, from the text of its module: nothing of it is run.

The parameters of the function are the plugin's settings. Those whose default is `dlt.secrets.value` are secret.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.connect.sources import python_definition
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import DLT, Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

VARIANT = "dlt"
FOLDER = "sources"  # where modules of the project's own stand, as `dlt init` puts them there too
_PACKAGE, _OLDEST = "dlt", ">=1"
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SECRETS = ("secrets.value", "TSecretValue", "TSecretStrValue", "Credentials")
_MOST_HOPS = 4
# Modules of dlt itself that want more than it installs.
_EXTRAS = {"sql_database": "sql_database", "filesystem": "filesystem"}


class Found(Struct, frozen=True):
    """The function's text, and in which file it stands."""

    file: Path
    node: ast.FunctionDef


def reference(named: str) -> str:
    """`module.function`; of one word the source of that name that dlt itself brings. Raises InputError
    (`bad-source`)."""
    if not _REFERENCE.fullmatch(named):
        raise InputError("bad-source", f"`{DLT}{named}` names no function", hint="source: dlt:MODULE.FUNCTION")
    return named if "." in named else f"dlt.sources.{named}.{named}"


def definition(root: Path, source: str, packages: Sequence[Path] = ()) -> Definition:
    """`packages` are folders in which installed modules are. Where the module is not found its settings are not known:
    it takes any. Raises InputError (`bad-source`) for a module of the project that has no such function."""
    named = reference(source.removeprefix(DLT))
    module, _, function = named.rpartition(".")
    own = [root / FOLDER, root]
    found = _function(module, function, [*own, *packages])
    if found is None and (file := _file(module, own)) is not None and not _may_have(file, function):
        near = did_you_mean(function, _functions(file))
        raise InputError(
            "bad-source",
            f"`{file.relative_to(root).as_posix()}` has no function `{function}`",
            hint=f"did you mean `{near}`?" if near else "correct `source`: dlt:MODULE.FUNCTION",
        )
    title = None if found is None else (ast.get_docstring(found.node) or "").strip().split("\n")[0]
    extra = _EXTRAS.get(module.removeprefix("dlt.sources.")) if module.startswith("dlt.sources.") else None
    is_dlt_asked = (root / ".dlt").is_dir()
    return Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name=named,
        namespace=function,
        variant=VARIANT,
        native="dlt",
        description=title or None,
        pip_url=f"{_PACKAGE}[{extra}]{_OLDEST}" if extra else f"{_PACKAGE}{_OLDEST}",
        capabilities=("catalog", "discover", "state"),
        settings=(
            *(_settings(found.node, needs_all=not is_dlt_asked) if found else ()),
            *STREAM_MAPS,
            Setting(name="source", kind=SettingKind.STRING, value=source, hidden=True),
        ),
    )


def is_of_project(root: Path, source: str) -> bool:
    """Whether the module stands in the project: then its settings are read from there each time."""
    module = reference(source.removeprefix(DLT)).rpartition(".")[0]
    return _file(module, [root / FOLDER, root]) is not None


def is_absent(root: Path, source: str, packages: Sequence[Path]) -> bool:
    """Whether it is a source that dlt would have to bring and that neither the project nor dlt has."""
    module = reference(source.removeprefix(DLT)).rpartition(".")[0]
    return module.startswith("dlt.sources.") and _file(module, [root / FOLDER, root, *packages]) is None


def sources(root: Path, module: str) -> list[str] | None:
    """The functions of a module of the project that are marked as dlt sources; None when there is no such module."""
    if (file := _file(module, [root / FOLDER, root])) is None:
        return None
    tree = _tree(file)
    nodes = [] if tree is None else [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in nodes if any(_is_source(mark) for mark in node.decorator_list)]


def _is_source(mark: ast.expr) -> bool:
    called = mark.func if isinstance(mark, ast.Call) else mark
    return ast.unparse(called) in ("dlt.source", "source")


def _settings(node: ast.FunctionDef, *, needs_all: bool) -> list[Setting]:
    """`needs_all`: dlt has no files of its own in the project in which it could find what has no value here."""
    found = []
    for argument, default in python_definition.parameters(node):
        said = ast.unparse(default) if default is not None else ""
        hint = ast.unparse(argument.annotation) if argument.annotation is not None else ""
        if "incremental" in said.lower() or "incremental" in hint.lower():
            continue  # what dlt itself puts in
        # `dlt.secrets.value` stands for a value that has to come from somewhere.
        given = None if said.endswith(("secrets.value", "config.value")) else default
        setting = python_definition.parameter_setting(argument.arg, argument.annotation, given)
        found.append(
            msgspec.structs.replace(
                setting,
                sensitive=setting.sensitive or any(word in said or word in hint for word in _SECRETS),
                required=needs_all and setting.required,
            )
        )
    return found


def _function(module: str, function: str, folders: Iterable[Path]) -> Found | None:
    """The function's definition, also where the module only imports it."""
    folders = list(folders)
    for _ in range(_MOST_HOPS):
        if (file := _file(module, folders)) is None:
            return None
        tree = _tree(file)
        if tree is None:
            return None
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == function:
                return Found(file, node)
        imported = _imported(tree, function)
        if imported is None:
            return None
        base, function = imported
        module = _absolute(base, module, is_package=file.name == "__init__.py")
    return None


def _imported(tree: ast.Module, name: str) -> tuple[ast.ImportFrom, str] | None:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node, alias.name
    return None


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _may_have(file: Path, function: str) -> bool:
    """Whether the name could come about in a way that the text does not show."""
    tree = _tree(file)
    if tree is None or _imported(tree, function) or _imported(tree, "*"):
        return True
    assigned = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    return function in (*assigned, *_functions(file))


def _functions(file: Path) -> list[str]:
    tree = _tree(file)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [] if tree is None else [node.name for node in tree.body if isinstance(node, kinds)]


def _file(module: str, folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        path = folder.joinpath(*module.split("."))
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _tree(file: Path) -> ast.Module | None:
    """None for what is not Python: the run says it, with its line."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError):
        return None

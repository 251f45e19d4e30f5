"""What a source's file says about itself without being run: its settings, its packages, its description.

Looking a plugin up must not start the user's code, so the text is parsed: the parameters of the functions that are
streams are the plugin's settings.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from headwater.base.errors import InputError, Where
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

BOOKMARKS = ("bookmark", "state")
_RESERVED = frozenset({"source", "root", "venv", "given", "env", "secrets"} | {one.name for one in STREAM_MAPS})
_KINDS = {
    "str": SettingKind.STRING,
    "int": SettingKind.INTEGER,
    "float": SettingKind.DECIMAL,
    "Decimal": SettingKind.DECIMAL,
    "bool": SettingKind.BOOLEAN,
    "date": SettingKind.DATE,
    "datetime": SettingKind.DATE,
    "Path": SettingKind.FILE,
    "list": SettingKind.ARRAY,
    "tuple": SettingKind.ARRAY,
    "set": SettingKind.ARRAY,
    "dict": SettingKind.OBJECT,
    "Secret": SettingKind.STRING,
}


def definition(root: Path, source: str) -> Definition | None:
    """The definition of the source in a file of the project; None when there is no such file.

    Raises InputError (`bad-source`) with the line of what can't be read.
    """
    file = root / source
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        return None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError("bad-source", f"`{source}` can't be read: {error}", where=Where(source)) from error
    try:
        tree = ast.parse(text, filename=source)
    except (SyntaxError, ValueError) as error:
        line = error.lineno or 0 if isinstance(error, SyntaxError) else 0
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError("bad-source", f"`{source}` is not Python: {said}", where=Where(source, line)) from error
    about = script(text, source)
    title = (ast.get_docstring(tree) or "").strip().split("\n")[0]
    return Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name=file.stem,
        namespace=file.stem,
        variant="project",
        native="python",
        description=title or None,
        capabilities=("catalog", "discover", "state"),
        pip_url=" ".join(about.get("dependencies") or ()) or None,
        settings=(
            *_settings(tree, source),
            *STREAM_MAPS,
            Setting(name="source", kind=SettingKind.STRING, value=source, hidden=True),
        ),
    )


def script(text: str, source: str) -> dict[str, Any]:
    """The inline metadata of a script: TOML in comments between `# /// script` and `# ///`."""
    lines = text.splitlines()
    if "# /// script" not in lines:
        return {}
    first = lines.index("# /// script") + 1
    last = next((number for number in range(first, len(lines)) if lines[number].rstrip() == "# ///"), None)
    if last is None:
        raise InputError(
            "bad-source", "`# /// script` has no end", where=Where(source, first), hint="end it with a line `# ///`"
        )
    body = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[first:last])
    try:
        found = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            "bad-source", f"the lines below `# /// script` are not TOML: {error}", where=Where(source, first)
        ) from error
    packages = found.get("dependencies", [])
    if not isinstance(packages, list) or not all(isinstance(item, str) for item in packages):
        raise InputError("bad-source", "`dependencies` is a list of texts", where=Where(source, first))
    return found


def _settings(tree: ast.Module, source: str) -> list[Setting]:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    marked = [node for node in functions if any(_is_stream(item) for item in node.decorator_list)]
    found: dict[str, Setting] = {}
    for node in marked or [node for node in functions if not node.name.startswith("_")]:
        for argument, default in parameters(node):
            name = argument.arg
            if name in BOOKMARKS:
                continue
            where = Where(source, argument.lineno)
            if name in _RESERVED:
                raise InputError(
                    "bad-source", f"no setting can be called `{name}`", where=where, hint="give it another name"
                )
            setting = parameter_setting(name, argument.annotation, default)
            before = found.setdefault(name, setting)
            if before.kind is not setting.kind:
                raise InputError(
                    "bad-source",
                    f"`{name}` is {_said(before)} in one function and {_said(setting)} in another",
                    where=where,
                    hint="it is one setting: give it the same type everywhere",
                )
            found[name] = msgspec.structs.replace(
                before,
                # Needed when one function needs it, secret when one says so.
                required=before.required or setting.required,
                sensitive=before.sensitive or setting.sensitive,
                value=before.value if before.value is not None else setting.value,
            )
    return list(found.values())


def _said(setting: Setting) -> str:
    return f"`{setting.kind.value}`" if setting.kind else "of no type"


def _is_stream(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(called, ast.Name) and called.id == "stream") or (
        isinstance(called, ast.Attribute) and called.attr == "stream"
    )


def parameters(node: ast.FunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    """The parameters that have a name, with their defaults."""
    plain = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(node.args.defaults)), *node.args.defaults]
    return [*zip(plain, defaults, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]


def parameter_setting(name: str, annotation: ast.expr | None, default: ast.expr | None) -> Setting:
    """What a parameter is as a setting."""
    kind, description, is_optional = annotation, None, False
    while kind is not None:
        if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
            kind = ast.parse(kind.value, mode="eval").body
        elif _called(kind) == "Annotated" and isinstance(kind, ast.Subscript) and isinstance(kind.slice, ast.Tuple):
            texts = [item.value for item in kind.slice.elts[1:] if isinstance(item, ast.Constant)]
            description = next((text for text in texts if isinstance(text, str)), description)
            kind = kind.slice.elts[0]
        elif _called(kind) == "Optional" and isinstance(kind, ast.Subscript):
            kind, is_optional = kind.slice, True
        elif isinstance(kind, ast.BinOp) and (_is_none(kind.right) or _is_none(kind.left)):
            kind, is_optional = kind.left if _is_none(kind.right) else kind.right, True
        else:
            break
    word = _called(kind)
    options: tuple[Option, ...] = ()
    if word == "Literal" and isinstance(kind, ast.Subscript):
        choices = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
        options = tuple(Option(value=item.value) for item in choices if isinstance(item, ast.Constant))
    return Setting(
        name=name,
        kind=SettingKind.OPTIONS if options else _KINDS.get(word),
        value=_literal(default),
        label=name.replace("_", " ").capitalize(),
        description=description,
        options=options,
        sensitive=word == "Secret",
        required=default is None and not is_optional,
    )


def _called(node: ast.expr | None) -> str:
    """`datetime` for `datetime`, `dt.datetime` and `datetime[…]`."""
    if isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _literal(default: ast.expr | None) -> Any:
    """None also for a default that only the code itself can tell."""
    try:
        value = None if default is None else ast.literal_eval(default)
    except ValueError:
        return None
    return list(value) if isinstance(value, tuple | set) else value

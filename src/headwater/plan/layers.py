"""What each layer says, before anything is decided: values as given, by path, with the place they stand at."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, field

from headwater.base.errors import InputError, Where
from headwater.model.plugin import Resolved
from headwater.model.project import Environment
from headwater.model.setting import Origin, Setting, SettingKind
from headwater.plan.cast import WrongTypeError, cast
from headwater.plan.nested import Path, join, leaves, split
from headwater.plan.variables import inferred_kind, read_names

# An empty variable is no number, list or object; CI systems set such variables for what is not there.
_NEVER_EMPTY = (SettingKind.INTEGER, SettingKind.DECIMAL, SettingKind.ARRAY, SettingKind.OBJECT)


class Layers(Struct, frozen=True, kw_only=True):
    """All that may say something about a plugin's settings, beside its entry and its definition.

    `flags` are settings by name, for this plugin alone. `env` is the process environment with the `env:` levels
    of the files on top (`child_env.env_levels(…).merged`). `database` has settings by plugin name.
    With `strict` a variable that is not set is an error.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    dotenv: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None
    database: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strict: bool = False


class Given(NamedTuple):
    """One value as given. Only what stands in a file may name variables: a password from the shell is taken as is."""

    value: Any
    source: str
    where: Where | None = None
    expandable: bool = False


class Layer(NamedTuple):
    """`whole` are the paths whose object was given in one piece."""

    origin: Origin
    leaves: dict[Path, Given]
    whole: frozenset[Path] = frozenset()


class Found(NamedTuple):
    """What one layer says of one setting: a value, or the leaves of an object by their path below it."""

    origin: Origin
    given: Given
    parts: dict[Path, Given] | None = None
    whole: bool = False


def path_of(setting: Setting) -> Path:
    """Extras are one key, whatever stands in it."""
    return (setting.name,) if setting.name.startswith("_") else split(setting.name)


def stack(resolved: Resolved, layers: Layers, known: Sequence[Setting]) -> tuple[list[Layer], tuple[Setting, ...]]:
    """The layers of a plugin, strongest first, and the settings that only files, flags or the database name."""
    written = [_written(resolved, layers, known, ancestor) for ancestor in range(len(resolved.chain))]
    flags = _pieces(Origin.FLAG, layers.flags, "command line", known)
    custom, keys = _unlisted(known, [flags, *(layer for entry in written for layer in entry)])
    readable = (*known, *custom)
    inherited: list[Layer] = []
    for ancestor in reversed(range(len(resolved.chain))):
        own = [
            _variables(Origin.ENV, layers.env, "", resolved, readable, keys, ancestor),
            _variables(Origin.DOTENV, layers.dotenv, ".env: ", resolved, readable, keys, ancestor),
            *written[ancestor],
            *inherited,
        ]
        inherited = [_collapsed(resolved.chain[ancestor].name, own)]
    return [flags, *own, _defaults((*known, *custom))], custom


def find(stacked: Sequence[Layer], setting: Setting, others: Container[Path]) -> list[Found]:
    """What the layers say of a setting, strongest first. Null says nothing.

    `others` are the paths of all settings: what they take is no part of this one, unless it is an object.
    """
    path = path_of(setting)
    apart: Container[Path] = () if setting.kind is SettingKind.OBJECT else others
    result: list[Found] = []
    for layer in stacked:
        exact = layer.leaves.get(path)
        depth = len(path)
        parts = {
            leaf[depth:]: given
            for leaf, given in layer.leaves.items()
            if len(leaf) > depth and leaf[:depth] == path and given.value is not None and leaf not in apart
        }
        if parts:
            result.append(Found(layer.origin, next(iter(parts.values())), parts, path in layer.whole))
        elif exact is not None and exact.value is not None:
            is_written_empty = exact.value == {} and path not in layer.whole
            result.append(Found(layer.origin, exact, {} if is_written_empty else None, path in layer.whole))
    return result


def merge(found: Sequence[Found]) -> dict[Path, Given]:
    """The leaves of an object, the strongest of each. An object given in one piece ends the search, and so does a
    value that is no object; the definition's default counts only when nothing else is given. `{}` in a file adds
    nothing and hides only that default."""
    result: dict[Path, Given] = {}
    for item in found:
        if item.parts is None or (item.origin is Origin.DEFAULT and item is not found[0]):
            break
        result = {**item.parts, **result}
        if item.whole:
            break
    return result


def _written(resolved: Resolved, layers: Layers, known: Sequence[Setting], ancestor: int) -> list[Layer]:
    """What stands in files and in the database for one entry of the chain."""
    entry = resolved.chain[ancestor]
    sections = [
        _section(Origin.ENVIRONMENT, item.config, item.extras, Where(item.file, item.line), item.lines, known)
        for item in (layers.environment.plugins if layers.environment else ())
        if item.kind is entry.kind and item.name == entry.name
    ]
    own = _section(Origin.PROJECT, entry.config, entry.extras, Where(entry.file, entry.line), entry.lines, known)
    stored = layers.database.get(entry.name, {})
    return [*sections, own, _pieces(Origin.DATABASE, stored, "system database", known)]


def _section(
    origin: Origin,
    config: Mapping[str, Any],
    extras: Mapping[str, Any],
    place: Where,
    lines: Mapping[str, int],
    known: Sequence[Setting],
) -> Layer:
    renamed = _aliases(known)
    nested = {setting.name for setting in known if setting.value_processor == "nest_object"}
    result: dict[Path, Given] = {}
    flat = leaves({key: value for key, value in config.items() if not key.startswith("_")})
    for path, value in flat.items():
        where = _line(place, lines, "config.", path)
        _put(result, _real(path, renamed), Given(value, str(where), where, expandable=True))
    written = {key: value for key, value in config.items() if key.startswith("_")}
    for key, value in {**written, **{f"_{key}": value for key, value in extras.items()}}.items():
        dots = split(key)[0] in nested
        for path, leaf in leaves({key: value}, dots=dots).items():
            where = _line(place, lines, "", (path[0][1:], *path[1:]))
            result[path] = Given(leaf, str(where), where, expandable=True)
    return Layer(origin, result)


def _put(result: dict[Path, Given], path: Path, given: Given) -> None:
    old = result.get(path)
    if old is not None and old.value != given.value:
        raise InputError(
            "conflicting-settings",
            f"the setting `{join(path)}` is given twice, with different values",
            where=given.where,
            why=f"{old.source} and {given.source}",
            hint="keep one of the two",
        )
    result[path] = given


def _aliases(known: Sequence[Setting]) -> dict[Path, Path]:
    """Other names by the real one; a name that is itself a setting is no alias."""
    real = {path_of(setting) for setting in known}
    found = {split(alias): path_of(setting) for setting in known for alias in setting.aliases}
    return {alias: path for alias, path in found.items() if alias not in real}


def _real(path: Path, renamed: Mapping[Path, Path]) -> Path:
    for size in range(len(path), 0, -1):
        if path[:size] in renamed:
            return renamed[path[:size]] + path[size:]
    return path


def _line(place: Where, lines: Mapping[str, int], prefix: str, path: Path) -> Where:
    """The line of the nearest key above `path` that has one."""
    for size in range(len(path), 0, -1):
        line = lines.get(prefix + join(path[:size]))
        if line is not None:
            return Where(place.file, line)
    return place


def _pieces(origin: Origin, values: Mapping[str, Any], source: str, known: Sequence[Setting]) -> Layer:
    """Settings given one by one under their names, each in one piece."""
    renamed = _aliases(known)
    by_path = {path_of(setting): setting for setting in known}
    result: dict[Path, Given] = {}
    whole = set()
    for name, value in values.items():
        path = _real((name,) if name.startswith("_") else split(name), renamed)
        whole.add(path)
        result.update({leaf: Given(item, source) for leaf, item in _spread(by_path.get(path), path, value).items()})
    return Layer(origin, result, frozenset(whole))


def _typed(setting: Setting, value: str) -> Any:
    """A key of an object is nobody's setting: a variable for it takes the type it has in the file if it can."""
    try:
        return cast(setting, value)
    except WrongTypeError:
        return value


def _variables(
    origin: Origin,
    env: Mapping[str, str],
    prefix: str,
    resolved: Resolved,
    readable: Sequence[Setting],
    keys: Sequence[Setting],
    ancestor: int,
) -> Layer:
    result: dict[Path, Given] = {}
    whole = set()
    for setting, is_key in (*((item, False) for item in readable), *((item, True) for item in keys)):
        set_names = [name for name in read_names(resolved, setting, ancestor=ancestor) if name in env]
        if not set_names or (env[set_names[0]] == "" and setting.kind in _NEVER_EMPTY):
            continue
        if len({env[name] for name in set_names}) > 1:
            raise InputError(
                "conflicting-variables",
                f"the setting `{setting.name}` of `{resolved.chain[ancestor].name}` is given different values by "
                + " and ".join(f"`{name}`" for name in set_names),
                hint=f"unset all but `{set_names[0]}`",
            )
        path = split(setting.name) if is_key else path_of(setting)
        whole.add(path)
        value = _typed(setting, env[set_names[0]]) if is_key else env[set_names[0]]
        for leaf, item in _spread(setting, path, value).items():
            result[leaf] = Given(item, prefix + set_names[0])
    return Layer(origin, result, frozenset(whole))


def _spread(setting: Setting | None, path: Path, value: Any) -> dict[Path, Any]:
    """The leaves of an object given in one piece. A text that is no object stays: whoever takes it says so."""
    if setting is not None and setting.kind is SettingKind.OBJECT:
        try:
            value = cast(setting, value)
        except WrongTypeError:
            return {path: value}
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    dots = not path[0].startswith("_") or (setting is not None and setting.value_processor == "nest_object")
    return {path + below: leaf for below, leaf in leaves(value, dots=dots).items()}


def _defaults(settings: Iterable[Setting]) -> Layer:
    result: dict[Path, Given] = {}
    whole = set()
    for setting in sorted(settings, key=lambda setting: len(path_of(setting))):
        if setting.value is not None:
            path = path_of(setting)
            whole.add(path)
            spread = _spread(setting, path, setting.value)
            result.update({leaf: Given(item, "default", expandable=True) for leaf, item in spread.items()})
    return Layer(Origin.DEFAULT, result, frozenset(whole))


def _collapsed(name: str, own: Sequence[Layer]) -> Layer:
    """A parent's layers as one layer of its child: the strongest of each leaf."""
    result: dict[Path, Given] = {}
    hidden: set[Path] = set()
    for layer in own:
        for path, given in layer.leaves.items():
            taken = path in result and result[path].value is not None
            if not taken and not any(path[:size] in hidden for size in range(len(path))):
                result[path] = given._replace(source=f"{name}: {given.source}")
        hidden |= layer.whole
    return Layer(Origin.PARENT, result, frozenset(hidden))


def _unlisted(known: Sequence[Setting], layers: Iterable[Layer]) -> tuple[tuple[Setting, ...], tuple[Setting, ...]]:
    """Settings that no definition has: those of their own, and the keys of objects that definitions have."""
    listed = {path_of(setting) for setting in known}
    custom: dict[Path, Setting] = {}
    children: dict[Path, Setting] = {}
    for layer in layers:
        for path, given in layer.leaves.items():
            if path in listed or path in custom or path in children:
                continue
            if any(path[:size] in listed for size in range(1, len(path))):
                children[path] = Setting(name=join(path), kind=inferred_kind(given.value))
            elif path[0].startswith("_"):
                kind = SettingKind.OBJECT if len(path) > 1 else inferred_kind(given.value)
                custom.setdefault(path[:1], Setting(name=path[0], kind=kind))
            else:
                custom[path] = Setting(name=join(path), kind=inferred_kind(given.value))
    return tuple(custom.values()), tuple(children.values())

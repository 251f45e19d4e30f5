"""Every setting of a plugin, resolved once: its value, where it comes from, and what it hides.

Layers, strongest first: flag, environment variable, `.env`, the environment's section of the project file, the
plugin's entry, system database, parent plugin, definition. The strongest that has a value that is not null wins.

An object that is written out in files is resolved key by key: an environment may change one key and keep the rest.
An object given in one piece (a variable with JSON, a flag, the database) stands for itself and hides what is weaker.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from headwater.base.errors import InputError, Where
from headwater.base.text import listed
from headwater.model.plugin import Resolved
from headwater.model.project import Environment
from headwater.model.setting import Origin, Setting, SettingKind, Value
from headwater.plan import sensitive, variables
from headwater.plan.cast import WrongTypeError, cast, finish
from headwater.plan.expand import expand_setting
from headwater.plan.extras import extras
from headwater.plan.layers import Found, Given, Layers, find, merge, path_of, stack
from headwater.plan.nested import nest, put, split

__all__ = ["Layers", "Unknown", "check_required", "config", "missing_required", "resolve", "unknown_keys", "written"]


class Unknown(NamedTuple):
    """A key of `config` that no definition has and that is nearly the name of a setting."""

    key: str
    where: Where
    suggestion: str


def resolve(resolved: Resolved, layers: Layers) -> dict[str, Value]:
    """All settings and extras of a plugin by name, also those that are not set (value None, source `not set`).

    What stands in files may name variables: those of `layers.env`, of the `.env` file and of the plugin itself
    (`MELTANO_EXTRACTOR_NAMESPACE`); an extra may also name the plugin's own settings. A value made only of
    variables that are not set is None, and hides weaker values all the same. Values from variables, flags and the
    database are taken as they are.

    A setting's `env` name is meant for the plugin, which reads it itself: it is only looked at when nothing but a
    default is given, so that a `GITHUB_TOKEN` of the shell never beats what the project says.
    Two variables for one setting are fine when they agree (Meltano refuses that).

    Raises InputError: `wrong-setting-type`, `conflicting-variables`, `conflicting-settings`, and with
    `layers.strict` `undefined-variable`. A default of the wrong type is no error; it is the definition's mistake.
    """
    known = (*resolved.definition.settings, *extras(resolved))
    stacked, custom = stack(resolved, layers, known)
    env = {**layers.dotenv, **layers.env, **variables.info(resolved)}
    values: dict[str, Value] = {}
    everything = (*known, *custom)
    paths = frozenset(map(path_of, everything))
    for setting in everything:
        if not setting.name.startswith("_"):
            values[setting.name] = _value(resolved, layers, setting, find(stacked, setting, paths), env)
    env.update(variables.exports(resolved, values))
    for setting in everything:
        if setting.name.startswith("_"):
            values[setting.name] = _value(resolved, layers, setting, find(stacked, setting, paths), env)
    return values


def written(resolved: Resolved, given: Mapping[str, Any], source: str) -> dict[str, Value]:
    """Settings by name with the values that stand at `source`, taken as they are."""
    known = {setting.name: setting for setting in (*resolved.definition.settings, *extras(resolved))}
    values: dict[str, Value] = {}
    for name, value in given.items():
        setting = known.get(name) or Setting(name=name, kind=variables.inferred_kind(value))
        values[name] = Value(
            name=name,
            value=value,
            origin=Origin.PROJECT,
            source=source,
            setting=setting,
            secret=sensitive.is_secret(setting, value),
        )
    return values


def config(values: Mapping[str, Value], *, now: datetime | None = None) -> dict[str, Any]:
    """The plugin's config file: `a.b` nested below `a`, extras and what is not set left out, dates in words
    (`3 days ago`) resolved against `now`."""
    tree: dict[str, Any] = {}
    shown = [value for value in values.values() if value.value is not None and not value.name.startswith("_")]
    for value in sorted(shown, key=lambda value: len(split(value.name))):
        setting = value.setting or Setting(name=value.name)
        put(tree, split(value.name), finish(setting, value.value, now))
    return tree


def missing_required(resolved: Resolved, values: Mapping[str, Value]) -> tuple[str, ...]:
    """The settings without which the plugin can't work: the `required` ones and, unless one group of
    `settings_group_validation` is complete, what is missing of the group that was begun and is nearest to it; of the
    first one where none was begun."""
    missing = [setting.name for setting in resolved.definition.settings if setting.required]
    missing = [name for name in missing if not _is_set(values, name)]
    groups = [
        (group, [name for name in group if not _is_set(values, name)])
        for group in resolved.definition.settings_group_validation
    ]
    begun = [left for group, left in groups if len(left) < len(group) or not group]
    nearest = min(begun or [left for _, left in groups[:1]], key=len, default=[])
    return tuple(dict.fromkeys([*missing, *nearest]))


def check_required(resolved: Resolved, values: Mapping[str, Value]) -> None:
    """Raise InputError (`missing-setting`) when a required setting has no value.

    Groups of `settings_group_validation` bind native plugins only: an outside one may find a setting where we can't
    look (a variable of its own, a file), and definitions of the hub are often stricter than the plugin.
    """
    missing = missing_required(resolved, values)
    if resolved.native is None:
        required = {setting.name for setting in resolved.definition.settings if setting.required}
        missing = tuple(name for name in missing if name in required)
    if not missing:
        return
    word = "setting" if len(missing) == 1 else "settings"
    entry = resolved.chain[0]
    raise InputError(
        "missing-setting",
        f"{resolved.kind} `{resolved.name}` needs the {word} {listed(missing)}",
        where=Where(entry.file, entry.line) if entry.file else None,
        hint=f"headwater config set {resolved.name} {missing[0]} …",
    )


def check_known(resolved: Resolved, environment: Environment | None = None) -> None:
    """Raise InputError (`unknown-setting`) for a misspelt key of a native plugin, whose settings are all known."""
    if resolved.native is None:
        return
    for key, where, suggestion in unknown_keys(resolved, environment, alike=0.6):
        raise InputError(
            "unknown-setting",
            f"`{resolved.name}` has no setting `{key}`",
            where=where,
            hint=f"did you mean `{suggestion}`?",
        )


def unknown_keys(
    resolved: Resolved, environment: Environment | None = None, *, alike: float = 0.85
) -> tuple[Unknown, ...]:
    """Keys of `config` that are likely typos. Other unknown keys are passed on: definitions are often incomplete.
    `alike` is how near a known name they have to be, from 0 to 1."""
    names = {name for setting in resolved.definition.settings for name in (setting.name, *setting.aliases)}
    roots = names | {split(name)[0] for name in names}
    sections = [(entry.config, entry.file, entry.line, entry.lines) for entry in resolved.chain]
    for item in environment.plugins if environment else ():
        if item.kind is resolved.kind and item.name == resolved.name:
            sections.insert(0, (item.config, item.file, item.line, item.lines))
    unknown = []
    for keys, file, line, lines in sections:
        for key in keys:
            if key in roots or split(key)[0] in roots or key.startswith("_"):
                continue
            close = difflib.get_close_matches(key, names, n=1, cutoff=alike)
            if close:
                unknown.append(Unknown(key, Where(file, lines.get(f"config.{key}", line)), close[0]))
    return tuple(unknown)


def _is_set(values: Mapping[str, Value], name: str) -> bool:
    """Whether the setting, or a setting below it, has a value; an empty text is none."""
    return any(
        value.value not in (None, "") for key, value in values.items() if key == name or key.startswith(f"{name}.")
    )


def _value(
    resolved: Resolved, layers: Layers, setting: Setting, found: Sequence[Found], env: Mapping[str, str]
) -> Value:
    if not found or found[0].origin is Origin.DEFAULT:
        variable = _own_variable(layers, setting)
        if variable is not None:
            found = [variable, *found]
    if not found:
        return Value(
            name=setting.name,
            value=None,
            origin=Origin.DEFAULT,
            source="not set",
            setting=setting,
            secret=sensitive.is_named_secret(setting),
        )
    strongest, *weaker = found
    raw = _raw(found, env, strict=layers.strict)
    try:
        value = cast(setting, raw)
    except WrongTypeError as error:
        if strongest.origin is not Origin.DEFAULT:
            raise _wrong_type(resolved, setting, strongest, raw, str(error)) from None
        value = raw
    shadowed = tuple(_shadowed(setting, item, env) for item in weaker)
    return _shown(setting, strongest, value, shadowed)


def _own_variable(layers: Layers, setting: Setting) -> Found | None:
    """The setting's `env` name, the weakest of all that is given."""
    if setting.env is None:
        return None
    for origin, env, prefix in ((Origin.ENV, layers.env, ""), (Origin.DOTENV, layers.dotenv, ".env: ")):
        if env.get(setting.env):
            return Found(origin, Given(env[setting.env], prefix + setting.env))
    return None


def _raw(found: Sequence[Found], env: Mapping[str, str], *, strict: bool) -> Any:
    """The strongest value with its variables expanded, not cast yet."""
    given = found[0].given
    if found[0].parts is None:
        return expand_setting(given.value, env, strict=strict, where=given.where) if given.expandable else given.value
    return nest(
        {
            path: expand_setting(part.value, env, strict=strict, where=part.where) if part.expandable else part.value
            for path, part in merge(found).items()
        }
    )


def _shadowed(setting: Setting, item: Found, env: Mapping[str, str]) -> Value:
    """A weaker value. It is only shown, so it may be wrong."""
    value = _raw([item], env, strict=False)
    with contextlib.suppress(WrongTypeError):
        value = cast(setting, value)
    return _shown(setting, item, value, ())


def _shown(setting: Setting, found: Found, value: Any, shadowed: tuple[Value, ...]) -> Value:
    return Value(
        name=setting.name,
        value=value,
        origin=found.origin,
        source=found.given.source,
        setting=setting,
        secret=sensitive.is_secret(setting, value),
        shadowed=shadowed,
    )


def _wrong_type(resolved: Resolved, setting: Setting, found: Found, value: Any, expected: str) -> InputError:
    secret = sensitive.is_secret(setting, value)
    shown = "a value that is not shown, it may be a secret," if secret else f"`{variables.text(value)}`"
    kind = f" (kind `{setting.kind}`)" if setting.kind is not SettingKind.OPTIONS else ""
    return InputError(
        "wrong-setting-type",
        f"the setting `{setting.name}` of `{resolved.name}` must be {expected}",
        where=found.given.where,
        why=f"{found.given.source} gives {shown}{kind}",
        hint=f"headwater config set {resolved.name} {setting.name} …",
    )

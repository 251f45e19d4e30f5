"""The names of variables: those a plugin's settings are read from, and those it is given.

Read: `<NAME>_<SETTING>` and `<NAMESPACE>_<SETTING>`, also under the setting's aliases. Given: the setting's own
`env` name, those two, the same for each parent and for the definition (a `tap-x--copy` still finds `TAP_X_TOKEN`),
and `MELTANO_EXTRACT_<SETTING>` and its like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headwater.base.text import env_name
from headwater.model.plugin import Resolved
from headwater.model.setting import Setting, SettingKind, Value
from headwater.plan.nested import join, leaves


def info(resolved: Resolved) -> dict[str, str]:
    """Who the plugin is: `MELTANO_EXTRACTOR_NAME`, `…_NAMESPACE`, `…_VARIANT`."""
    variant = resolved.definition.variant
    if variant == "original" and resolved.chain[-1].is_custom:
        variant = "default"  # as custom plugins that name none know it
    facts = {"name": resolved.name, "namespace": resolved.definition.namespace, "variant": variant}
    return {env_name("meltano", resolved.kind.value, key): value for key, value in facts.items()}


def read_names(resolved: Resolved, setting: Setting, *, ancestor: int = 0) -> tuple[str, ...]:
    """The variables that set `setting` of the plugin, or of the `ancestor`th entry of its chain."""
    prefixes = (resolved.chain[ancestor].name, resolved.namespaces[ancestor])
    names = (env_name(prefix, name) for name in (setting.name, *setting.aliases) for prefix in prefixes)
    return tuple(dict.fromkeys(names))


def given_names(resolved: Resolved, setting: Setting) -> tuple[str, ...]:
    """The variables of `setting` that start with a name of the plugin, of a parent or of the definition."""
    prefixes: list[str] = []
    for entry, namespace in zip(resolved.chain, resolved.namespaces, strict=False):
        prefixes += [entry.name, namespace]
    prefixes += [resolved.definition.name, resolved.namespaces[-1]]
    return tuple(dict.fromkeys(env_name(prefix, setting.name) for prefix in prefixes))


def write_names(resolved: Resolved, setting: Setting) -> tuple[str, ...]:
    """The variables in which the plugin finds `setting`."""
    own = (setting.env,) if setting.env else ()
    verb = env_name(f"meltano_{resolved.kind.verb}", setting.name)
    return tuple(dict.fromkeys((*own, *given_names(resolved, setting), verb)))


def exports(resolved: Resolved, values: Mapping[str, Value], *, secret: bool = True) -> dict[str, str]:
    """The resolved settings as variables, under every name, an object's leaves also each on its own; without
    `secret`, only those that are none."""
    env: dict[str, str] = {}
    for value in values.values():
        if value.setting is None or (value.secret and not secret):
            continue
        for setting, item in parts(value.setting, value.value):
            if item is not None:
                env.update(dict.fromkeys(write_names(resolved, setting), text(item)))
    return env


def parts(setting: Setting, value: Any) -> Iterator[tuple[Setting, Any]]:
    """The setting with its value, and each leaf of an object as a setting of its own (`db.host`)."""
    yield setting, value
    if isinstance(value, Mapping):
        for path, item in leaves(value, dots=False).items():
            yield Setting(name=f"{setting.name}.{join(path)}"), item


def text(value: Any) -> str:
    """A value as a variable holds it: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def inferred_kind(value: Any) -> SettingKind | None:
    """The kind of a setting nobody defined, from the YAML type of its value."""
    if isinstance(value, bool):
        return SettingKind.BOOLEAN
    if isinstance(value, int):
        return SettingKind.INTEGER
    if isinstance(value, float):
        return SettingKind.DECIMAL
    if isinstance(value, Mapping):
        return SettingKind.OBJECT
    if isinstance(value, list | tuple):
        return SettingKind.ARRAY
    return None

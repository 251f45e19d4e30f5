"""What is known of an Airbyte connector as a plugin: its package, and the settings that its specification names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headwater.base.errors import InputError
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import AIRBYTE, Definition, PluginKind
from headwater.model.setting import Option, Setting, SettingKind

VARIANT = "airbyte"
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KINDS = {
    "string": SettingKind.STRING,
    "integer": SettingKind.INTEGER,
    "number": SettingKind.DECIMAL,
    "boolean": SettingKind.BOOLEAN,
    "array": SettingKind.ARRAY,
    "object": SettingKind.OBJECT,
}
_MARKUP = re.compile(r"<[^>]*>")
_DEPTH = 4


def package(source: str) -> str:
    """Raises InputError (`bad-source`) for what can be no package's name."""
    named = source.removeprefix(AIRBYTE)
    if not _PACKAGE.fullmatch(named):
        raise InputError(
            "bad-source",
            f"`{source}` names no package",
            hint="source: airbyte:airbyte-source-NAME; a version goes into `pip_url`",
        )
    return named


def definition(source: str, specification: Mapping[str, Any] | None = None) -> Definition:
    """Without its specification nothing is known of its settings: it takes any. Raises InputError (`bad-source`)."""
    named = package(source)
    return Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name=named,
        namespace=named.replace("-", "_"),
        variant=VARIANT,
        native="airbyte",
        pip_url=named,
        capabilities=("catalog", "discover", "state"),
        settings=(
            *settings(specification or {}),
            *STREAM_MAPS,
            Setting(name="source", kind=SettingKind.STRING, value=source, hidden=True),
        ),
    )


def settings(specification: Mapping[str, Any]) -> list[Setting]:
    """The settings that a specification names, those of objects as `a.b`. Where one of several objects may be given,
    the settings of all of them; which one is meant is said by the setting that they share."""
    found: dict[str, Setting] = {}
    for setting in _below(specification, "", 0):
        before = found.get(setting.name)
        found[setting.name] = setting if before is None else _both(before, setting)
    return list(found.values())


def _below(schema: Mapping[str, Any], prefix: str, depth: int) -> Iterator[Setting]:
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    for name, about in sorted(properties.items(), key=lambda item: item[1].get("order", len(properties))):
        label = prefix + name.replace(".", r"\.")
        choices = [one for key in ("oneOf", "anyOf") for one in about.get(key) or () if one.get("properties")]
        if depth < _DEPTH and (about.get("properties") or choices):
            for one in [about, *choices]:
                yield from _below(one, f"{label}.", depth + 1)
        else:
            yield _setting(label, about, is_required=name in required and not prefix, is_top=not prefix)


def _setting(name: str, about: Mapping[str, Any], *, is_required: bool, is_top: bool) -> Setting:
    said = about.get("type")
    types = [said] if isinstance(said, str) else [one for one in said or () if one != "null"]
    values = [about["const"]] if "const" in about else about.get("enum") or []
    description = _MARKUP.sub("", about.get("description") or "").strip()
    return Setting(
        name=name,
        kind=SettingKind.OPTIONS if values else _KINDS.get(types[0]) if len(types) == 1 else None,
        # Of an object that may be left out nothing is given unless the user does.
        value=about.get("default") if is_top else None,
        label=about.get("title"),
        description=description or None,
        options=tuple(Option(value=value) for value in values),
        hidden=bool(about.get("airbyte_hidden")),
        sensitive=bool(about.get("airbyte_secret")),
        required=is_required and about.get("default") is None,
    )


def _both(one: Setting, other: Setting) -> Setting:
    options = {option.value: option for option in (*one.options, *other.options)}
    return msgspec.structs.replace(
        one,
        kind=one.kind if one.kind is other.kind else None,
        options=tuple(options.values()),
        sensitive=one.sensitive or other.sensitive,
    )

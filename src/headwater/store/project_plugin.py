"""Plugin entries of a project file: below `plugins:`, and in an environment's `config.plugins`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.model.plugin import Command, Plugin, PluginKind
from headwater.model.project import EnvironmentPlugin
from headwater.model.setting import Option, Setting, SettingKind
from headwater.store.project_fields import Section

PLUGIN_KEYS = (
    "name",
    "inherit_from",
    "namespace",
    "variant",
    "pip_url",
    "python",
    "executable",
    "repo",
    "ext_repo",
    "docs",
    "label",
    "logo_url",
    "description",
    "hidden",
    "capabilities",
    "settings_group_validation",
    "settings",
    "commands",
    "requires",
    "requires_meltano",
    "supported_python_versions",
    "constraints",
    "overrides",
    "env",
    "config",
    "annotations",
    "plugin_type",
)
ENVIRONMENT_PLUGIN_KEYS = ("name", "config", "env")
EXTRA_KEYS: dict[PluginKind, tuple[str, ...]] = {
    PluginKind.EXTRACTOR: (
        "catalog",
        "state",
        "load_schema",
        "source",
        "select",
        "metadata",
        "schema",
        "select_filter",
        "use_cached_catalog",
        "catalog_max_age",
        "idle_timeout_seconds",
        "discovery_timeout_seconds",
        "max_message_bytes",
        "max_columns",
        "on_bad_record",
        "flatten_depth",
        "batch_roots",
        "tolerate_stdout_noise",
        "log_parser",
    ),
    PluginKind.LOADER: ("dialect", "commit_bytes", "commit_seconds", "memory_bytes", "log_parser"),
    PluginKind.MAPPER: ("mappings", "mapping_name", "log_parser"),
    PluginKind.TRANSFORM: ("package_name", "vars"),
    PluginKind.FILE: ("update",),
}
_SETTING_KEYS = (
    "name",
    "aliases",
    "env",
    "kind",
    "value",
    "label",
    "description",
    "tooltip",
    "documentation",
    "placeholder",
    "options",
    "oauth",
    "env_specific",
    "hidden",
    "sensitive",
    "required",
    "value_processor",
    "value_post_processor",
    "annotations",
)
_COMMAND_KEYS = ("args", "description", "executable", "container_spec")
_EXAMPLES = {PluginKind.EXTRACTOR: "tap-github", PluginKind.LOADER: "target-jsonl"}


def read_plugin(entry: Section, kind: PluginKind) -> Plugin:
    """One entry below `plugins.<section>`. Keys that nobody knows are extras, but for likely typos of known ones."""
    return Plugin(
        kind=kind,
        name=entry.name(example=_EXAMPLES.get(kind, "my-plugin"), forbid_colon=True),
        inherit_from=entry.text("inherit_from"),
        variant=entry.text("variant"),
        namespace=_text(entry, "namespace"),
        label=_text(entry, "label"),
        description=_text(entry, "description"),
        docs=_text(entry, "docs"),
        repo=_text(entry, "repo"),
        ext_repo=_text(entry, "ext_repo"),
        logo_url=_text(entry, "logo_url"),
        hidden=UNSET if (hidden := entry.flag("hidden")) is None else hidden,
        pip_url=entry.text("pip_url") if "pip_url" in entry else UNSET,
        python=entry.text("python") if "python" in entry else UNSET,
        executable=_text(entry, "executable"),
        capabilities=_texts(entry, "capabilities"),
        settings_group_validation=_groups(entry),
        settings=tuple(_setting(item) for item in entry.sections("settings", "setting")),
        commands=_commands(entry),
        requires=entry.mapping("requires"),
        requires_meltano=entry.text("requires_meltano"),
        supported_python_versions=_texts(entry, "supported_python_versions"),
        constraints=_texts(entry, "constraints"),
        overrides=_texts(entry, "overrides"),
        env=entry.env(),
        config=entry.mapping("config"),
        annotations=entry.mapping("annotations"),
        extras=_extras(entry, kind, PLUGIN_KEYS),
        file=entry.document.file,
        line=entry.line(),
        lines=_lines(entry),
    )


def read_environment_plugin(entry: Section, kind: PluginKind) -> EnvironmentPlugin:
    """One entry below an environment's `config.plugins.<section>`."""
    for key in entry.data:
        if key in PLUGIN_KEYS and key not in ENVIRONMENT_PLUGIN_KEYS and key != "annotations":
            raise InputError(
                "unknown-key",
                f"`{key}` of {entry.title} cannot differ between environments",
                where=entry.where(key),
                hint=f"move it to the plugin's own entry below `plugins.{kind.section}`",
            )
    return EnvironmentPlugin(
        kind=kind,
        name=entry.name(example=_EXAMPLES.get(kind, "my-plugin"), forbid_colon=True),
        config=entry.mapping("config"),
        env=entry.env(),
        extras=_extras(entry, kind, (*ENVIRONMENT_PLUGIN_KEYS, "annotations")),
        file=entry.document.file,
        line=entry.line(),
        lines=_lines(entry),
    )


def _text(entry: Section, key: str) -> str | UnsetType:
    text = entry.text(key)
    return UNSET if text is None else text


def _texts(entry: Section, key: str) -> tuple[str, ...] | UnsetType:
    return UNSET if entry.data.get(key) is None else entry.texts(key)


def _groups(entry: Section) -> tuple[tuple[str, ...], ...] | UnsetType:
    key = "settings_group_validation"
    if entry.data.get(key) is None:
        return UNSET
    groups = entry.sequence(key)
    for index, group in enumerate(groups):
        if not isinstance(group, list):
            raise entry.wrong_type(group, "a list", key, index)
    return tuple(tuple(map(str, group)) for group in groups)


def _extras(entry: Section, kind: PluginKind, known: tuple[str, ...]) -> dict[str, Any]:
    extras = {str(key): value for key, value in entry.data.items() if key not in known}
    of_kind = EXTRA_KEYS.get(kind, ())
    entry.check_typos((*known, *of_kind), [key for key in extras if key not in of_kind])
    return extras


def _lines(entry: Section) -> dict[str, int]:
    lines: dict[str, int] = {}
    for key, value in entry.data.items():
        lines[str(key)] = entry.line(key)
        if key in ("config", "env") and isinstance(value, dict):
            _nested_lines(entry, (key,), value, lines)
    return lines


def _nested_lines(entry: Section, path: tuple[Any, ...], value: dict[Any, Any], lines: dict[str, int]) -> None:
    for key, item in value.items():
        below = (*path, key)
        lines[".".join(map(str, below))] = entry.line(*below)
        if isinstance(item, dict):
            _nested_lines(entry, below, item, lines)


def _setting(entry: Section) -> Setting:
    # Definitions copied from a hub carry keys of their own, which never had a meaning here.
    entry.check_typos(_SETTING_KEYS, [key for key in entry.data if key not in _SETTING_KEYS])
    return Setting(
        name=entry.name(example="api_token"),
        aliases=entry.texts("aliases"),
        env=entry.text("env"),
        kind=_kind(entry),
        value=entry.data.get("value"),
        label=entry.text("label"),
        description=entry.text("description"),
        tooltip=entry.text("tooltip"),
        documentation=entry.text("documentation"),
        placeholder=entry.text("placeholder"),
        options=tuple(_option(entry, index, item) for index, item in enumerate(entry.sequence("options"))),
        oauth=entry.mapping("oauth") or None,
        env_specific=entry.flag("env_specific") or False,
        hidden=entry.flag("hidden") or False,
        sensitive=entry.flag("sensitive") or False,
        required=entry.flag("required") or False,
        value_processor=entry.text("value_processor"),
        value_post_processor=entry.text("value_post_processor"),
        annotations=entry.mapping("annotations") or None,
    )


def _kind(entry: Section) -> SettingKind | None:
    word = entry.text("kind")
    if word is None:
        return None
    try:
        return SettingKind(word)
    except ValueError:
        kinds = [kind.value for kind in SettingKind]
        guess = did_you_mean(word, kinds)
        raise InputError(
            "unknown-setting-kind",
            f"unknown kind `{word}` of {entry.title}",
            where=entry.where("kind"),
            hint=f"did you mean `{guess}`?" if guess else f"kinds: {listed(kinds, most=20)}",
        ) from None


def _option(entry: Section, index: int, item: Any) -> Option:
    if not isinstance(item, dict):
        return Option(value=item)
    if "value" not in item:
        raise InputError(
            "missing-key",
            f"an option of {entry.title} has no `value`",
            where=entry.where("options", index),
            hint="write it as `- {label: …, value: …}`",
        )
    label = item.get("label")
    return Option(value=item["value"], label=None if label is None else str(label))


def _commands(entry: Section) -> dict[str, Command]:
    commands = {}
    for name, value in entry.mapping("commands").items():
        if isinstance(value, dict):
            body = Section(entry.document, (*entry.path, "commands", name), value, f"command `{name}`")
            body.check_keys(_COMMAND_KEYS)
            commands[str(name)] = Command(
                args=body.text("args") or "",
                description=body.text("description"),
                executable=body.text("executable"),
                container_spec=body.mapping("container_spec") or None,
            )
        elif isinstance(value, list) or value is None:
            raise entry.wrong_type(value, "text", "commands", name)
        else:
            commands[str(name)] = Command(args=str(value))
    return commands

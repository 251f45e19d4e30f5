"""Definitions as the project keeps them: `plugins/<section>/<name>[--<variant>].lock`, JSON that Meltano reads too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.base.files import cannot_write, write_atomic
from headwater.model.plugin import Command, Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

ORIGINAL = "original"

# The order in which keys stand in a lock file. Extras follow; keys that only we know come last.
_KEYS = (
    "plugin_type",
    "name",
    "namespace",
    "variant",
    "label",
    "docs",
    "repo",
    "ext_repo",
    "pip_url",
    "python",
    "executable",
    "description",
    "logo_url",
    "capabilities",
    "settings_group_validation",
    "settings",
    "commands",
    "requires",
    "requires_meltano",
    "supported_python_versions",
    "env",
)
_OWN_KEYS = ("native", "hidden", "constraints", "overrides", "driver")
_SETTING_KINDS = frozenset(SettingKind)


def path(root: Path, kind: PluginKind, name: str, variant: str | None = None) -> Path:
    """Where the definition stands. The variant `original` has no suffix."""
    suffix = f"--{variant}" if variant and variant != ORIGINAL else ""
    return root / "plugins" / kind.section / f"{name}{suffix}.lock"


def read(root: Path, kind: PluginKind, name: str, variant: str | None = None) -> Definition | None:
    """The locked definition, None when there is none.

    Without a variant: the file without a suffix, else the only one with any. Raises InputError
    (`lock-file-invalid`) naming the file, also when several variants are locked and none is named.
    """
    file = _found(root, kind, name, variant)
    if file is None:
        return None
    try:
        data = file.read_bytes()
    except OSError as error:
        raise EnvironmentProblemError(
            "cannot-read", f"cannot read `{file}`: {(error.strerror or str(error)).lower()}", where=Where(str(file))
        ) from error
    return parse(data, file=str(file), kind=kind, name=name)


def write(root: Path, definition: Definition) -> Path:
    """Replace the definition's lock file and return its path."""
    file = path(root, definition.plugin_type, definition.name, definition.variant)
    write_atomic(file, encode(definition))
    return file


def remove(root: Path, kind: PluginKind, name: str, variant: str | None = None) -> None:
    """Remove the lock file and the pins beside it; without a variant those of every variant. Idempotent."""
    folder = root / "plugins" / kind.section
    for ending in ("lock", "requirements.txt"):
        named = path(root, kind, name, variant).with_suffix(f".{ending}")
        files = [named] if variant else [named, *folder.glob(f"{name}--*.{ending}")]
        for file in files:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(file, error) from error


def parse(data: bytes, *, file: str, kind: PluginKind | None = None, name: str | None = None) -> Definition:
    """A definition from its JSON. Keys without a meaning here become extras, unknown setting kinds strings.

    `kind` and `name` stand in for `plugin_type` and `name` where the text has none.
    """
    where = Where(file)
    try:
        raw = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise _invalid(where, str(error)) from error
    if not isinstance(raw, dict):
        raise _invalid(where, "expected an object")
    return from_builtins(raw, where=where, kind=kind, name=name)


def from_builtins(
    raw: dict[str, Any], *, where: Where, kind: PluginKind | None = None, name: str | None = None
) -> Definition:
    """As `parse`, from decoded JSON or YAML."""
    found = {key: value for key, value in raw.items() if value is not None}
    extras = {key: found.pop(key) for key in list(found) if key not in _KEYS and key not in _OWN_KEYS}
    try:
        plugin_type = _kind(found.get("plugin_type", kind))
        found |= {"plugin_type": plugin_type, "name": found.get("name", name), "extras": extras}
        found.setdefault("namespace", str(found["name"]).replace("-", "_"))
        found["settings"] = [_setting(item) for item in found.get("settings", ())]
        found["commands"] = {key: _command(item) for key, item in found.get("commands", {}).items()}
        found["env"] = {key: str(item) for key, item in found.get("env", {}).items()}
        return msgspec.convert(found, Definition)
    except (msgspec.ValidationError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(where, str(error)) from error


def encode(definition: Definition) -> bytes:
    """Indented by two, keys in Meltano's order, empty values left out, a newline at the end."""
    full: dict[str, Any] = msgspec.to_builtins(definition)
    full["variant"] = definition.variant
    full["plugin_type"] = definition.plugin_type.section
    if definition.commands:
        full["commands"] = {key: _command_text(item) for key, item in definition.commands.items()}
    extras = full.pop("extras", {})
    ordered = {key: full[key] for key in _KEYS if full.get(key) not in (None, (), [], {})}
    ordered |= extras
    ordered |= {key: full[key] for key in _OWN_KEYS if full.get(key)}
    return msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n"


def _found(root: Path, kind: PluginKind, name: str, variant: str | None) -> Path | None:
    plain = path(root, kind, name)
    if variant:
        # Other writers may spell the suffix out.
        for file in (path(root, kind, name, variant), plain.with_name(f"{name}--{variant}.lock")):
            if file.is_file():
                return file
        return None
    if plain.is_file():
        return plain
    others = sorted(plain.parent.glob(f"{name}--*.lock"))
    if len(others) > 1:
        names = ", ".join(f"`{other.stem.removeprefix(f'{name}--')}`" for other in others)
        raise InputError(
            "lock-file-invalid",
            f"`{name}` is locked in several variants: {names}",
            where=Where(str(plain.parent)),
            hint=f"say which in the project file: variant: {others[0].stem.removeprefix(f'{name}--')}",
        )
    return others[0] if others else None


def _kind(value: Any) -> PluginKind:
    """`extractors` and `extractor` alike."""
    for kind in PluginKind:
        if value in (kind.section, kind.value):
            return kind
    raise ValueError(f"unknown plugin_type {value!r}")


def _setting(item: Any) -> Setting:
    known = {key: value for key, value in dict(item).items() if value is not None}
    if known.get("kind") not in _SETTING_KINDS:
        known.pop("kind", None)
    return msgspec.convert(known, Setting)


def _command(item: Any) -> Command:
    if isinstance(item, str):
        return Command(args=item)
    return msgspec.convert({"args": ""} | dict(item), Command)


def _command_text(command: Command) -> Any:
    shape = msgspec.to_builtins(command)
    return command.args if set(shape) == {"args"} else shape


def _invalid(where: Where, why: str) -> InputError:
    return InputError(
        "lock-file-invalid",
        "the lock file does not hold a plugin definition",
        where=where,
        why=why,
        hint=f"have it written anew: rm {where.file} && headwater install",
    )

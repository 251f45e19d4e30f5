"""What a REST source's YAML says about the plugin that it is: its settings and its description."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from headwater.base.errors import InputError, Where
from headwater.connect.sources.rest import expressions, spec, spec_file
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

_OURS = ("source", "root", "venv", "given", "env", "secrets", "cache_seconds")
# Where `auth` has no word for a login, its secret stands among headers and parameters.
_SECRET_NAME = re.compile(r"(token|secret|password|passphrase|api_?key)$", re.IGNORECASE)
_CACHE = Setting(
    name="cache_seconds",
    kind=SettingKind.INTEGER,
    label="Keep answers",
    description="While you work on the source: use an answer again for so many seconds; it is kept in `.headwater`",
)


def definition(root: Path, source: str) -> Definition | None:
    """The definition of the source in a file of the project; None when there is no such file.

    What expressions call `config.NAME` is a setting: a secret one when `auth` uses it, and required when it has no
    default. `settings` in the file says more of it. Raises InputError with file and line.
    """
    file = root / source
    if not file.is_file():
        return None
    found = spec_file.read(file, source)
    return Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name=file.stem,
        namespace=file.stem,
        variant="project",
        native="rest",
        description=found.description,
        capabilities=("catalog", "discover", "state"),
        settings=(
            *_settings(found, source),
            _CACHE,
            *STREAM_MAPS,
            Setting(name="source", kind=SettingKind.STRING, value=source, hidden=True),
        ),
    )


def _settings(found: spec.Spec, source: str) -> list[Setting]:
    said = {setting.name: setting for setting in found.settings}
    secret = {item.name for item in expressions.within(found.auth)}
    used: dict[str, bool] = {}
    for expression in expressions.within(found):
        root, _, name = (expression.name or "").partition(".")
        if root == "config" and name:
            used[name] = used.get(name, False) or not expression.has_default
    for name, is_needed in used.items():
        before = said.get(name, Setting(name=name, kind=SettingKind.STRING, label=_label(name)))
        said[name] = msgspec.structs.replace(
            before,
            required=before.required or (is_needed and before.value is None and f"config.{name}" in _needed(found)),
            sensitive=before.sensitive or f"config.{name}" in secret or bool(_SECRET_NAME.search(name)),
        )
    if odd := next((name for name in said if name in _OURS or name.startswith("_")), None):
        raise InputError(
            "bad-source", f"no setting can be called `{odd}`", where=Where(source), hint="give it another name"
        )
    return list(said.values())


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _needed(found: spec.Spec) -> set[str | None]:
    """What nothing works without: a parameter or header without a value is left out."""
    texts = [found.base_url, found.auth, *(stream.path for stream in found.streams.values())]
    return {item.name for item in expressions.within(texts) if not item.has_default}

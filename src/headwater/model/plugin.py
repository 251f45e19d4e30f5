"""Plugins: what the hub knows of one (`Definition`), what the project says (`Plugin`), both together (`Resolved`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from headwater.model.setting import Setting


class PluginKind(StrEnum):
    EXTRACTOR = "extractor"
    LOADER = "loader"
    MAPPER = "mapper"
    TRANSFORMER = "transformer"
    TRANSFORM = "transform"
    ORCHESTRATOR = "orchestrator"
    UTILITY = "utility"
    FILE = "file"

    @property
    def section(self) -> str:
        """The kind's key below `plugins:` in a project file, and its folder below `plugins/`."""
        return "utilities" if self is PluginKind.UTILITY else f"{self.value}s"

    @property
    def verb(self) -> str:
        """The word in `MELTANO_<VERB>_<SETTING>` variables that plugins of this kind receive."""
        return _VERBS[self]


_VERBS = {
    PluginKind.EXTRACTOR: "EXTRACT",
    PluginKind.LOADER: "LOAD",
    PluginKind.MAPPER: "MAP",
    PluginKind.TRANSFORMER: "TRANSFORM",
    PluginKind.TRANSFORM: "TRANSFORM",
    PluginKind.ORCHESTRATOR: "ORCHESTRATE",
    PluginKind.UTILITY: "UTILIZE",
    PluginKind.FILE: "FILE",
}

SECTIONS = {kind.section: kind for kind in PluginKind}


# How `source:` begins when it names a source of another framework, or of a package for Headwater.
AIRBYTE, DLT, PACKAGE = "airbyte:", "dlt:", "package:"
FOREIGN = (AIRBYTE, DLT, PACKAGE)


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plugin's named command: `args` is split like a shell line, then `$VAR` is expanded in each word."""

    args: str
    description: str | None = None
    executable: str | None = None
    container_spec: dict[str, Any] | None = None


class Definition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a plugin apart from any project: the hub's page, the lock file's content.

    `native` names a module of ours (`files`, `duckdb`) that does the work in this process; such a plugin has no
    executable. `pip_url` may still be set: the package then only brings data or drivers.
    `constraints` and `overrides` are requirement lines given to the installer. `driver` names a program of ours
    (`soda`, `great_expectations`) that runs checks in the plugin's environment and reports each of them.
    """

    plugin_type: PluginKind
    name: str
    namespace: str
    variant: str = "original"
    label: str | None = None
    docs: str | None = None
    repo: str | None = None
    ext_repo: str | None = None
    pip_url: str | None = None
    python: str | None = None
    executable: str | None = None
    native: str | None = None
    description: str | None = None
    logo_url: str | None = None
    hidden: bool = False
    capabilities: tuple[str, ...] = ()
    settings_group_validation: tuple[tuple[str, ...], ...] = ()
    settings: tuple[Setting, ...] = ()
    commands: dict[str, Command] = field(default_factory=dict)
    requires: dict[str, Any] = field(default_factory=dict)
    requires_meltano: str | None = None
    supported_python_versions: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    driver: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)


class Plugin(Struct, frozen=True, kw_only=True):
    """An entry of the project file, as written. UNSET means the key is absent: it is inherited.

    `extras` holds every key that is not named here, without the leading underscore (`select`, `metadata`, …).
    `file` and `line` say where it stands; `lines` maps `config.x`, `select`, … to their lines.
    """

    kind: PluginKind
    name: str
    inherit_from: str | None = None
    variant: str | None = None
    namespace: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    docs: str | UnsetType = UNSET
    repo: str | UnsetType = UNSET
    ext_repo: str | UnsetType = UNSET
    logo_url: str | UnsetType = UNSET
    hidden: bool | UnsetType = UNSET
    pip_url: str | UnsetType | None = UNSET
    python: str | UnsetType | None = UNSET
    executable: str | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET
    settings_group_validation: tuple[tuple[str, ...], ...] | UnsetType = UNSET
    settings: tuple[Setting, ...] = ()
    commands: dict[str, Command] = field(default_factory=dict)
    requires: dict[str, Any] = field(default_factory=dict)
    requires_meltano: str | None = None
    supported_python_versions: tuple[str, ...] | UnsetType = UNSET
    constraints: tuple[str, ...] | UnsetType = UNSET
    overrides: tuple[str, ...] | UnsetType = UNSET
    env: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def is_custom(self) -> bool:
        """The definition stands in the project; there is no lock file."""
        return self.namespace is not UNSET or self.source is not None

    @property
    def source(self) -> str | None:
        """The project's file in which an extractor's own code or description stands, as `source:` names it, or a source
        of a package or of another framework, as `package:NAME` and `dlt:MODULE.FUNCTION`."""
        named = self.extras.get("source") if self.kind is PluginKind.EXTRACTOR else None
        # Projects of others may have an extra of that name.
        is_ours = isinstance(named, str) and (named.endswith((".py", ".yml", ".yaml")) or named.startswith(FOREIGN))
        return named if is_ours else None


class Resolved(Struct, frozen=True, kw_only=True):
    """A plugin with its chain of parents and its definition: nothing left to look up.

    `chain` is the project's own entries, this plugin first, its farthest parent last. `definition` has every
    field settled (child over parent over lock). `venv_name` is the folder name of its environment: a child that
    keeps its parent's `pip_url` shares the parent's environment. `namespaces` has one for each entry of `chain`, and
    last that of the definition under them all.
    """

    kind: PluginKind
    name: str
    definition: Definition
    chain: tuple[Plugin, ...]
    venv_name: str
    namespaces: tuple[str, ...] = ()

    @property
    def native(self) -> str | None:
        return self.definition.native

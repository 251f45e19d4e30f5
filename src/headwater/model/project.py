"""A project as its files say it. Nothing here is resolved or checked against anything outside the files."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from msgspec import Struct, field

from headwater.model.plugin import Plugin, PluginKind


class EnvironmentPlugin(Struct, frozen=True, kw_only=True):
    """What an environment says of one plugin: stronger than the plugin's own entry."""

    kind: PluginKind
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    lines: dict[str, int] = field(default_factory=dict)


class Environment(Struct, frozen=True, kw_only=True):
    """`settings` are the project's own settings in this environment, flattened with dots."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    state_id_suffix: str | None = None
    plugins: tuple[EnvironmentPlugin, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0


class Job(Struct, frozen=True, kw_only=True):
    """`tasks` are lists of block words, in order; a task written as one string is split at its spaces. `written` is
    what stands in the file: a text, or a list of texts and lists of texts. A step of the job that fails is tried
    again `retries` times; None leaves that to its plugin."""

    name: str
    tasks: tuple[tuple[str, ...], ...]
    written: Any = ()
    retries: int | None = None
    annotations: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0


class Schedule(Struct, frozen=True, kw_only=True):
    name: str
    interval: str
    job: str | None = None
    extractor: str | None = None
    loader: str | None = None
    transform: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    file: str = ""
    line: int = 0


class Project(Struct, frozen=True, kw_only=True):
    """The project file with all its included files.

    `settings` holds every top-level key that configures the project itself, flattened with dots
    (`state_backend.uri`). `root` and `file` are absolute paths; the `file` of an entry is relative to `root`.
    `lines` has the line of each top-level key of the project file. `readonly`: no command may change the files.
    """

    root: str
    file: str
    readonly: bool = False
    default_environment: str | None = None
    project_id: str | None = None
    requires_meltano: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()
    environments: tuple[Environment, ...] = ()
    jobs: tuple[Job, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    annotations: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """The project file as errors name it: relative to `root`."""
        return PurePath(self.file).name

    @property
    def is_meltanos(self) -> bool:
        """Whether the file is one of Meltano's: ids of states, exit codes and lines that programs read are as there."""
        return self.file_name == "meltano.yml"

    def plugin(self, name: str, kind: PluginKind | None = None) -> Plugin | None:
        """The plugin of that name, None when there is none. Names are unique per kind."""
        for plugin in self.plugins:
            if plugin.name == name and kind in (None, plugin.kind):
                return plugin
        return None

    def environment(self, name: str | None) -> Environment | None:
        return next((item for item in self.environments if item.name == name), None)

"""The options every command shares, as one frozen value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from msgspec import Struct

from headwater.base.errors import HeadwaterError, InputError

if TYPE_CHECKING:  # ops is loaded when a command needs a project, not for help
    from headwater.ops.workspace import Workspace


class LogFile(Struct, frozen=True, kw_only=True):
    """A file that says where the log goes. Files in it are below `root`; `plugins` are the sections of the project's
    plugins by their names, which are part of the names of loggers."""

    path: Path
    root: Path
    plugins: dict[str, str] = {}


class Settings(Struct, kw_only=True):
    """`log_format` is settled here: never `auto`. `live` means standard error is a terminal.

    The one thing that changes later is how the log looks: a project may have a say in it, where neither a flag nor a
    variable (`given`) has, and `log_config` is the file it wants to be followed.
    """

    cwd: Path | None
    environment: str | None
    no_environment: bool
    env_file: Path | None
    log_level: str
    log_format: str
    database_uri: str | None = None
    log_config: LogFile | None = None
    given: frozenset[str] = frozenset()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], given: frozenset[str] = frozenset()) -> Settings:
        known = {name: value for name, value in options.items() if name in cls.__struct_fields__}
        known["log_format"] = _settled(cast("str", options["log_format"]))
        path = options.get("log_config")
        known["log_config"] = LogFile(path=Path(path).absolute(), root=Path.cwd()) if path else None
        return cls(**known, given=given)

    def folder(self) -> Path:
        return self.cwd.absolute() if self.cwd else Path.cwd()

    def arguments(self) -> list[str]:
        """These options as a person would write them, for the same program started anew."""
        given: list[tuple[str, object]] = [
            ("--cwd", self.folder() if self.cwd else None),
            ("--environment", self.environment),
            ("--env-file", self.env_file.absolute() if self.env_file else None),
            ("--database-uri", self.database_uri),
            ("--log-level", self.log_level),
            ("--log-format", self.log_format if self.log_format != "live" else None),
            ("--log-config", self.log_config.path if self.log_config else None),
        ]
        words = [str(word) for option, value in given if value is not None for word in (option, value)]
        return [*words, *(["--no-environment"] if self.no_environment else [])]

    def workspace(self, *, default_environment: bool = True) -> Workspace:
        """The project around the folder. Raises InputError `no-project` outside of one."""
        from headwater.ops.workspace import find

        workspace = find(
            self.folder(),
            environment=self.environment,
            no_environment=self.no_environment,
            default_environment=default_environment,
            env_file=self.env_file,
            database_uri=self.database_uri,
        )
        self._hear(workspace)
        return workspace

    def complete_workspace(self, *, default_environment: bool = True) -> Workspace:
        """As `workspace`, when what Meltano kept in its database (settings, states, runs) was taken over.

        A database that can't be read is told of and no error: it may be what the command is there to correct.
        """
        from headwater.ops import meltano_import

        workspace = self.workspace(default_environment=default_environment)
        try:
            meltano_import.first(workspace, lambda text: click.echo(text, err=True))
        except HeadwaterError as error:
            click.echo(f"warning: the settings in Meltano's database are left out: {error.what}", err=True)
        return workspace

    def _hear(self, workspace: Workspace) -> None:
        """Take over what the project says of its log. What is wrong there stops no command, least one that puts it
        right."""
        from headwater.ops import log_settings

        try:
            said = log_settings.wanted(workspace)
        except InputError as error:
            from headwater.cli.output import note  # only then: it brings the tables

            note(f"{error.what}: it is left out ({error.hint})")
            return
        if said.level is not None and "log_level" not in self.given:
            self.log_level = said.level
        if said.format is not None and "log_format" not in self.given:
            self.log_format = _settled(said.format)
        plugins = {plugin.name: plugin.kind.section for plugin in workspace.project.plugins}
        if self.log_config is not None:
            self.log_config = LogFile(path=self.log_config.path, root=workspace.root, plugins=plugins)
        elif said.file is not None:
            self.log_config = LogFile(path=said.file, root=workspace.root, plugins=plugins)


def _settled(log_format: str) -> str:
    if log_format in ("auto", "colored"):
        return "live" if sys.stderr.isatty() and not _is_dumb() else "plain"
    return "plain" if log_format == "uncolored" else log_format


def _is_dumb() -> bool:
    """Whether the terminal can only write lines (an editor's shell, a serial line)."""
    from headwater.ops.workspace import environment_variables  # the one place that reads them

    return environment_variables().get("TERM") in (None, "", "dumb")

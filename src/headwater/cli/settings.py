"""The options every command shares, as one frozen value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

if TYPE_CHECKING:  # ops is loaded when a command needs a project, not for help
    from headwater.ops.workspace import Workspace


class Settings(Struct, frozen=True, kw_only=True):
    """`log_format` is settled here: never `auto`. `live` means standard error is a terminal."""

    cwd: Path | None
    environment: str | None
    no_environment: bool
    env_file: Path | None
    log_level: str
    log_format: str
    database_uri: str | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Settings:
        log_format = cast("str", options["log_format"])
        if log_format in ("auto", "colored"):
            log_format = "live" if sys.stderr.isatty() and not _is_dumb() else "plain"
        if log_format == "uncolored":
            log_format = "plain"
        known = {name: value for name, value in options.items() if name in cls.__struct_fields__}
        return cls(**{**known, "log_format": log_format})

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
        ]
        words = [str(word) for option, value in given if value is not None for word in (option, value)]
        return [*words, *(["--no-environment"] if self.no_environment else [])]

    def workspace(self, *, default_environment: bool = True) -> Workspace:
        """The project around the folder. Raises InputError `no-project` outside of one."""
        from headwater.ops.workspace import find

        return find(
            self.folder(),
            environment=self.environment,
            no_environment=self.no_environment,
            default_environment=default_environment,
            env_file=self.env_file,
            database_uri=self.database_uri,
        )


def _is_dumb() -> bool:
    """Whether the terminal can only write lines (an editor's shell, a serial line)."""
    from headwater.ops.workspace import environment_variables  # the one place that reads them

    return environment_variables().get("TERM") in (None, "", "dumb")

"""What went wrong, in a form a person can act on.

An error says *what* (one line, no full stop), *where* (file and line), *why* (a detail, often a plugin's own
words) and *the next command* (`hint`). It is raised where it is known and printed once, by a face.
`reference` is a stable kebab-case name; every one has its entry in `docs/reference/errors.md`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """The one table of exit codes."""

    DONE = 0
    FAILED = 1  # the run failed
    INPUT = 2  # what you wrote is wrong: a file, a flag, a setting
    ENVIRONMENT = 3  # the machine is in the way: disk, network, permissions, a missing program
    INTERRUPTED = 130
    TERMINATED = 143


class Where(NamedTuple):
    """A place in a file; `line` counts from 1, 0 means the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class HeadwaterError(Exception):
    """An error with a reference and an exit code. Raise one of its three kinds, not this class.

    `program_code` is how the plugin's program that is to blame ended: its exit code, negative for a signal.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(
        self,
        reference: str,
        what: str,
        *,
        where: Where | None = None,
        why: str | None = None,
        hint: str | None = None,
        program_code: int | None = None,
    ) -> None:
        super().__init__(what)
        self.reference = reference
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint
        self.program_code = program_code


class RunFailedError(HeadwaterError):
    """The work was started and did not end well."""

    exit_code = ExitCode.FAILED


class InputError(HeadwaterError):
    """The user's file, flag or setting is wrong; nothing was started."""

    exit_code = ExitCode.INPUT


class EnvironmentProblemError(HeadwaterError):
    """The machine is in the way: disk, network, permissions, a missing program."""

    exit_code = ExitCode.ENVIRONMENT


class CancelledError(HeadwaterError):
    """The user or the system asked to stop. `exit_code` is that of the signal."""

    def __init__(self, signal_number: int) -> None:
        name = {2: "SIGINT", 15: "SIGTERM"}.get(signal_number, str(signal_number))
        super().__init__("cancelled", f"stopped by {name}")
        self.exit_code = ExitCode.TERMINATED if signal_number == 15 else ExitCode.INTERRUPTED

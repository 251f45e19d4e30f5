"""The exit codes of a project whose file is `meltano.yml`: scripts around it know those of Meltano."""

from __future__ import annotations

from headwater.base.errors import ExitCode
from headwater.cli.settings import Settings

_MELTANOS = {ExitCode.INPUT: 1, ExitCode.ENVIRONMENT: 1, ExitCode.INTERRUPTED: 1}
# There, 2 is said of arguments only, mostly by click, and 3 of a project that asks for another Meltano.
_AGREED = ("file-not-found", "missing-option", "meltano-too-new")


def spelled(code: int, settings: Settings | None, reference: str = "") -> int:
    """What the process exits with for a code of the one table; `reference` is that of the error. Settings are None as
    long as nobody knows which project it is about."""
    if code not in _MELTANOS or reference in _AGREED or settings is None or not _is_meltanos(settings):
        return int(code)
    return _MELTANOS[ExitCode(code)]


def _is_meltanos(settings: Settings) -> bool:
    """Looked up anew: the project file may be what is wrong."""
    from headwater.ops import workspace  # only a failing command needs it
    from headwater.store.project_file import MELTANO_FILE, project_file

    root = workspace.root(settings.folder(), workspace.environment_variables())
    path = project_file(root) if root else None
    return path is not None and path.name == MELTANO_FILE

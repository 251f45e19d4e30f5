"""What is kept of a bug of ours: a file a person can send us."""

from __future__ import annotations

import platform
import tempfile
import traceback
import uuid
from pathlib import Path

from headwater import __version__
from headwater.base import clock
from headwater.base.errors import HeadwaterError
from headwater.base.files import private_folder, write_atomic
from headwater.ops import workspace


def record(error: Exception, *, start: Path | None, command: str | None) -> Path:
    """Write the traceback to the `crashes` folder of the project around `start`, else to the temporary folder.

    The file says which command ran but not with which arguments: they may hold secrets. Only its owner can read it.
    """
    at = clock.iso(clock.now())
    text = "\n".join(
        [
            f"headwater {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"at {at}, command {command or '(none)'}",
            "",
            *traceback.format_exception(error),
        ]
    )
    name = f"{at[:19].replace(':', '-')}-{uuid.uuid4().hex[:6]}.txt"
    try:
        path = private_folder(_folder(start)) / name
        write_atomic(path, text.encode(), mode=0o600)
    except HeadwaterError:  # a full disk, a project that is not ours to write to
        path = Path(tempfile.mkdtemp(prefix="headwater-crash-")) / name
        write_atomic(path, text.encode(), mode=0o600)
    return path


def _folder(start: Path | None) -> Path:
    environ = workspace.environment_variables()
    root = workspace.root(start, environ) if start else None
    if root is None:
        return Path(tempfile.mkdtemp(prefix="headwater-crash-"))
    return workspace.home(root, environ) / "crashes"

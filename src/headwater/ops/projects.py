"""Creating projects."""

from __future__ import annotations

import uuid
from pathlib import Path

from headwater.store import project_template


def init(folder: Path, *, force: bool = False) -> Path:
    """Create a project in `folder` (made when absent) and answer its absolute path."""
    project_template.create(folder.resolve(), force=force, project_id=str(uuid.uuid4()))
    return folder.resolve()

"""Bringing a project to this version of the program."""

from __future__ import annotations

from contextlib import closing

from headwater.ops.workspace import Workspace
from headwater.store.system_db import SystemDb


def database(workspace: Workspace) -> int:
    """Open the system database, which migrates it, and answer its version."""
    with closing(SystemDb(workspace.home)) as db:
        return int(str(db.rows("pragma user_version")[0][0]))

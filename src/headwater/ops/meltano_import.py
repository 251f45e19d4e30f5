"""Taking over what Meltano kept in its database: states, settings and the history of runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from headwater.base import clock
from headwater.base.errors import InputError
from headwater.base.redact import without_credentials
from headwater.model.run import RunRecord
from headwater.ops import states
from headwater.ops.workspace import Workspace
from headwater.plan.project_settings import STORED_AS, may_be_stored
from headwater.store import meltano_db
from headwater.store.meltano_db import Theirs
from headwater.store.state_backends import is_postgres, sqlite_file
from headwater.store.states import import_states, is_cleared
from headwater.store.system_db import SystemDb

Say = Callable[[str], None]


class Taken(Struct, frozen=True, kw_only=True):
    """What came from `source`. `kept` are ids of states that we had already, `unread` settings that were left."""

    source: str
    states: int
    runs: int
    settings: int
    kept: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def text(self) -> str:
        counts = ((self.states, "state"), (self.settings, "setting"), (self.runs, "run"))
        parts = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
        what = f"took {_listed(parts)} over from `{self.source}`" if parts else f"nothing new in `{self.source}`"
        left = f"; left as they are: {_listed([f'`{name}`' for name in self.kept])}" if self.kept else ""
        return what + left + (f"; not taken: {_listed(list(self.unread))}" if self.unread else "")


def first(workspace: Workspace, say: Say) -> None:
    """Take everything over when this project has a database of Meltano's and it was not looked into yet: states only
    into a database of ours that has none. Says in one line what came; says nothing when nothing did."""
    found = _source(workspace)
    if found is None:
        return
    with closing(SystemDb(workspace.home)) as db:
        if db.rows("select 1 from taken_over where source = ?", found.name):
            return
        taken = _take(workspace, db, found, only_if_none=True)
    if taken.states or taken.runs or taken.settings:
        say(taken.text())


def take(workspace: Workspace) -> Taken:
    """Take over what we don't have yet; nothing of ours is overwritten. Raises InputError (`no-meltano-database`)."""
    found = _source(workspace)
    if found is None:
        raise InputError(
            "no-meltano-database",
            "this project has no database of Meltano's",
            why="neither `.meltano/meltano.db` nor a PostgreSQL or SQLite database in `database_uri`",
            hint="meltano state export > states.json, then headwater state import states.json",
        )
    with closing(SystemDb(workspace.home)) as db:
        return _take(workspace, db, found, only_if_none=False)


class _Source(Struct, frozen=True):
    """`name` may be shown."""

    name: str
    read: Callable[[], Theirs]


def _source(workspace: Workspace) -> _Source | None:
    uri = states.database_uri(workspace)
    if is_postgres(uri):
        assert uri is not None
        address = uri
        return _Source(without_credentials(uri).partition("?")[0], lambda: meltano_db.read_postgres(address))
    folder = workspace.environ.get("MELTANO_SYS_DIR_ROOT") or ".meltano"
    path = (sqlite_file(uri) if uri else None) or Path(folder) / "meltano.db"
    path = workspace.root / path
    if not path.is_file():
        return None
    name = path.relative_to(workspace.root) if path.is_relative_to(workspace.root) else path
    return _Source(str(name), lambda: meltano_db.read_file(path))


def _take(workspace: Workspace, db: SystemDb, source: _Source, *, only_if_none: bool) -> Taken:
    theirs = source.read()
    settings_of = {key: value for key, value in theirs.settings.items() if key[0] != STORED_AS or may_be_stored(key[1])}
    left = [f"{plugin} {name}" for plugin, name in theirs.settings if (plugin, name) not in settings_of]
    count, kept, unread = _states(workspace, db, theirs, only_if_none=only_if_none)
    with db.transaction() as connection:
        settings = connection.executemany(
            "insert or ignore into plugin_settings values (?, ?, ?)",
            [(plugin, name, msgspec.json.encode(value).decode()) for (plugin, name), value in settings_of.items()],
        ).rowcount
        runs = connection.executemany(
            "insert or ignore into runs (run_id, name, outcome, started_at, ended_at, seconds, trigger_by, "
            "environment) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [_row(run) for run in theirs.runs],
        ).rowcount
        connection.execute("insert or ignore into taken_over values (?, ?)", (source.name, clock.iso(clock.now())))
    workspace.__dict__.pop("stored_settings", None)  # they may have been read before
    return Taken(
        source=source.name,
        states=count,
        runs=max(0, runs),
        settings=max(0, settings),
        kept=tuple(kept),
        unread=(*unread, *left, *theirs.unread),
    )


def _states(
    workspace: Workspace, db: SystemDb, theirs: Theirs, *, only_if_none: bool
) -> tuple[int, list[str], list[str]]:
    """How many came, which ids we had already, and which hold no state. What was cleared by hand here is ours too."""
    count = 0
    kept: list[str] = []
    unread: list[str] = []
    if not theirs.states or states.place(workspace).uri != "systemdb":
        return count, kept, unread
    with closing(states.backend(workspace, db)) as backend:
        if only_if_none and backend.ids():
            return count, kept, unread
        for state_id, texts in theirs.states.items():
            ours = backend.read(state_id)
            if ours is not None and not is_cleared(ours):
                kept.append(state_id)
            elif ours is None:
                try:
                    count += import_states(backend, {state_id: texts}, by_user=False)
                except InputError:
                    unread.append(f"the state `{state_id}`, which is none")
    return count, kept, unread


def _row(run: RunRecord) -> tuple[object, ...]:
    ended = (run.outcome.value, run.started_at, run.ended_at, run.seconds)
    return (run.run_id, run.name, *ended, run.trigger, run.environment)


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

"""Meltano's own database, read and never written: states, runs and the settings kept there."""

from __future__ import annotations

import io
import pickle
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct, field

from headwater.base.errors import EnvironmentProblemError
from headwater.model.event import Outcome
from headwater.model.run import RunRecord

_RUNS = """
select cast(run_id as text), job_name, cast(state as text), cast(started_at as text), cast(ended_at as text), "trigger"
from runs where ended_at is not null and started_at is not null order by started_at desc limit 1000"""
_TABLES = "select table_name from information_schema.tables where table_schema = any(current_schemas(false))"
_OUTCOMES = {"SUCCESS": Outcome.SUCCESS, "FAIL": Outcome.FAILED, "DEAD": Outcome.FAILED}
Rows = Callable[[str], list[tuple[Any, ...]]]


class Theirs(Struct, frozen=True, kw_only=True):
    """`states` are JSON texts by id, completed and partial. `runs` are the newest that have ended. `settings` are by
    plugin and name. `unread` are names of settings that hold no plain value."""

    states: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    runs: list[RunRecord] = field(default_factory=list)
    settings: dict[tuple[str, str], Any] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def read_file(path: Path) -> Theirs:
    """Raises EnvironmentProblemError (`meltano-database`)."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)) as connection:

            def rows(query: str) -> list[tuple[Any, ...]]:
                return connection.execute(query).fetchall()

            tables = {name for (name,) in rows("select name from sqlite_master where type = 'table'")}
            return _read(rows, tables)
    except sqlite3.Error as error:
        raise _problem(f"`{path}`", str(error)) from error


def read_postgres(uri: str) -> Theirs:
    """Raises EnvironmentProblemError (`database-unreachable`, `meltano-database`)."""
    import psycopg  # noqa: PLC0415 - where it is needed

    from headwater.store.state_postgres import Address  # noqa: PLC0415 - likewise

    address = Address(uri)
    with closing(address.connect()) as session, _readable(f"`{address.shown}`", psycopg.Error):
        session.read_only = True

        def rows(query: str) -> list[tuple[Any, ...]]:
            return session.execute(query.encode()).fetchall()

        found = rows(
            "select table_name from information_schema.tables where table_schema = any(current_schemas(false))"
        )
        return _read(rows, {name for (name,) in found})


@contextmanager
def _readable(place: str, kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise _problem(place, " ".join(str(error).split())) from error


def _read(rows: Rows, tables: set[str]) -> Theirs:
    found = Theirs()
    if "state" in tables:
        query = "select state_id, cast(completed_state as text), cast(partial_state as text) from state"
        empty = (None, "", "null", "{}")
        found.states.update({row[0]: (row[1], row[2]) for row in rows(query) if {*row[1:]} - {*empty}})
    if "runs" in tables:
        found.runs.extend(_runs(rows(_RUNS)))
    if "plugin_settings" in tables:
        for name, namespace, value in rows("select name, namespace, value from plugin_settings where enabled"):
            _setting(found, name, namespace, value)
    return found


def _runs(rows: list[tuple[Any, ...]]) -> list[RunRecord]:
    found: dict[str, RunRecord] = {}
    for run_id, name, state, started, ended, trigger in rows:
        outcome = _OUTCOMES.get(str(state))
        if outcome is None:  # one that runs, or a state that was edited
            continue
        first, last = datetime.fromisoformat(started), datetime.fromisoformat(ended)
        key = _run_id(run_id, name, started)
        number = 2
        while key in found:  # one run of several pipelines
            key, number = f"{key.partition('.')[0]}.{number}", number + 1
        environment, colon, _ = str(name).partition(":")
        found[key] = RunRecord(
            run_id=key,
            name=str(name),
            outcome=outcome,
            started_at=_instant(first),
            ended_at=_instant(last),
            seconds=max(0.0, (last - first).total_seconds()),
            trigger=trigger or "cli",
            environment=environment if colon else None,
        )
    return list(found.values())


def _run_id(run_id: str | None, name: str, started: str) -> str:
    try:
        return str(uuid.UUID(run_id))
    except (ValueError, TypeError, AttributeError):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {started}"))


def _instant(moment: datetime) -> str:
    """Meltano keeps UTC without saying so."""
    return moment.replace(tzinfo=None).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _setting(found: Theirs, name: str, namespace: str, value: Any) -> None:
    """A namespace is `extractors.tap-x.default`; that of the project's own settings is `meltano`, as here."""
    plugin = namespace.partition(".")[2].rpartition(".")[0] or namespace
    try:
        plain = _Plain(io.BytesIO(bytes(value))).load()
    except (pickle.UnpicklingError, ValueError, TypeError, EOFError, IndexError, KeyError, AttributeError):
        plain = None
    if plain is not None:
        found.settings[plugin, name] = plain
    else:
        found.unread.append(f"{plugin} {name}")


class _Plain(pickle.Unpickler):
    """Settings are pickled there. Texts, numbers, lists and maps need nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def _problem(place: str, why: str) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "meltano-database",
        f"Meltano's database {place} can't be read",
        why=why[:500],
        hint="correct `database_uri`, or move the file away to go on without it",
    )

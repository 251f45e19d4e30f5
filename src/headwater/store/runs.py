"""The history of runs: a record each, and all of its events."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from headwater.base import clock
from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.model.event import Adjusted, Event, Outcome, PluginLine, Progress, StreamStored
from headwater.model.run import RunRecord
from headwater.store.locks import Lock, is_held, try_lock
from headwater.store.system_db import SystemDb

_BATCH = 200
_FLUSH_SECONDS = 0.5
_BY_THE_HUNDRED = (PluginLine, Progress, Adjusted, StreamStored)
# Not how the run, a step or a stream of it began or went.
_SAID = " and ".join(f"""event not like '{{"kind":"{kind}-%'""" for kind in ("run", "step", "stream"))
_COLUMNS = "run_id, name, outcome, started_at, ended_at, seconds, trigger_by, environment"


class StoredEvent(Struct, frozen=True, kw_only=True):
    """An event as kept. `position` counts from 1 within its run; `at` is RFC 3339."""

    position: int
    at: str
    event: Event


class RunLog:
    """The log of one run of this process: takes its events and, at the end, its outcome.

    Safe to call from any thread. What may come by the hundred (lines, progress, what happened to each stream) is
    written within half a second or with the next event, all else at once.
    """

    def __init__(self, db: SystemDb, run_id: str, started: float, lock: Lock) -> None:
        self.run_id = run_id
        self._db = db
        self._started = started
        self._owner = lock
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, str]] = []
        self._position = 0
        self._timer: threading.Timer | None = None
        self._finished = False

    def append(self, event: Event) -> None:
        with self._lock:
            if self._finished:
                return
            self._waiting.append((clock.iso(clock.now()), msgspec.json.encode(event).decode()))
            if not isinstance(event, _BY_THE_HUNDRED) or len(self._waiting) >= _BATCH:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(_FLUSH_SECONDS, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def finish(self, outcome: Outcome) -> None:
        """Write what is left and the outcome; idempotent. Raises EnvironmentProblemError when they can't be written:
        the run then counts as failed, for nobody holds its lock any more."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
            try:
                self._flush()
                with self._db.transaction() as connection:
                    connection.execute(
                        "update runs set outcome = ?, ended_at = ?, seconds = ? where run_id = ?",
                        (outcome.value, clock.iso(clock.now()), clock.monotonic() - self._started, self.run_id),
                    )
            finally:
                self._owner.release(remove=True)

    def _flush_late(self) -> None:
        with self._lock:
            self._timer = None
            if self._finished:
                return
            # Nobody is told on this thread. What waits is kept: the next event, or the end, writes it or says why not.
            with contextlib.suppress(EnvironmentProblemError):
                self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        rows = [(self.run_id, self._position + n, at, text) for n, (at, text) in enumerate(self._waiting, 1)]
        with self._db.transaction() as connection:
            connection.executemany("insert into events values (?, ?, ?, ?)", rows)
        self._position += len(rows)
        self._waiting.clear()


class Runs:
    """Runs of all processes. One that died without a word is marked failed when somebody looks or the next one begins:
    its lock is free."""

    def __init__(self, db: SystemDb, home: Path) -> None:
        self._db = db
        self._locks = home / "locks"

    def begin(self, run_id: str, name: str, *, trigger: str, environment: str | None) -> RunLog:
        """Start a record. Raises InputError (`run-exists`) when the id was used before."""
        self.settle()
        lock = try_lock(self._lock_file(run_id), run_id)
        if lock is None or self._db.rows("select 1 from runs where run_id = ?", run_id):
            if lock is not None:
                lock.release()
            raise InputError("run-exists", f"there is already a run `{run_id}`", hint="headwater logs list")
        with self._db.transaction() as connection:
            connection.execute(
                f"insert into runs ({_COLUMNS}) values (?, ?, ?, ?, null, null, ?, ?)",  # noqa: S608 - own constant
                (run_id, name, Outcome.RUNNING.value, clock.iso(clock.now()), trigger, environment),
            )
        return RunLog(self._db, run_id, clock.monotonic(), lock)

    def records(self, *, most: int = 50, name: str | None = None, outcome: Outcome | None = None) -> list[RunRecord]:
        """The latest runs, newest first; of those with that name and outcome."""
        self.settle()
        rows = self._db.rows(
            f"select {_COLUMNS} from runs where (?1 is null or name = ?1) "  # noqa: S608 - own constant
            "and (?2 is null or outcome = ?2) order by started_at desc, run_id desc limit ?3",
            name,
            outcome.value if outcome else None,
            most,
        )
        return [_record(row) for row in rows]

    def count(self) -> int:
        return cast("int", self._db.rows("select count(*) from runs")[0][0])

    def record(self, run_id: str) -> RunRecord:
        """Raises InputError (`no-such-run`)."""
        self.settle()
        rows = self._db.rows(f"select {_COLUMNS} from runs where run_id = ?", run_id)  # noqa: S608 - own constant
        if not rows:
            raise InputError("no-such-run", f"there is no run `{run_id}`", hint="headwater logs list")
        return _record(rows[0])

    def events(self, run_id: str, *, after: int = 0, most: int = 100_000) -> list[StoredEvent]:
        """The events of a run in order, from position `after` + 1 on: to follow a run, ask again and again."""
        rows = self._db.rows(
            "select position, at, event from events where run_id = ? and position > ? order by position limit ?",
            run_id,
            after,
            most,
        )
        return [_stored(row) for row in rows]

    def outline(self, run_id: str) -> list[StoredEvent]:
        """Only the events that say which steps a run has and how each of them went."""
        rows = self._db.rows(
            "select position, at, event from events where run_id = ? and "
            """(event like '{"kind":"step-%' or event like '{"kind":"run-%') order by position""",
            run_id,
        )
        return [_stored(row) for row in rows]

    def loaded(self, run_id: str) -> list[StoredEvent]:
        """Only the events that say how streams stand in their destination."""
        rows = self._db.rows(
            """select position, at, event from events where run_id = ? and event like '{"kind":"stream-stored"%' """
            "order by position",
            run_id,
        )
        return [_stored(row) for row in rows]

    def recent(self, kinds: Sequence[str], *, environment: str | None, runs: int) -> list[StoredEvent]:
        """The events of those kinds of the latest `runs` runs of an environment, oldest run first."""
        wanted = " or ".join("event like ?" for _ in kinds)
        rows = self._db.rows(
            "select position, at, event from events join (select run_id, started_at from runs "  # noqa: S608 - no value is in it
            "where environment is ? order by started_at desc, run_id desc limit ?) using (run_id) "
            f"where {wanted} order by started_at, run_id, position",
            environment,
            runs,
            *(f'{{"kind":"{kind}"%' for kind in kinds),
        )
        return [_stored(row) for row in rows]

    def forget_lines(self, before: datetime, *, most: int = 5_000) -> int:
        """Delete what was said in runs that began before then, of `most` runs at a time, the oldest first; returns how
        many lines went. Which runs there were, and how and when each of their steps went, stays."""
        with self._db.transaction() as connection:
            return connection.execute(
                f"delete from events where {_SAID} and run_id in (select run_id from runs where started_at < ?1 "  # noqa: S608 - own constant
                "and outcome != 'running' and exists (select 1 from events where events.run_id = runs.run_id "
                f"and {_SAID}) order by started_at limit ?2)",
                (clock.iso(before), most),
            ).rowcount

    def settle(self) -> list[RunRecord]:
        """Mark runs failed whose process died without a word; returns them as they stood."""
        running = self._db.rows("select run_id from runs where outcome = 'running'")
        dead = [(run_id,) for (run_id,) in running if not is_held(self._lock_file(cast("str", run_id)))]
        if not dead:
            return []
        found = [
            _record(row)
            for run_id in dead
            for row in self._db.rows(f"select {_COLUMNS} from runs where run_id = ?", *run_id)  # noqa: S608 - own constant
        ]
        with self._db.transaction() as connection:
            # The end of a killed run is the last sign of life it gave.
            connection.executemany(
                "update runs set outcome = 'failed', ended_at = coalesce("
                "(select max(at) from events where events.run_id = runs.run_id), started_at) "
                "where run_id = ? and outcome = 'running'",
                dead,
            )
        for (run_id,) in dead:
            self._lock_file(cast("str", run_id)).unlink(missing_ok=True)  # no run has that id again
        return found

    def _lock_file(self, run_id: str) -> Path:
        return self._locks / f"run-{run_id}.lock"


_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def _stored(row: tuple[object, ...]) -> StoredEvent:
    position, at, text = row
    return StoredEvent(position=cast("int", position), at=cast("str", at), event=_decoder.decode(cast("str", text)))


def _record(row: tuple[object, ...]) -> RunRecord:
    run_id, name, outcome, started_at, ended_at, seconds, trigger, environment = row
    try:
        return msgspec.convert(
            {
                "run_id": run_id,
                "name": name,
                "outcome": outcome,
                "started_at": started_at,
                "ended_at": ended_at,
                "seconds": seconds,
                "trigger": trigger,
                "environment": environment,
            },
            RunRecord,
        )
    except msgspec.ValidationError as error:
        raise EnvironmentProblemError("system-database", f"the record of run `{run_id}` is damaged: {error}") from error

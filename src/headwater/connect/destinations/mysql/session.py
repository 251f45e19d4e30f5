from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import pymysql
from msgspec import Struct

from headwater.base.clock import now
from headwater.base.errors import InputError
from headwater.connect.contract import Change, OpenRequest, Receipt, Stored, StreamReceipt
from headwater.connect.destinations import deletes
from headwater.connect.destinations.bookkeeping import Entry, Standing
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.destinations.mysql import (
    alter,
    books,
    history,
    live,
    outdated,
    refusals,
    replace,
    rows,
    tables,
    versions,
)
from headwater.connect.destinations.mysql.called import identifiers
from headwater.connect.destinations.mysql.connection import Connection, end, hold_pipeline
from headwater.connect.destinations.mysql.settings import Settings
from headwater.connect.destinations.mysql.sql_types import is_too_fine
from headwater.connect.destinations.mysql.trouble import cannot_connect, is_lock_wait, is_of_value, is_passing, trouble
from headwater.connect.destinations.poison import refuse_outdated
from headwater.connect.destinations.staged import (
    ATTEMPTS_AT_FIRST,
    MOST_ATTEMPTS,
    StagedSession,
    already_durable,
    enter,
    steadily,
)
from headwater.connect.destinations.stored import Place, stored
from headwater.connect.staging import StagedStream, Staging, as_text

_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_DRIVER_ERRORS = (pymysql.err.Error, OSError)
_Answer = TypeVar("_Answer")


def open_session(settings: Settings, request: OpenRequest) -> StagedSession:
    staging = Staging(request.folder, request.memory_bytes // 2, settings.load_method)
    return StagedSession(MySQLWriter(settings, request), staging, request, takes_versions=settings.activate_version)


class _Ready(Struct, frozen=True):
    """A part whose tables can take its rows: the stream's own table, and that in which rows are collected when they
    replace its content. `is_bound` says that the own table has to stay where it is; so has one that keeps history."""

    part: StreamPart
    table: tables.Target
    aside: tables.Target | None
    is_bound: bool


class MySQLWriter:
    """Writes commits into one database. Its session there holds the pipeline's lock from the start to the end. A commit
    first changes tables, which can't be undone and does no harm, and is one transaction then. What fails for a passing
    reason (deadlock, lost connection) is done again from the spool, at most eight times."""

    def __init__(self, settings: Settings, request: OpenRequest) -> None:
        self._settings = settings
        self._request = request
        self._schema = schema_of(settings, request.source)
        self._rules = deletes.Rules(hard=settings.hard_delete, share=settings.max_delete_share, loader="target-mysql")
        self._keeps_history = settings.load_method == "history"
        self.stored: dict[str, Stored] = {}
        self._fresh: set[str] = set()
        self._token: str | None = None
        self._connection: Connection | None = None

    def standing(self) -> Standing:
        pipeline = self._request.pipeline

        def look(connection: Connection) -> tuple[Standing, list[str]]:
            replace.finish(connection, pipeline)
            replace.sweep(connection, pipeline)
            return books.standing(connection, pipeline), connection.server.notices()

        standing, notices = self._steadily(look, doing="read where the pipeline stands", most=ATTEMPTS_AT_FIRST)
        for notice in notices:
            self._request.on_notice(notice)
        return standing

    def check(self, stream: StagedStream) -> None:
        self._steadily(
            lambda at: self._target(live.look(at, stream.name), stream, replaced=stream.is_replaced),
            doing="read the tables",
        )

    def write(self, commit: Commit) -> Receipt:
        return self._steadily(lambda at: self._write(at, commit), doing=f"load into `{self._schema}`")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connected(self) -> Connection:
        """The session at the server, renewed when it was lost: then the former one is ended first, so that it is
        settled what it committed, and so that it gives the pipeline free."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        request = self._request
        try:
            connection = Connection(
                self._settings,
                self._schema,
                application=f"headwater {request.pipeline or ''} {request.run_id}"[:63],
                idle_seconds=request.idle_seconds,
            )
        except (*_DRIVER_ERRORS, RuntimeError) as error:
            raise cannot_connect(self._settings, error) from error
        try:
            if self._token is not None:
                end(connection, self._token)
            self._token = connection.token
            if request.pipeline is not None:
                hold_pipeline(connection, request.pipeline, request.on_wait)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _steadily(self, work: Callable[[Connection], _Answer], *, doing: str, most: int = MOST_ATTEMPTS) -> _Answer:
        try:
            return steadily(lambda: work(self.connected()), self._passes, most=most)
        except _DRIVER_ERRORS as error:
            raise trouble(self._settings, error, schema=self._schema, doing=doing) from error

    def _passes(self, error: Exception) -> bool:
        if not isinstance(error, _DRIVER_ERRORS):
            return False
        if is_lock_wait(error):
            self._request.on_wait("another session that uses the tables")
        return is_passing(error, is_open=self._connection is not None and self._connection.is_open)

    def _write(self, connection: Connection, commit: Commit) -> Receipt:
        """Changes of tables, then one transaction, then swaps."""
        entry = commit.entry
        books.make(connection)
        replace.finish(connection, entry.pipeline)
        if (durable := already_durable(books, connection, commit)) is not None:
            return durable
        with connection.locked(live.look(connection, stream).table for stream in sorted(commit.touched())):
            changes: list[Change] = []
            ready = [self._ready(connection, entry, part, changes) for part in commit.streams]
            if not self._settings.hard_delete:
                for activation in commit.activations:
                    versions.make_room(connection, live.look(connection, activation.stream))
            moment = now()
            with connection.transaction():
                receipts: dict[str, StreamReceipt] = {}
                for one in ready:
                    taken = self._load(connection, commit, one, moment)
                    if taken.rows_in:
                        receipts[one.part.stream.name] = taken
                for activation in commit.activations:
                    held = live.look(connection, activation.stream)
                    changes.append(versions.activate(connection, held, activation, self._rules, moment))
                receipt = enter(books, connection, commit, receipts, changes)
                connection.run("commit")
            if commit.final:
                for one in ready:
                    if one.aside is not None and one.is_bound:
                        replace.drop(connection, entry, one.table)
        replace.finish(connection, entry.pipeline)
        return receipt

    def _ready(self, connection: Connection, entry: Entry, part: StreamPart, changes: list[Change]) -> _Ready:
        """Change the stream's tables so that they can take its rows."""
        if self._keeps_history:
            return self._ready_for_history(connection, entry, part, changes)
        stream = part.stream
        is_replaced = stream.is_replaced
        held = live.look(connection, stream.name)
        table = self._exactly(connection, held, stream, replaced=is_replaced)
        had = (held.keys or held.unique.get("PRIMARY", ())) if held.live else table.keys
        changes += alter.reach(connection, table, notes_keys=had if is_replaced else table.keys)
        if not is_replaced:
            return _Ready(part, table, None, is_bound=False)
        collected = replace.aside(connection, entry, table, stream.version)
        is_fresh = collected is None
        if collected is None:
            collected = replace.begin(connection, entry, table, had)
        aside = self._exactly(connection, collected, stream, rekey=is_fresh)
        alter.reach(connection, aside, notes_keys=None)
        if is_fresh:
            replace.note(connection, entry, aside, table.table, stream.version)
        is_bound = replace.is_bound(connection, table)
        if is_bound and had != table.keys:
            raise refusals.unsupported(
                table.stream,
                None,
                f"triggers or foreign keys hang on `{table.schema}.{table.table}`, and its key changes",
                "drop them, or move the table out of the way and load it anew",
            )
        if is_bound and aside.is_hashed and not table.is_hashed:
            table = self._exactly(connection, live.look(connection, stream.name), stream)
            changes += alter.reach(connection, table, notes_keys=table.keys)
        return _Ready(part, table, aside, is_bound)

    def _ready_for_history(
        self, connection: Connection, entry: Entry, part: StreamPart, changes: list[Change]
    ) -> _Ready:
        stream = part.stream
        table = self._exactly(connection, live.look(connection, stream.name), stream)
        if table.starts_history:
            changes.append(history.start(connection, table, now()))
            table = self._exactly(connection, live.look(connection, stream.name), stream)
        changes += alter.reach(connection, table, notes_keys=table.keys)
        if not stream.is_replaced:
            return _Ready(part, table, None, is_bound=True)
        collected = replace.aside(connection, entry, table, stream.version)
        is_fresh = collected is None
        if collected is None:
            table = self._exactly(connection, live.look(connection, stream.name), stream)
            collected = history.begin(connection, entry, table)
        aside = self._exactly(connection, collected, stream, keeps_history=False)
        alter.reach(connection, aside, notes_keys=None)
        if is_fresh:
            replace.note(connection, entry, aside, table.table, stream.version)
        return _Ready(part, table, aside, is_bound=True)

    def _target(
        self,
        held: live.Held,
        stream: StagedStream,
        *,
        replaced: bool = False,
        rekey: bool = False,
        keeps_history: bool | None = None,
    ) -> tables.Target:
        fields = stream.fields().items()
        return tables.target(
            held,
            {source: as_text(field) if is_too_fine(field) else field for source, field in fields},
            stream.keys,
            is_versioned=stream.version is not None,
            has_long_keys=stream.has_long_keys,
            replaced=replaced and not self._keeps_history,
            rekey=rekey,
            keeps_history=self._keeps_history if keeps_history is None else keeps_history,
        )

    def _exactly(
        self,
        connection: Connection,
        held: live.Held,
        stream: StagedStream,
        *,
        replaced: bool = False,
        rekey: bool = False,
        keeps_history: bool | None = None,
    ) -> tables.Target:
        """The target; where a stored value would not survive the type its column should get, that is text."""
        table = self._target(held, stream, replaced=replaced, rekey=rekey, keeps_history=keeps_history)
        lossy = alter.lossy_widenings(connection, table)
        if not lossy:
            return table
        stream.texts.update(lossy)
        return self._target(held, stream, replaced=replaced, rekey=rekey, keeps_history=keeps_history)

    def _load(self, connection: Connection, commit: Commit, ready: _Ready, moment: datetime) -> StreamReceipt:
        table = ready.aside or ready.table
        incoming = rows.Incoming(batches=ready.part.batches, loaded_at=moment, fresh=self._fresh)
        try:
            if commit.again is not None and table.keys and ready.part.rows:
                refuse_outdated(ready.part, outdated.positions(connection, table, incoming, commit.origin.since))
            if self._keeps_history and ready.aside is None:
                taken = history.load(connection, table, incoming)
            else:
                taken = rows.load(connection, table, incoming, prior=ready.table if self._keeps_history else None)
            if ready.aside is not None and commit.final:
                self._put_in_place(connection, commit.entry, ready.table, ready.aside, moment, is_bound=ready.is_bound)
        except pymysql.err.Error as error:
            if not is_of_value(error):
                raise
            raise rows.value_rejected(table, str(error.args[-1])) from error
        place = f"{ready.table.schema}.{ready.table.table}"
        if taken:
            columns = [Place(column.source, column.name, column.sql_type) for column in table.columns]
            method = self._settings.load_method
            self.stored[table.stream] = stored(ready.part.stream, place, columns, load_method=method)
        return ready.part.receipt(taken, place)

    def _put_in_place(
        self,
        connection: Connection,
        entry: Entry,
        table: tables.Target,
        aside: tables.Target,
        moment: datetime,
        *,
        is_bound: bool,
    ) -> None:
        """What was collected becomes the stream's content, now or with a swap after the commit."""
        if not is_bound:
            replace.wait(connection, entry, table)
            return
        if self._keeps_history:
            history.take_snapshot(connection, table, aside, moment, self._rules)
        else:
            connection.run(f"delete from {table.sql}")
            rows.copy(connection, table, aside.sql)
        replace.forget(connection, entry, table)


def schema_of(settings: Settings, source: str) -> str:
    """The database that the streams of a source go into, and their books."""
    wanted = settings.default_target_schema or settings.database or source
    if wanted.lower() in _SYSTEM:
        raise InputError(
            "reserved-schema",
            f"the database `{wanted}` is the server's own",
            hint="choose another `default_target_schema`",
        )
    return identifiers([wanted], fold_case=False)[wanted]

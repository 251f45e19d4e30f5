from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import pymysql
from msgspec import Struct

from headwater.base.clock import now
from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import (
    ActivateVersion,
    Change,
    OpenRequest,
    Receipt,
    Rejected,
    Rows,
    Schema,
    StreamReceipt,
)
from headwater.connect.destinations import deletes
from headwater.connect.destinations.bookkeeping import Entry, Standing, refuse_another_writer
from headwater.connect.destinations.mysql import alter, books, replace, rows, tables, versions
from headwater.connect.destinations.mysql.called import identifiers
from headwater.connect.destinations.mysql.connection import Connection, end, hold_pipeline
from headwater.connect.destinations.mysql.settings import Settings
from headwater.connect.destinations.mysql.sql_types import is_too_fine
from headwater.connect.destinations.mysql.trouble import cannot_connect, is_lock_wait, is_of_value, is_passing, trouble
from headwater.connect.staging import InexactError, Part, StagedStream, Staging, as_text, with_rejects

_MOST_ATTEMPTS = 8
_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_DRIVER_ERRORS = (pymysql.err.Error, OSError)
_Answer = TypeVar("_Answer")


class _Ready(Struct, frozen=True):
    """A stream whose tables can take its rows: its own table, and that in which rows are collected when they replace
    its content. `is_bound` says that the own table has to stay where it is."""

    stream: StagedStream
    table: tables.Target
    aside: tables.Target | None
    is_bound: bool


class MySQLSession:
    """A load into one database. Its session there holds the pipeline's lock from the start to the end; rows wait on
    this side. A commit first changes tables, which can't be undone and does no harm, and is one transaction then. What
    fails for a passing reason (deadlock, lost connection) is done again from the spool, at most eight times."""

    def __init__(self, settings: Settings, request: OpenRequest) -> None:
        self._settings = settings
        self._request = request
        self._schema = _schema_name(settings.default_target_schema or settings.database or request.source)
        self._staging = Staging(request.folder, request.memory_bytes // 2)
        self._rules = deletes.Rules(hard=settings.hard_delete, share=settings.max_delete_share, loader="target-mysql")
        self._as_text: set[tuple[str, str]] = set()
        self._long_keys: set[str] = set()
        self._token: str | None = None
        self._connection: Connection | None = None
        try:
            connection = self._connected()
            replace.finish(connection, request.pipeline)
            self._standing = books.standing(connection, request.pipeline)
        except _DRIVER_ERRORS as error:
            self.close()
            doing = "read where the pipeline stands"
            raise trouble(settings, error, schema=self._schema, doing=doing) from error
        except BaseException:
            self.close()
            raise

    def checkpoint(self) -> bytes | None:
        return self._standing.state

    def prepare(self, schema: Schema) -> bool:
        stream = self._staging.prepare(schema)
        if stream.is_reshaped:  # refuse now what the commit would refuse
            self._steadily(
                lambda at: self._target(tables.look(at, schema.stream), stream, replaced=self._is_replaced(stream)),
                doing="read the tables",
            )
        return self._is_replaced(stream)

    def stage(self, rows: Rows) -> None:
        self._staging.stage(rows)

    def reject(self, rejected: Rejected) -> None:
        self._staging.reject(rejected)

    def activate(self, version: ActivateVersion) -> None:
        if self._settings.activate_version:
            self._staging.activations.append(version)

    def staged_bytes(self) -> int:
        return self._staging.staged_bytes()

    def boundary(self) -> None:
        self._staging.boundary()

    def commit(self, checkpoint: bytes | None, *, final: bool = False, to_boundary: bool = False) -> Receipt:
        part = self._staging.part(to_boundary=to_boundary)
        state = self._standing.state if checkpoint is None else checkpoint
        if self._is_idle(part, state, final=final):
            return Receipt(sequence=self._standing.sequence, streams={}, checkpoint=state)
        while True:
            try:
                receipt = self._steadily(
                    lambda at: self._write(at, part, state, final=final), doing=f"load into `{self._schema}`"
                )
            except InexactError as error:
                # A value does not survive the type its column has: the column becomes text, and the commit starts over.
                self._as_text.add((error.stream, error.column))
            except rows.LongKeyError as error:
                self._long_keys.add(error.stream)
            else:
                break
        self._standing = Standing(sequence=receipt.sequence, run_id=self._request.run_id, state=state)
        self._staging.drop(part)
        for stream in self._staging.streams.values():
            stream.is_reshaped = False
        return receipt

    def close(self) -> None:
        self._staging.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        """The session at the server, renewed when it was lost: then the former one is ended first, so that it is
        settled what it committed, and so that it gives the pipeline free."""
        if self._connection is not None and self._connection.is_open:
            return self._connection
        request = self._request
        try:
            connection = Connection(
                self._settings, self._schema, application=f"headwater {request.pipeline or ''} {request.run_id}"[:63]
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

    def _steadily(self, work: Callable[[Connection], _Answer], *, doing: str) -> _Answer:
        """Do it, again after an error that passes. A connection that can't be renewed is one of those."""
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            try:
                connection = self._connected()
                return work(connection)
            except EnvironmentProblemError as error:
                if attempt == _MOST_ATTEMPTS or error.reference not in ("cannot-connect", "unknown-host"):
                    raise
            except _DRIVER_ERRORS as error:
                is_open = self._connection is not None and self._connection.is_open
                if attempt == _MOST_ATTEMPTS or not is_passing(error, is_open=is_open):
                    raise trouble(self._settings, error, schema=self._schema, doing=doing) from error
                if is_lock_wait(error):
                    self._request.on_wait("another session that uses the tables")
            # Not all at once after an outage.
            time.sleep(random.uniform(0.5, 1.0) * min(0.1 * 2**attempt, 5))  # noqa: S311 - spread, not secrecy
        raise AssertionError

    def _is_idle(self, part: Part, state: bytes | None, *, final: bool) -> bool:
        return (
            part.is_empty()
            and state == self._standing.state
            and not any(
                stream.is_reshaped or (final and self._is_replaced(stream)) for stream in self._staging.streams.values()
            )
        )

    def _is_replaced(self, stream: StagedStream) -> bool:
        return stream.schema.replace or self._settings.load_method == "overwrite"

    def _target(
        self, held: tables.Held, stream: StagedStream, *, replaced: bool = False, rekey: bool = False
    ) -> tables.Target:
        name = stream.schema.stream
        columns = {
            source: as_text(field) if (name, source) in self._as_text or is_too_fine(field) else field
            for source, field in stream.columns.items()
        }
        return tables.target(
            held,
            columns,
            () if self._settings.load_method == "append-only" else stream.schema.keys,
            is_versioned=stream.version is not None,
            has_long_keys=name in self._long_keys,
            replaced=replaced,
            rekey=rekey,
        )

    def _write(self, connection: Connection, part: Part, state: bytes | None, *, final: bool) -> Receipt:
        """Changes of tables, then one transaction, then swaps. A commit whose answer got lost is found in the books
        and not written again."""
        entry = Entry(
            pipeline=self._request.pipeline, run_id=self._request.run_id, sequence=self._standing.sequence + 1
        )
        books.make(connection)
        replace.finish(connection, entry.pipeline)
        if (receipts := books.recorded(connection, entry)) is not None:
            return Receipt(sequence=entry.sequence, streams=receipts, checkpoint=state)
        refuse_another_writer(books.standing(connection, entry.pipeline), self._standing, entry.pipeline)
        taking_part = [
            stream
            for name, stream in self._staging.streams.items()
            if part.batches[name] or stream.is_reshaped or (final and self._is_replaced(stream))
        ]
        activations = self._activations(part)
        touched = {one.schema.stream for one in taking_part} | {one.stream for one in activations}
        with connection.locked(tables.look(connection, stream).table for stream in sorted(touched)):
            changes: list[Change] = []
            ready = [self._ready(connection, entry, stream, changes) for stream in taking_part]
            if not self._settings.hard_delete:
                for activation in activations:
                    versions.make_room(connection, tables.look(connection, activation.stream))
            moment = now()
            with connection.transaction():
                receipts = self._load(connection, entry, part, ready, moment, final=final)
                for activation in activations:
                    held = tables.look(connection, activation.stream)
                    changes.append(versions.activate(connection, held, activation, self._rules, moment))
                receipts = with_rejects(receipts, self._staging.rejects[: part.rejects])
                books.write_rejects(connection, entry, self._staging.rejects[: part.rejects])
                books.write_ledger(connection, entry, receipts, state)
                books.write_checkpoint(connection, entry, state)
                connection.run("commit")
            if final:
                for one in ready:
                    if one.aside is not None and one.is_bound:
                        replace.drop(connection, entry, one.table)
        replace.finish(connection, entry.pipeline)
        return Receipt(sequence=entry.sequence, streams=receipts, changes=tuple(changes), checkpoint=state)

    def _activations(self, part: Part) -> list[ActivateVersion]:
        found = []
        for activation in self._staging.activations[: part.activations]:
            stream = self._staging.streams.get(activation.stream)
            if stream is None or not self._is_replaced(stream):
                found.append(activation)
        return found

    def _load(
        self,
        connection: Connection,
        entry: Entry,
        part: Part,
        ready: list[_Ready],
        moment: datetime,
        *,
        final: bool,
    ) -> dict[str, StreamReceipt]:
        receipts: dict[str, StreamReceipt] = {}
        for one in ready:
            name = one.stream.schema.stream
            count = part.batches[name]
            taken = _load_stream(connection, one.stream, one.aside or one.table, count, moment)
            if one.aside is not None and final:
                if one.is_bound:
                    connection.run(f"delete from {one.table.sql}")
                    rows.copy(connection, one.table, one.aside.sql)
                    replace.forget(connection, entry, one.table)
                else:
                    replace.wait(connection, entry, one.table)
            if taken:
                repaired = sum(one.stream.repaired[:count])
                receipts[name] = StreamReceipt(rows_in=taken, rows_out=taken, repaired=repaired)
        return receipts

    def _ready(self, connection: Connection, entry: Entry, stream: StagedStream, changes: list[Change]) -> _Ready:
        """Change the stream's tables so that they can take its rows."""
        is_replaced = self._is_replaced(stream)
        held = tables.look(connection, stream.schema.stream)
        table = self._exactly(connection, held, stream, replaced=is_replaced)
        had = (held.keys or held.unique.get("PRIMARY", ())) if held.live else table.keys
        changes += alter.reach(connection, table, notes_keys=had if is_replaced else table.keys)
        if not is_replaced:
            return _Ready(stream, table, None, is_bound=False)
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
            raise tables.unsupported(
                table.stream,
                None,
                f"triggers or foreign keys hang on `{table.schema}.{table.table}`, and its key changes",
                "drop them, or move the table out of the way and load it anew",
            )
        return _Ready(stream, table, aside, is_bound)

    def _exactly(
        self,
        connection: Connection,
        held: tables.Held,
        stream: StagedStream,
        *,
        replaced: bool = False,
        rekey: bool = False,
    ) -> tables.Target:
        """The target; where a stored value would not survive the type its column should get, that is text."""
        table = self._target(held, stream, replaced=replaced, rekey=rekey)
        lossy = alter.lossy_widenings(connection, table)
        if not lossy:
            return table
        self._as_text |= {(table.stream, column) for column in lossy}
        return self._target(held, stream, replaced=replaced, rekey=rekey)


def _load_stream(
    connection: Connection, stream: StagedStream, table: tables.Target, count: int, moment: datetime
) -> int:
    incoming = rows.Incoming(batches=lambda: stream.spool.first(count), loaded_at=moment)
    try:
        taken = rows.load(connection, table, incoming)
    except pymysql.err.Error as error:
        if not is_of_value(error):
            raise
        raise rows.value_rejected(table, str(error.args[-1])) from error
    staged = stream.spool.rows(count)
    if taken != staged:
        raise RunFailedError(
            "count-mismatch",
            f"{staged} rows of stream `{table.stream}` were staged, but `{table.schema}.{table.table}` took {taken}",
        )
    return taken


def _schema_name(wanted: str) -> str:
    if wanted.lower() in _SYSTEM:
        raise InputError(
            "reserved-schema",
            f"the database `{wanted}` is the server's own",
            hint="choose another `default_target_schema`",
        )
    return identifiers([wanted], fold_case=False)[wanted]

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import psycopg

from headwater.base.clock import now
from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect import names
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
from headwater.connect.destinations import bookkeeping, deletes
from headwater.connect.destinations.history import refuse_without_keys
from headwater.connect.destinations.postgres import books, history, replace, rows, tables, versions
from headwater.connect.destinations.postgres.address import address
from headwater.connect.destinations.postgres.connection import (
    Backend,
    Connection,
    backend,
    cannot_connect,
    connect,
    end,
    hold_pipeline,
    in_the_way,
    is_passing,
    lock_number,
    trouble,
    value_rejected,
)
from headwater.connect.destinations.postgres.settings import Settings
from headwater.connect.staging import InexactError, Part, StagedStream, Staging, as_text, with_rejects

_MOST_ATTEMPTS = 8
_Answer = TypeVar("_Answer")


class PostgresSession:
    """A load into one database. Its session there holds the pipeline's lock from the start to the end; rows wait on
    this side, and each commit is one transaction. A transaction that fails for a passing reason (deadlock, lost
    connection) is done again from the spool, at most eight times."""

    def __init__(self, settings: Settings, request: OpenRequest) -> None:
        self._settings = settings
        self._request = request
        self._schema = _schema_name(settings.default_target_schema or request.source)
        self._keeps_history = settings.load_method == "history"
        self._rules = deletes.Rules(
            hard=settings.hard_delete, share=settings.max_delete_share, loader="target-postgres"
        )
        self._address = address(settings, request.folder / "tls")
        self._staging = Staging(request.folder, request.memory_bytes // 2)
        self._as_text: set[tuple[str, str]] = set()
        self._backend: Backend | None = None
        self._connection: Connection | None = None
        try:
            connection = self._connected()
            self._standing = books.standing(connection, request.pipeline)
        except psycopg.Error as error:
            self.close()
            raise trouble(self._address, error, doing="read where the pipeline stands") from error
        except BaseException:
            self.close()
            raise

    def checkpoint(self) -> bytes | None:
        return self._standing.state

    def prepare(self, schema: Schema) -> bool:
        if self._keeps_history:
            refuse_without_keys(schema.stream, schema.keys)
        stream = self._staging.prepare(schema)
        if stream.is_reshaped:  # refuse now what the commit would refuse
            self._steadily(lambda at: self._target(at, stream), doing="read the tables")
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
            else:
                break
        self._standing = bookkeeping.Standing(sequence=receipt.sequence, run_id=self._request.run_id, state=state)
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
        if self._connection is not None and not self._connection.closed:
            return self._connection
        request = self._request
        try:
            connection = connect(self._address, application=f"headwater {request.pipeline or ''} {request.run_id}"[:63])
        except psycopg.OperationalError as error:
            raise cannot_connect(self._address, error) from error
        try:
            if self._backend is not None:
                end(connection, self._backend)
            self._backend = backend(connection)
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
            except EnvironmentProblemError as error:
                if attempt == _MOST_ATTEMPTS or error.reference not in ("cannot-connect", "unknown-host"):
                    raise
            else:
                try:
                    return work(connection)
                except psycopg.Error as error:
                    if attempt == _MOST_ATTEMPTS or not is_passing(connection, error):
                        raise trouble(self._address, error, doing=doing) from error
                    if error.sqlstate == "55P03":
                        self._request.on_wait(in_the_way(connection, self._schema))
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

    def _target(self, connection: Connection, stream: StagedStream) -> tables.Target:
        name = stream.schema.stream
        columns = {
            source: as_text(field) if (name, source) in self._as_text else field
            for source, field in stream.columns.items()
        }
        return tables.target(
            tables.look(connection, self._schema, name),
            columns,
            () if self._settings.load_method == "append-only" else stream.schema.keys,
            is_versioned=stream.version is not None,
            rekey=self._is_replaced(stream) and not self._keeps_history,
            keeps_history=self._keeps_history,
        )

    def _write(self, connection: Connection, part: Part, state: bytes | None, *, final: bool) -> Receipt:
        """One transaction. A commit whose answer got lost is found in the books and not written again."""
        entry = bookkeeping.Entry(
            pipeline=self._request.pipeline, run_id=self._request.run_id, sequence=self._standing.sequence + 1
        )
        connection.execute("begin")
        try:
            books.make(connection)
            if (receipts := books.recorded(connection, entry)) is not None:
                return Receipt(sequence=entry.sequence, streams=receipts, checkpoint=state)
            bookkeeping.refuse_another_writer(
                books.standing(connection, entry.pipeline), self._standing, entry.pipeline
            )
            receipts, changes = self._load(connection, entry, part, final=final)
            books.write_rejects(connection, entry, self._staging.rejects[: part.rejects])
            books.write_ledger(connection, entry, receipts, state)
            books.write_checkpoint(connection, entry, state)
            connection.execute("commit")
        finally:
            if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                with contextlib.suppress(psycopg.Error):  # a lost connection has rolled back by itself
                    connection.execute("rollback")
        return Receipt(sequence=entry.sequence, streams=receipts, changes=tuple(changes), checkpoint=state)

    def _load(
        self, connection: Connection, entry: bookkeeping.Entry, part: Part, *, final: bool
    ) -> tuple[dict[str, StreamReceipt], list[Change]]:
        receipts: dict[str, StreamReceipt] = {}
        changes: list[Change] = []
        taking_part = [
            stream
            for name, stream in self._staging.streams.items()
            if part.batches[name] or stream.is_reshaped or (final and self._is_replaced(stream))
        ]
        activations = self._staging.activations[: part.activations]
        self._lock_tables(connection, {one.schema.stream for one in taking_part} | {one.stream for one in activations})
        moment = now()
        for stream in taking_part:
            name = stream.schema.stream
            taken, changed = self._load_stream(connection, entry, stream, part.batches[name], moment, final=final)
            changes += changed
            if taken.rows:
                repaired = sum(stream.repaired[: part.batches[name]]) + sum(taken.repaired.values())
                receipts[name] = StreamReceipt(rows_in=taken.rows, rows_out=taken.rows, repaired=repaired)
        for activation in activations:
            stream_of = self._staging.streams.get(activation.stream)
            if stream_of is None or not self._is_replaced(stream_of):
                held = tables.look(connection, self._schema, activation.stream)
                changes.append(versions.activate(connection, held, activation, self._rules, moment))
        return with_rejects(receipts, self._staging.rejects[: part.rejects]), changes

    def _lock_tables(self, connection: Connection, streams: set[str]) -> None:
        """Two pipelines may load the same tables, but not at once. All take their locks in the same order."""
        for number in sorted(lock_number("table", self._schema, stream) for stream in streams):
            connection.execute("select pg_advisory_xact_lock(%s)", [number])

    def _load_stream(
        self,
        connection: Connection,
        entry: bookkeeping.Entry,
        stream: StagedStream,
        count: int,
        moment: datetime,
        *,
        final: bool,
    ) -> tuple[rows.Taken, list[Change]]:
        target, place = self._reached(connection, entry, stream)
        changes = tables.reach(connection, target, place)
        if target.starts_history:
            changes.append(history.start(connection, target, moment))
        exact = frozenset((*stream.schema.keys, *([stream.schema.cursor] if stream.schema.cursor else [])))
        incoming = rows.Incoming(batches=lambda: stream.spool.first(count), loaded_at=moment, exact=exact)
        try:
            taken = self._take(connection, entry, stream, target, place, incoming, final=final)
        except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded) as error:
            raise value_rejected(self._address, error, f"{target.schema}.{target.table}", target.stream) from error
        staged = stream.spool.rows(count)
        if taken.rows != staged:
            raise RunFailedError(
                "count-mismatch",
                f"{staged} rows of stream `{target.stream}` were staged, "
                f"but `{target.schema}.{target.table}` took {taken.rows}",
            )
        repaired = [
            Change(
                stream=target.stream,
                column=source,
                change="value-repaired",
                detail="U+0000 became U+FFFD",
                count=number,
            )
            for source, number in taken.repaired.items()
        ]
        return taken, [*changes, *repaired]

    def _take(
        self,
        connection: Connection,
        entry: bookkeeping.Entry,
        stream: StagedStream,
        target: tables.Target,
        place: str | None,
        incoming: rows.Incoming,
        *,
        final: bool,
    ) -> rows.Taken:
        version = stream.version
        if not self._is_replaced(stream):
            if self._keeps_history:
                return history.load(connection, target, incoming)
            return rows.load(connection, target, target.sql, incoming, is_keyed=target.is_keyed)
        if self._keeps_history:
            return history.load_snapshot(
                connection, entry, target, incoming, place=place, version=version, rules=self._rules, final=final
            )
        return replace.load(connection, entry, target, incoming, place=place, version=version, final=final)

    def _reached(
        self, connection: Connection, entry: bookkeeping.Entry, stream: StagedStream
    ) -> tuple[tables.Target, str | None]:
        """The stream's table, and where rows that will replace its content are collected."""
        target = self._target(connection, stream)
        place = replace.aside(connection, entry, target, stream.version) if self._is_replaced(stream) else None
        lossy = tables.lossy_widenings(connection, target, place)
        if lossy:
            self._as_text |= {(target.stream, column) for column in lossy}
            target = self._target(connection, stream)
        return target, place


def _schema_name(wanted: str) -> str:
    if wanted in (bookkeeping.SCHEMA, "information_schema") or wanted.startswith("pg_"):
        raise InputError(
            "reserved-schema",
            f"the schema `{wanted}` is the database's own",
            hint="choose another `default_target_schema`",
        )
    return names.identifiers([wanted], max_length=tables.LONGEST_NAME, fold_case=False)[wanted]

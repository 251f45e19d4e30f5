from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb

from headwater.base.clock import iso, now
from headwater.base.errors import InputError, RunFailedError
from headwater.connect import names, warehouse
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
from headwater.connect.destinations.duckdb import books, history, replace, rows, tables, versions
from headwater.connect.destinations.history import refuse_without_keys
from headwater.connect.staging import InexactError, Part, StagedStream, Staging, as_text, with_rejects


class DuckDBSession:
    """A load into one file. Rows wait outside the file; each commit opens it, writes one transaction, closes it."""

    def __init__(
        self, filepath: str, *, schema: str, load_method: str, rules: deletes.Rules, request: OpenRequest
    ) -> None:
        self._path = Path(filepath).expanduser()
        self._schema = _schema_name(schema)
        self._load_method = load_method
        self._keeps_history = load_method == "history"
        self._rules = rules
        self._request = request
        self._who = f"load of {request.pipeline or request.source}"
        # The rest of the memory is DuckDB's while it commits.
        self._staging = Staging(request.folder, request.memory_bytes // 4)
        self._as_text: set[tuple[str, str]] = set()
        self._standing = bookkeeping.Standing()
        self._held = tables.Snapshot()
        if self._path.exists() and not _is_empty_file(self._path):
            with warehouse.reading(self._path, who=self._who, on_wait=request.on_wait) as connection:
                self._standing = books.standing(connection, request.pipeline)
                self._held = tables.snapshot(connection)

    def checkpoint(self) -> bytes | None:
        return self._standing.state

    def prepare(self, schema: Schema) -> bool:
        if self._keeps_history:
            refuse_without_keys(schema.stream, schema.keys)
        stream = self._staging.prepare(schema)
        if stream.is_reshaped:
            self._target(self._held, stream)  # refuses now what the commit would refuse
        return self._is_replaced(stream)

    def stage(self, rows: Rows) -> None:
        self._staging.stage(rows)

    def reject(self, rejected: Rejected) -> None:
        self._staging.reject(rejected)

    def activate(self, version: ActivateVersion) -> None:
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
                receipt = self._write(part, state, final=final)
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

    def _is_idle(self, part: Part, state: bytes | None, *, final: bool) -> bool:
        return (
            part.is_empty()
            and state == self._standing.state
            and not any(
                stream.is_reshaped or (final and self._is_replaced(stream)) for stream in self._staging.streams.values()
            )
        )

    def _is_replaced(self, stream: StagedStream) -> bool:
        return stream.schema.replace or self._load_method == "overwrite"

    def _target(self, held: tables.Snapshot, stream: StagedStream) -> tables.Target:
        name = stream.schema.stream
        columns = {
            source: as_text(field) if (name, source) in self._as_text else field
            for source, field in stream.columns.items()
        }
        return tables.target(
            held,
            self._schema,
            name,
            columns,
            () if self._load_method == "append-only" else stream.schema.keys,
            versioned=stream.version is not None,
            rekey=self._is_replaced(stream) and not self._keeps_history,
            keeps_history=self._keeps_history,
        )

    def _write(self, part: Part, state: bytes | None, *, final: bool) -> Receipt:
        """One transaction. A commit whose answer got lost is found in the ledger and not written again."""
        entry = bookkeeping.Entry(
            pipeline=self._request.pipeline, run_id=self._request.run_id, sequence=self._standing.sequence + 1
        )
        with warehouse.writing(
            self._path, who=self._who, on_wait=self._request.on_wait, memory_bytes=self._request.memory_bytes
        ) as connection:
            connection.begin()
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
                connection.commit()
            except BaseException:
                with contextlib.suppress(duckdb.Error):  # after a fatal error there is nothing left to roll back
                    connection.rollback()
                raise
        return Receipt(sequence=entry.sequence, streams=receipts, changes=tuple(changes), checkpoint=state)

    def _load(
        self, connection: duckdb.DuckDBPyConnection, entry: bookkeeping.Entry, part: Part, *, final: bool
    ) -> tuple[dict[str, StreamReceipt], list[Change]]:
        loaded_at = iso(now())
        receipts: dict[str, StreamReceipt] = {}
        changes: list[Change] = []
        held = tables.snapshot(connection)
        for name, stream in self._staging.streams.items():
            replaced = self._is_replaced(stream)
            count = part.batches[name]
            if not (count or stream.is_reshaped or (final and replaced)):
                continue
            target, place = self._reached(connection, entry, held, stream)
            changes += tables.reach(connection, target, place)
            if target.starts_history:
                changes.append(history.start(connection, target, loaded_at))
            incoming = rows.Incoming(batches=stream.spool.first(count), loaded_at=loaded_at)
            taken = self._take(connection, entry, stream, target, place, incoming, final=final)
            staged = stream.spool.rows(count)
            if taken != staged:
                raise RunFailedError(
                    "count-mismatch",
                    f"{staged} rows of stream `{name}` were staged, but `{target.schema}.{target.table}` took {taken}",
                )
            if staged:
                receipts[name] = StreamReceipt(rows_in=staged, rows_out=taken, repaired=sum(stream.repaired[:count]))
            if not target.is_reached:
                held = tables.snapshot(connection)
        for activation in self._staging.activations[: part.activations]:
            stream_of = self._staging.streams.get(activation.stream)
            if stream_of is None or not self._is_replaced(stream_of):
                changes.append(versions.activate(connection, held, self._schema, activation, self._rules, loaded_at))
        return with_rejects(receipts, self._staging.rejects[: part.rejects]), changes

    def _take(
        self,
        connection: duckdb.DuckDBPyConnection,
        entry: bookkeeping.Entry,
        stream: StagedStream,
        target: tables.Target,
        place: str | None,
        incoming: rows.Incoming,
        *,
        final: bool,
    ) -> int:
        version = stream.version
        if not self._is_replaced(stream):
            if self._keeps_history:
                return history.load(connection, target, incoming)
            return rows.load(connection, target, target.sql, incoming)
        if self._keeps_history:
            return history.load_snapshot(
                connection, entry, target, incoming, place=place, version=version, rules=self._rules, final=final
            )
        return replace.load(connection, entry, target, incoming, place=place, version=version, final=final)

    def _reached(
        self,
        connection: duckdb.DuckDBPyConnection,
        entry: bookkeeping.Entry,
        held: tables.Snapshot,
        stream: StagedStream,
    ) -> tuple[tables.Target, str | None]:
        """The stream's table, and where rows that will replace its content are collected."""
        target = self._target(held, stream)
        place = replace.aside(connection, entry, target, stream.version) if self._is_replaced(stream) else None
        lossy = tables.lossy_widenings(connection, target, place)
        if lossy:
            self._as_text |= {(target.stream, column) for column in lossy}
            target = self._target(held, stream)
        return target, place


def _schema_name(wanted: str) -> str:
    if wanted.lower() in (bookkeeping.SCHEMA, "information_schema", "pg_catalog"):
        raise InputError(
            "reserved-schema",
            f"the schema `{wanted}` is the warehouse's own",
            hint="choose another `default_target_schema`",
        )
    return names.identifiers([wanted], max_length=tables.LONGEST_NAME, fold_case=True)[wanted]


def _is_empty_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0

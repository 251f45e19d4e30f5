from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb

from headwater.base.clock import iso, now
from headwater.base.errors import InputError
from headwater.connect import names, warehouse
from headwater.connect.contract import Change, OpenRequest, Receipt, Stored, StreamReceipt
from headwater.connect.destinations import bookkeeping, deletes, outdated
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.destinations.duckdb import books, history, replace, rows, snapshot, tables, versions
from headwater.connect.destinations.poison import refuse_outdated
from headwater.connect.destinations.staged import already_durable, enter
from headwater.connect.destinations.stored import Place, stored
from headwater.connect.staging import StagedStream


class DuckDBWriter:
    """Writes commits into one file. Each opens it, writes one transaction, closes it."""

    def __init__(
        self, filepath: str, *, schema: str, keeps_history: bool, rules: deletes.Rules, request: OpenRequest
    ) -> None:
        self._path = Path(filepath).expanduser()
        self._schema = schema_name(schema)
        self._keeps_history = keeps_history
        self._rules = rules
        self._request = request
        self._who = f"load of {request.pipeline or request.source}"
        self._held = snapshot.Snapshot()
        self.stored: dict[str, Stored] = {}

    def standing(self) -> bookkeeping.Standing:
        if not self._path.exists() or _is_empty_file(self._path):
            return bookkeeping.Standing()
        with warehouse.reading(self._path, who=self._who, on_wait=self._request.on_wait) as connection:
            self._held = snapshot.snapshot(connection)
            return books.standing(connection, self._request.pipeline)

    def check(self, stream: StagedStream) -> None:
        self._target(self._held, stream)

    def write(self, commit: Commit) -> Receipt:
        request = self._request
        with warehouse.writing(
            self._path, who=self._who, on_wait=request.on_wait, memory_bytes=request.memory_bytes
        ) as connection:
            connection.begin()
            try:
                books.make(connection)
                receipt = already_durable(books, connection, commit)
                if receipt is None:
                    receipt = enter(books, connection, commit, *self._load(connection, commit))
                    connection.commit()
            except BaseException:
                with contextlib.suppress(duckdb.Error):  # after a fatal error there is nothing left to roll back
                    connection.rollback()
                raise
        return receipt

    def close(self) -> None:
        """Nothing is held between commits."""

    def _target(self, held: snapshot.Snapshot, stream: StagedStream) -> tables.Target:
        return tables.target(
            held,
            self._schema,
            stream.name,
            stream.fields(),
            stream.keys,
            versioned=stream.version is not None,
            rekey=stream.is_replaced and not self._keeps_history,
            keeps_history=self._keeps_history,
        )

    def _load(
        self, connection: duckdb.DuckDBPyConnection, commit: Commit
    ) -> tuple[dict[str, StreamReceipt], list[Change]]:
        loaded_at = iso(now())
        receipts: dict[str, StreamReceipt] = {}
        changes: list[Change] = []
        held = snapshot.snapshot(connection)
        for part in commit.streams:
            target, place = self._reached(connection, commit.entry, held, part.stream)
            changes += tables.reach(connection, target, place)
            if target.starts_history:
                changes.append(history.start(connection, target, loaded_at))
            self._refuse_outdated(connection, commit, part, target)
            incoming = rows.Incoming(batches=part.batches, loaded_at=loaded_at)
            with rows.refusals(target):
                taken = self._take(connection, commit, part, target, place, incoming)
            receipt = part.receipt(taken, f"{target.schema}.{target.table}")
            if taken:
                receipts[part.stream.name] = receipt
                self.stored[part.stream.name] = self._stored(target, part.stream)
            if not target.is_reached:
                held = tables.renewed(connection, held, target)
        changes += [
            versions.activate(connection, held, self._schema, activation, self._rules, loaded_at)
            for activation in commit.activations
        ]
        return receipts, changes

    def _refuse_outdated(
        self, connection: duckdb.DuckDBPyConnection, commit: Commit, part: StreamPart, table: tables.Target
    ) -> None:
        """Raises OutdatedError for rows out of quarantine that a newer row stands in the way of."""
        if commit.again is None or not table.keys or not part.rows:
            return
        since = f"timestamptz '{iso(commit.origin.since)}'"
        newer = outdated.newer(since, keeps_history=self._keeps_history, is_marked=table.is_marked)
        incoming = rows.Incoming(batches=part.batches, loaded_at="")
        refuse_outdated(part, rows.outdated(connection, table, incoming, newer))

    def _take(
        self,
        connection: duckdb.DuckDBPyConnection,
        commit: Commit,
        part: StreamPart,
        target: tables.Target,
        place: str | None,
        incoming: rows.Incoming,
    ) -> int:
        entry, version, final = commit.entry, part.stream.version, commit.final
        if not part.stream.is_replaced:
            if self._keeps_history:
                return history.load(connection, target, incoming)
            return rows.load(connection, target, target.sql, incoming)
        if self._keeps_history:
            return history.load_snapshot(
                connection, entry, target, incoming, place=place, version=version, rules=self._rules, final=final
            )
        return replace.load(connection, entry, target, incoming, place=place, version=version, final=final)

    def _stored(self, target: tables.Target, stream: StagedStream) -> Stored:
        columns = [Place(column.source, column.name, column.sql_type) for column in target.columns]
        method = "history" if self._keeps_history else "upsert"
        return stored(stream, f"{target.schema}.{target.table}", columns, load_method=method)

    def _reached(
        self,
        connection: duckdb.DuckDBPyConnection,
        entry: bookkeeping.Entry,
        held: snapshot.Snapshot,
        stream: StagedStream,
    ) -> tuple[tables.Target, str | None]:
        """The stream's table, and where rows that will replace its content are collected."""
        target = self._target(held, stream)
        place = replace.aside(connection, entry, target, stream.version) if stream.is_replaced else None
        lossy = tables.lossy_widenings(connection, target, place)
        if lossy:
            stream.texts.update(lossy)
            target = self._target(held, stream)
        return target, place


def schema_name(wanted: str) -> str:
    if wanted.lower() in (bookkeeping.SCHEMA, "information_schema", "pg_catalog"):
        raise InputError(
            "reserved-schema",
            f"the schema `{wanted}` is the warehouse's own",
            hint="choose another `default_target_schema`",
        )
    return names.identifiers([wanted], max_length=tables.LONGEST_NAME, fold_case=True)[wanted]


def _is_empty_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0

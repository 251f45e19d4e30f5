from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

import psycopg

from headwater.base.clock import now
from headwater.base.errors import HeadwaterError, InputError
from headwater.connect import encoded, names
from headwater.connect.contract import Change, OpenRequest, Receipt, StartOverError, Stored, StreamReceipt
from headwater.connect.destinations import bookkeeping, deletes
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.destinations.poison import refuse_outdated
from headwater.connect.destinations.postgres import (
    alter,
    books,
    copy_format,
    early,
    history,
    keys,
    outdated,
    replace,
    rows,
    tables,
    versions,
)
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
    is_lost,
    is_passing,
    lock_number,
    trouble,
    value_rejected,
)
from headwater.connect.destinations.postgres.send import Incoming, Sent, Taken
from headwater.connect.destinations.postgres.settings import Settings
from headwater.connect.destinations.staged import ATTEMPTS_AT_FIRST, MOST_ATTEMPTS, already_durable, enter, steadily
from headwater.connect.destinations.stored import Place, stored
from headwater.connect.staging import InexactError, LongKeyError, StagedStream

_Answer = TypeVar("_Answer")
# What the server may find wrong with rows. The last is of keys that come twice though it was said that none does.
_OF_ROWS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.CardinalityViolation,
)


class PostgresWriter:
    """Writes commits into one database, each in one transaction. Its session there holds the pipeline's lock from the
    start to the end. A transaction that fails for a passing reason (deadlock, lost connection) is done again from the
    spool, at most eight times."""

    def __init__(self, settings: Settings, request: OpenRequest) -> None:
        self._request = request
        self._schema = schema_name(settings.default_target_schema or request.source)
        self._keeps_history = settings.load_method == "history"
        self.stored: dict[str, Stored] = {}
        self._rules = deletes.Rules(
            hard=settings.hard_delete, share=settings.max_delete_share, loader="target-postgres"
        )
        self._address = address(settings, request.folder / "tls")
        self._fresh: set[str] = set()
        self._checked: dict[str, tables.Target] = {}
        # The streams of a transaction that was begun early; None for one whose rows have to wait.
        self._early: dict[str, early.Begun | None] | None = None
        self._begun_at = now()
        self._waits = False
        self._copying: Sent | None = None  # whose COPY is open, and has the connection for itself
        self._backend: Backend | None = None
        self._connection: Connection | None = None

    def standing(self) -> bookkeeping.Standing:
        return self._steadily(
            lambda at: books.standing(at, self._request.pipeline),
            doing="read where the pipeline stands",
            most=ATTEMPTS_AT_FIRST,
        )

    def check(self, stream: StagedStream) -> None:
        begun = self._early_streams().get(stream.name)
        if begun is not None and early.is_for(begun, stream):
            return
        if begun is not None:
            self._leave_early()
        self._checked[stream.name] = self._steadily(lambda at: self._target(at, stream), doing="read the tables")

    def takes(self, stream: StagedStream) -> frozenset[str]:
        """See `contract.Session.takes`."""
        target = self._checked.get(stream.name)
        if not target or not copy_format.takes(target, stream.schema.columns):
            return frozenset()
        # The key of a new table is made with its first commit, by a sort: half the work of one that grows row by row.
        is_at_once = target.is_new and not target.keeps_history
        return frozenset([encoded.POSTGRES_COPY, *([encoded.AT_ONCE] if is_at_once else [])])

    def send_ahead(self, commit: Commit) -> None:
        """Begin the commit's transaction early, and send what there is. What goes wrong the commit will find again.
        Raises StartOverError when rows would have to be sent again that nobody kept."""
        if not self._waits:
            self._try_to_send(commit)
        if self._waits and any(part.stream.spool.has_forgotten() for part in commit.streams):
            self._steadily(lambda _at: None, doing=f"load into `{self._schema}`")  # a server that starts is waited for
            raise StartOverError("what was sent ahead of its commit is lost")

    def _try_to_send(self, commit: Commit) -> None:
        try:
            connection = self._connected()
            if self._early is None:
                self._begin_early(connection, commit)
            for part in commit.streams if not self._waits else ():
                self._send_early(connection, part)
            if not early.fits(self._early_streams(), commit):
                self._leave_early()
        except (psycopg.Error, HeadwaterError, InexactError, LongKeyError) as error:
            self._leave_early()
            if isinstance(error, HeadwaterError) and error.reference == "no-sign-of-life":
                raise

    def write(self, commit: Commit) -> Receipt:
        begun = self._early_streams()
        if self._connection is not None and begun and early.fits(begun, commit):
            self._early = None
            try:
                return self._write(self._connection, commit, begun)
            except (psycopg.Error, rows.StaleError):
                self._fresh.difference_update(one.target.sql for one in begun.values())
        if self._early is not None:
            self._leave_early()
        self._waits = False
        return self._steadily(lambda at: self._write(at, commit, {}), doing=f"load into `{self._schema}`")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._leave_copy()  # now that nobody waits for an answer: the server may hang

    def _connected(self) -> Connection:
        """The session at the server, renewed when it was lost: then the former one is ended first, so that it is
        settled what it committed, and so that it gives the pipeline free."""
        if self._connection is not None and not self._connection.closed:
            if not is_lost(self._connection):
                return self._connection
            self._connection.close()
        if self._early is not None:
            self._leave_early()
        request = self._request
        try:
            connection = connect(
                self._address,
                application=f"headwater {request.pipeline or ''} {request.run_id}"[:63],
                idle_seconds=request.idle_seconds,
            )
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

    def _free(self) -> Connection:
        """The session, with no COPY open: anything can be asked over it."""
        connection = self._connected()
        self._end_copy()
        return connection

    def _end_copy(self) -> None:
        if self._copying is not None:
            copying, self._copying = self._copying, None
            copying.end()

    def _leave_copy(self) -> None:
        if self._copying is not None:
            self._copying.leave()
            self._copying = None

    def _steadily(self, work: Callable[[Connection], _Answer], *, doing: str, most: int = MOST_ATTEMPTS) -> _Answer:
        try:
            return steadily(lambda: work(self._free()), self._passes, most=most)
        except psycopg.Error as error:
            others = None
            if error.sqlstate == "55P03" and self._connection is not None:
                others = in_the_way(self._connection, self._schema)
            raise trouble(self._address, error, doing=doing, others=others) from error

    def _passes(self, error: Exception) -> bool:
        if not isinstance(error, psycopg.Error):
            return False
        if self._early is not None:  # whose transaction may have failed before
            self._leave_early()
            return True
        if self._connection is None:
            return True  # lost while it was being set up
        if error.sqlstate == "55P03":
            self._request.on_wait(in_the_way(self._connection, self._schema))
        return is_passing(self._connection, error)

    def _target(self, connection: Connection, stream: StagedStream) -> tables.Target:
        return tables.target(
            tables.look(connection, self._schema, stream.name),
            stream.fields(),
            stream.keys,
            is_versioned=stream.version is not None,
            has_long_keys=stream.has_long_keys,
            rekey=stream.is_replaced and not self._keeps_history,
            keeps_history=self._keeps_history,
        )

    def _begin_early(self, connection: Connection, commit: Commit) -> None:
        with _transaction(connection):  # which others could wait for
            books.make(connection)
            connection.execute("commit")
        connection.execute("begin")
        self._early, self._begun_at = {}, now()
        self._waits = already_durable(books, connection, commit) is not None

    def _send_early(self, connection: Connection, part: StreamPart) -> None:
        assert self._early is not None
        stream = part.stream
        if stream.name not in self._early and part.count:
            self._end_copy()
            incoming = self._incoming(part, self._begun_at)
            target = self._target(connection, stream)
            self._early[stream.name] = early.start(connection, stream, target, incoming, len(self._early))
        begun = self._early.get(stream.name)
        if begun is not None and part.count > begun.count:
            if self._copying is not begun.sent:
                self._end_copy()
            self._copying = begun.sent
            early.send(connection, begun, part)

    def _early_streams(self) -> dict[str, early.Begun]:
        return {name: one for name, one in (self._early or {}).items() if one is not None}

    def _leave_early(self) -> None:
        """Take back what was sent; the rest of the rows waits for the commit."""
        self._fresh.difference_update(one.target.sql for one in self._early_streams().values())
        self._early, self._waits = None, True
        self._leave_copy()
        if self._connection is not None:
            _roll_back(self._connection)

    def _write(self, connection: Connection, commit: Commit, begun: dict[str, early.Begun]) -> Receipt:
        with _transaction(connection, is_begun=bool(begun)):
            self._end_copy()
            books.make(connection)
            receipt = already_durable(books, connection, commit)
            if receipt is None:
                receipt = enter(books, connection, commit, *self._load(connection, commit, begun))
                connection.execute("commit")
        return receipt

    def _load(
        self, connection: Connection, commit: Commit, begun: dict[str, early.Begun]
    ) -> tuple[dict[str, StreamReceipt], list[Change]]:
        receipts: dict[str, StreamReceipt] = {}
        changes: list[Change] = []
        self._lock_tables(connection, commit.touched())
        moment = self._moment(connection, commit, begun)
        for part in commit.streams:
            receipt, changed = self._load_stream(connection, commit, part, begun.get(part.stream.name), moment)
            changes += changed
            if receipt.rows_in:
                receipts[part.stream.name] = receipt
        for activation in commit.activations:
            held = tables.look(connection, self._schema, activation.stream)
            changes.append(versions.activate(connection, held, activation, self._rules, moment))
        return receipts, changes

    def _moment(self, connection: Connection, commit: Commit, begun: dict[str, early.Begun]) -> datetime:
        """What all rows of the commit are stamped with: when the first of those that are in their tables were sent, or
        the present. Asked for with the tables locked, so that the moments of a table grow from commit to commit;
        StaleError when others filled one of them since the first rows were sent."""
        straight = {name: one for name, one in begun.items() if one.sent.is_straight}
        if not straight:
            return now()
        shared = commit.touched() - {name for name, one in straight.items() if one.target.is_new}
        if books.was_loaded(connection, shared, self._begun_at):
            raise rows.StaleError
        return self._begun_at

    def _lock_tables(self, connection: Connection, streams: set[str]) -> None:
        """Two pipelines may load the same tables, but not at once. All take their locks in the same order."""
        for number in sorted(lock_number("table", self._schema, stream) for stream in streams):
            connection.execute("select pg_advisory_xact_lock(%s)", [number])

    def _load_stream(
        self, connection: Connection, commit: Commit, part: StreamPart, begun: early.Begun | None, moment: datetime
    ) -> tuple[StreamReceipt, list[Change]]:
        incoming = self._incoming(part, moment, begun)
        is_in = begun is not None and begun.sent.is_straight
        if begun is not None and is_in:
            target, place, changes = begun.target, None, begun.changes
        else:
            target, place, changes = self._reached(connection, commit.entry, part.stream, begun)
            if target.starts_history:
                changes.append(history.start(connection, target, moment))
        table = f"{target.schema}.{target.table}"
        try:
            if commit.again is not None and target.keys and part.rows:
                since = books.maybe_newer(connection, commit.entry, target.stream, commit.origin.since)
                refuse_outdated(part, outdated.positions(connection, target, incoming, since))
            if is_in:
                taken = rows.load(connection, target, target.sql, incoming, is_keyed=target.is_keyed)
            else:
                taken = self._take(connection, commit, part.stream, target, place, incoming)
        except _OF_ROWS as error:
            raise value_rejected(self._address, error, table, target.stream) from error
        changes += [
            Change(
                stream=target.stream,
                column=source,
                change="value-repaired",
                detail="U+0000 became U+FFFD",
                count=number,
            )
            for source, number in taken.repaired.items()
        ]
        if taken.rows:
            columns = [Place(column.source, column.name, column.sql_type) for column in target.columns]
            method = "history" if self._keeps_history else "upsert"
            self.stored[target.stream] = stored(part.stream, table, columns, load_method=method)
        return part.receipt(taken.rows, table, repaired=sum(taken.repaired.values())), changes

    def _incoming(self, part: StreamPart, moment: datetime, begun: early.Begun | None = None) -> Incoming:
        schema = part.stream.schema
        return Incoming(
            batches=part.batches if begun is None else lambda: part.stream.spool.between(begun.count, part.count),
            loaded_at=moment,
            exact=frozenset((*schema.keys, *([schema.cursor] if schema.cursor else []))),
            fresh=self._fresh,
            sent=begun.sent if begun is not None else None,
        )

    def _take(
        self,
        connection: Connection,
        commit: Commit,
        stream: StagedStream,
        target: tables.Target,
        place: str | None,
        incoming: Incoming,
    ) -> Taken:
        entry, version, final = commit.entry, stream.version, commit.final
        if not stream.is_replaced:
            if self._keeps_history:
                return history.load(connection, target, incoming)
            return rows.load(connection, target, target.sql, incoming, is_keyed=target.is_keyed)
        if self._keeps_history:
            return history.load_snapshot(
                connection, entry, target, incoming, place=place, version=version, rules=self._rules, final=final
            )
        return replace.load(connection, entry, target, incoming, place=place, version=version, final=final)

    def _reached(
        self, connection: Connection, entry: bookkeeping.Entry, stream: StagedStream, begun: early.Begun | None
    ) -> tuple[tables.Target, str | None, list[Change]]:
        """The stream's table, able to take its rows now, where rows that will replace its content are collected, and
        what was changed."""
        target = self._target(connection, stream)
        place = replace.aside(connection, entry, target, stream.version) if stream.is_replaced else None
        if place is not None and not target.is_hashed and keys.is_hashed(connection, place):
            stream.has_long_keys = True
            target = self._target(connection, stream)
        lossy = alter.lossy_widenings(connection, target, place)
        if lossy:
            stream.texts.update(lossy)
            target = self._target(connection, stream)
        if begun is not None and begun.target != target:
            raise rows.StaleError
        return target, place, alter.reach(connection, target, place)


@contextlib.contextmanager
def _transaction(connection: Connection, *, is_begun: bool = False) -> Iterator[None]:
    """What is done inside counts when the caller said `commit`."""
    if not is_begun:
        connection.execute("begin")
    try:
        yield
    finally:
        _roll_back(connection)


def _roll_back(connection: Connection) -> None:
    if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        with contextlib.suppress(psycopg.Error):  # a lost connection has rolled back by itself
            connection.execute("rollback")


def schema_name(wanted: str) -> str:
    if wanted in (bookkeeping.SCHEMA, "information_schema") or wanted.startswith("pg_"):
        raise InputError(
            "reserved-schema",
            f"the schema `{wanted}` is the database's own",
            hint="choose another `default_target_schema`",
        )
    return names.identifiers([wanted], max_length=tables.LONGEST_NAME, fold_case=False)[wanted]

"""The slot by which the server keeps its log for us, and remembers how far we are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.destinations.postgres.connection import literal
from headwater.connect.destinations.postgres.patient import Watch
from headwater.connect.sources.postgres import published
from headwater.connect.sources.postgres.orders import Orders
from headwater.connect.sources.postgres.published import Logged

_PLUGIN = "pgoutput"
_NAME = re.compile(r"[a-z0-9_]{1,63}")
_LEAST_VERSION = 130_000
# How long a session that has died may still hold the slot.
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.2

_SLOT = """
select plugin::text, database::text, active_pid, to_jsonb(s)->>'wal_status', to_jsonb(s)->>'invalidation_reason',
  pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8, database = current_database(),
  pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8
from pg_replication_slots s where slot_name = %s
"""
_WRITERS = """
select distinct l.pid, l.virtualtransaction from pg_locks l
where l.locktype = 'relation' and l.relation = any(%s::oid[]) and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""


class Slot(Struct, frozen=True, kw_only=True):
    """`safe` is up to where its changes were confirmed: what came before, the server no longer has. `lag` is how many
    bytes of log it holds back, `tables` the streams by the numbers that the log knows their tables by."""

    name: str
    publication: str
    safe: int
    lag: int
    tables: dict[int, str]


class StopError(Exception):
    """The read is to stop."""


class _Stopping:
    """A watch that also ends a wait when the read is to stop."""

    def __init__(self, watch: Watch | None, should_stop: Callable[[], bool]) -> None:
        self._watch = watch
        self._should_stop = should_stop

    def begin(self) -> None:
        if self._watch is not None:
            self._watch.begin()

    def tick(self) -> None:
        if self._should_stop():
            raise StopError
        if self._watch is not None:
            self._watch.tick()


class Server:
    """Asks and orders what has to do with slots. `tell` hears whom it waits for."""

    def __init__(self, orders: Orders, *, tell: Callable[[str], None], should_stop: Callable[[], bool]) -> None:
        self._orders = orders
        self._tell = tell
        self._should_stop = should_stop

    def slot(self, name: str, publication: str, tables: Sequence[Logged], known: AbstractSet[str]) -> Slot:
        """The slot, with all tables in the publication. Both are made when they are missing, unless a state goes on
        from them: that of the streams `known`. Raises StopError, EnvironmentProblemError, InputError, RunFailedError.
        """
        watch = self._orders.connection.watch
        self._orders.connection.watch = _Stopping(watch, self._should_stop)
        try:
            return self._ready(name, publication, tables, known)
        finally:
            self._orders.connection.watch = watch

    def _ready(self, name: str, publication: str, tables: Sequence[Logged], known: AbstractSet[str]) -> Slot:
        self._check_server()
        oids = published.check(self._orders, tables)
        published.publish(self._orders, publication, tables, known)
        found = self._held(name)
        if found is None:
            if known:
                raise lost(name, "there is none of that name")
            self._create(name)
            found = self._held(name)
            assert found is not None
        else:
            self._outwait([oid for stream, held in oids.items() if stream not in known for oid in held])
        safe, lag = found
        streams = {held[0]: stream for stream, held in oids.items()}
        return Slot(name=name, publication=publication, safe=safe, lag=lag, tables=streams)

    def mark(self) -> int:
        """Write a mark into the log; what is sent beyond it was committed later. The log moves on with it also where
        nothing else does, so that the slot keeps none of it for long."""
        message = "pg_logical_emit_message(true, 'headwater', '')"
        ((lsn,),) = self._orders.ask("write into the log", f"select pg_wal_lsn_diff({message}, '0/0')::int8")
        return int(lsn)

    def lag(self, safe: int) -> int:
        """Bytes of log written since."""
        ((bytes_behind,),) = self._orders.ask(
            "look at its log", "select (pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') - %s)::int8", [safe]
        )
        return max(0, int(bytes_behind))

    def _check_server(self) -> None:
        version = self._orders.connection.info.server_version
        if version < _LEAST_VERSION:
            raise EnvironmentProblemError(
                "old-server",
                f"log-based replication needs PostgreSQL 13, and {self._orders.address.server} is {version // 10_000}",
                hint="set the replication-method of its streams to INCREMENTAL or FULL_TABLE",
            )
        ((level,),) = self._orders.ask("look at its settings", "select current_setting('wal_level')")
        if level != "logical":
            raise EnvironmentProblemError(
                "log-not-logical",
                f"PostgreSQL at {self._orders.address.server} does not write a log that changes can be read from",
                why=f"its wal_level is {level}",
                hint="alter system set wal_level = logical, and restart the server; a managed server has a setting of "
                "its own for it, such as rds.logical_replication",
            )

    def _held(self, name: str) -> tuple[int, int] | None:
        """Where the slot stands and what it holds back, once nobody else uses it."""
        until = monotonic() + _PATIENCE_SECONDS
        while rows := self._orders.ask("look at its replication slots", _SLOT, [name]):
            ((plugin, database, pid, status, reason, safe, is_here, lag),) = rows
            if plugin != _PLUGIN or not is_here:
                raise InputError(
                    "unfit-slot",
                    f"the replication slot `{name}` can't be used",
                    why=f"it is of database `{database}`" if plugin == _PLUGIN else f"its output plugin is {plugin}",
                    hint="headwater config set tap-postgres replication_slot_name NAME",
                )
            # Without a place it is being made, or a session that was to make it is just ending and takes it along.
            is_lost = safe is None and pid is None
            if status == "lost" or reason or is_lost:
                raise lost(name, f"the server has dropped its log: {reason or 'max_slot_wal_keep_size was exceeded'}")
            if pid is None:
                return safe, lag
            if monotonic() >= until:
                raise RunFailedError(
                    "slot-in-use",
                    f"somebody else reads the replication slot `{name}`",
                    why=f"process {pid} of the server",
                    hint="give each pipeline a slot of its own, by the setting `replication_slot_name`; a session that "
                    f"has died: select pg_terminate_backend({pid})",
                )
            time.sleep(_POLL_SECONDS)
        return None

    def _create(self, name: str) -> None:
        self._tell(f"creating the replication slot {name}; it waits for transactions that run now")
        self._orders.order(
            f"create the replication slot `{name}`",
            f"select pg_create_logical_replication_slot({literal(name)}, '{_PLUGIN}')",
        )

    def _outwait(self, oids: Sequence[int]) -> None:
        """Until nobody who wrote to the tables before they were published is still at it: the log does not show us what
        they wrote, and a copy that begins before they commit would not either. That a run published them which was
        killed before it had waited can't be seen, so every table that is to be copied is waited for."""
        query = _WRITERS
        waiting = set(self._orders.ask("look at its locks", query, [list(oids)]))
        if waiting:
            self._tell("waiting for transactions that write to tables that are read from the log from now on")
        while waiting:
            if self._should_stop():
                raise StopError
            time.sleep(_POLL_SECONDS)
            waiting &= set(self._orders.ask("look at its locks", query, [list(oids)]))


def lost(name: str, why: str) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "slot-lost",
        f"the replication slot `{name}` can't go on from where the last run ended",
        why=why,
        hint=f"select pg_drop_replication_slot({literal(name)}) if it is there, then headwater run --full-refresh …, "
        "which makes another and copies the tables anew",
    )


def checked(name: str) -> str:
    """The name, if a slot may be called so."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "bad-slot-name",
            f"a replication slot can't be called `{name}`",
            why="its name has lower-case letters, digits and `_`, and at most 63 of them",
            hint="headwater config set tap-postgres replication_slot_name NAME",
        )
    return name


def behind(stream: str, name: str) -> RunFailedError:
    """The slot is ahead of what the state says."""
    return RunFailedError(
        "slot-ahead",
        f"changes of stream `{stream}` are no longer in the replication slot `{name}`",
        why="it was confirmed further than this state, as when two pipelines share a slot, or a state was put back",
        hint=f"headwater run --full-refresh --stream {stream} …; give each pipeline a slot of its own, by the setting "
        "`replication_slot_name`",
    )

"""States in a PostgreSQL database, where `database_uri` names one: table `headwater_states`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from headwater.base.errors import EnvironmentProblemError
from headwater.base.redact import without_credentials
from headwater.model.run import State
from headwater.store.state_form import GENERATIONS
from headwater.store.state_system_db import COLUMNS, from_row, newest, next_generation, readable, to_row

_TABLE = """
create table if not exists headwater_states (
  state_id text not null,
  generation integer not null,
  value text,
  partial text,
  by_user integer not null,
  with_data integer not null,
  run_id text,
  updated_at text not null,
  digest text,
  raw text,
  primary key (state_id, generation)
)"""
_CONNECT_SECONDS = 10
T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]


class Address:
    """How a database is reached: `tries` times more after the first, with `pause` seconds in between."""

    def __init__(self, uri: str, *, tries: int = 3, pause: float = 5) -> None:
        scheme, _, rest = uri.partition("://")
        self._uri = f"{scheme.partition('+')[0]}://{rest}"  # `postgresql+psycopg`: which driver is not asked
        self._tries = tries
        self._pause = pause
        self.shown = without_credentials(self._uri).partition("?")[0]

    def connect(self) -> Connection:
        """A session outside of any transaction. Raises EnvironmentProblemError (`database-unreachable`)."""
        for left in range(self._tries, -1, -1):
            try:
                return psycopg.connect(
                    self._uri, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="headwater"
                )
            except psycopg.OperationalError as error:
                if not left:
                    raise self.problem(error) from None  # its text may hold what must not be shown
            except psycopg.Error as error:  # the address itself
                raise self.problem(error) from None
            time.sleep(self._pause)
        raise AssertionError("unreachable")

    def problem(self, error: psycopg.Error) -> EnvironmentProblemError:
        return EnvironmentProblemError(
            "database-unreachable" if isinstance(error, psycopg.OperationalError) else "system-database",
            f"the system database `{self.shown}` can't be used",
            why=without_credentials(" ".join(str(error).split()))[:500],
            hint="start it, or correct `database_uri`: headwater config list meltano",
        )


class PostgresStates:
    """A change is one transaction under a lock on its state id, which the server frees when the session ends."""

    def __init__(self, address: Address, warn: Callable[[str], None]) -> None:
        self.label = f"database {address.shown}"
        self._address = address
        self._warn = warn
        self._lock = threading.RLock()
        self._session: Connection | None = None

    def read(self, state_id: str) -> State | None:
        return newest(state_id, self._rows(state_id), f"`{self._address.shown}`", self._warn)

    def generations(self, state_id: str) -> list[State | None]:
        return [readable(state_id, row) for row in self._rows(state_id)]

    def _rows(self, state_id: str) -> list[tuple[Any, ...]]:
        """Newest first."""
        return self._asked(
            lambda session: session.execute(
                f"select {COLUMNS} from headwater_states where state_id = %s order by generation desc",  # noqa: S608 - own constant
                (state_id,),
            ).fetchall()
        )

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        def write(session: Connection) -> State | None:
            with session.transaction():
                session.execute("select pg_advisory_xact_lock(hashtextextended(%s, 1))", (state_id,))
                row = session.execute(
                    f"select {COLUMNS} from headwater_states where state_id = %s "  # noqa: S608 - own constant
                    "order by generation desc limit 1",
                    (state_id,),
                ).fetchone()
                old = from_row(state_id, row) if row else None
                new = change(old)
                if new is None:
                    return None
                generation = next_generation(row[0] if row else 0, old, new)
                session.execute(
                    "delete from headwater_states where state_id = %s and (generation = %s or generation <= %s)",
                    (state_id, generation, generation - GENERATIONS),
                )
                session.execute(
                    f"insert into headwater_states (state_id, {COLUMNS}) "  # noqa: S608 - own constant
                    "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (state_id, *to_row(generation, new)),
                )
                return new

        return self._asked(write)

    def ids(self) -> list[str]:
        rows = self._asked(lambda session: session.execute("select distinct state_id from headwater_states").fetchall())
        return sorted(state_id for (state_id,) in rows)

    def hold(self, state_id: str, owner: str) -> HeldSession | None:
        """The lock of a session of its own: the server frees it when this process or the network is gone."""
        session = self._address.connect()
        try:
            session.execute("select set_config('application_name', %s, false)", (f"headwater: {owner}"[:63],))
            row = session.execute("select pg_try_advisory_lock(hashtextextended(%s, 2))", (state_id,)).fetchone()
        except psycopg.Error as error:
            session.close()
            raise self._address.problem(error) from None
        if row and row[0]:
            return HeldSession(session)
        session.close()
        return None

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _asked(self, ask: Callable[[Connection], T]) -> T:
        """Asks again, once, in a new session when the old one is broken: between two states of a run may be hours.
        A change that took effect although its answer was lost is made twice then, to the same end."""
        with self._lock:
            for is_last in (self._session is None, True):
                try:
                    return ask(self._connected())
                except psycopg.OperationalError as error:
                    self.close()
                    if is_last:
                        raise self._address.problem(error) from None
                except psycopg.Error as error:
                    raise self._address.problem(error) from None
        raise AssertionError("unreachable")

    def _connected(self) -> Connection:
        if self._session is None:
            session = self._address.connect()
            if session.execute("select to_regclass('headwater_states')").fetchone() == (None,):
                with session.transaction():
                    # Two that make the same table at once would get in each other's way.
                    session.execute("select pg_advisory_xact_lock(hashtextextended('headwater_states', 0))")
                    session.execute(_TABLE)
            self._session = session
        return self._session


class HeldSession:
    """A lock that is held until `release` or the end of its session."""

    def __init__(self, session: Connection) -> None:
        self._session = session

    def release(self) -> None:
        """Free it; idempotent."""
        self._session.close()

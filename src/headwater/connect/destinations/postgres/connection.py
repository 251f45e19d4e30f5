"""A session with the server: how it is set up, whose turn it is, and what an error means."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psycopg

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.patient import Deadline, PatientConnection, patience

Connection = psycopg.Connection[tuple[Any, ...]]

# How long a pipeline waits for the session of a run that has died: the server looks every second whether we live.
_PATIENCE_SECONDS = 5.0
_SETTING_UP_SECONDS = 15.0
_SETTINGS = {
    "search_path": "pg_catalog",  # every other name is written in full, so nobody can put a function in our way
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",  # a load takes as long as it takes
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "15s",  # then the load steps back, so that readers don't queue up behind it
    "work_mem": "64MB",
}


class Backend(NamedTuple):
    """The server's process of a session; process numbers alone come again."""

    pid: int
    started: str


def connect(address: Address, *, application: str, idle_seconds: float) -> PatientConnection:
    """A session outside of any transaction. No wait for the server lasts longer than `idle_seconds` without a sign of
    life: see `alive.Patience`. Raises psycopg.OperationalError."""
    connection = PatientConnection.connect(
        **address.parameters, application_name=application, autocommit=True, prepare_threshold=None
    )
    try:
        wanted = dict(_SETTINGS)
        if connection.info.server_version >= 140_000:
            wanted |= {"client_connection_check_interval": "1s", "idle_session_timeout": "0"}
        if connection.info.server_version >= 170_000:
            wanted["transaction_timeout"] = "0"
        calls = ", ".join(
            f"pg_catalog.set_config({literal(name)}, {literal(value)}, false)" for name, value in wanted.items()
        )
        connection.watch = Deadline(_SETTING_UP_SECONDS)
        execute(connection, f"select {calls}")
        watch_over(connection, address, idle_seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def watch_over(connection: PatientConnection, address: Address, idle_seconds: float) -> None:
    """Have waits watched, of the process that serves the session from now on: a pooler may give it another one with
    each transaction."""
    at = backend(connection)
    session = f"pid = {at.pid} and backend_start::text = {literal(at.started)}"
    connection.watch = patience(connection, address, session, seconds=idle_seconds)


def execute(connection: Connection, query: str) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run SQL that was put together here. It has no placeholders: names may hold `%`."""
    return connection.execute(query.encode())


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def backend(connection: Connection) -> Backend:
    row = connection.execute(
        "select pid, backend_start::text from pg_stat_activity where pid = pg_backend_pid()"
    ).fetchone()
    assert row is not None
    return Backend(*row)


def end(connection: Connection, former: Backend) -> None:
    """End our former session, which may not know yet that we left it, and wait until it is gone: then it is settled
    whether it committed."""
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid = %s and backend_start::text = %s",
        [former.pid, former.started],
    )
    until = monotonic() + _PATIENCE_SECONDS * 2
    while connection.execute(
        "select 1 from pg_stat_activity where pid = %s and backend_start::text = %s", [former.pid, former.started]
    ).fetchone():
        if monotonic() >= until:
            raise RunFailedError(
                "commit-unknown",
                "the connection was lost during a commit, and the server is still at it",
                why=f"process {former.pid} of the server does not end",
                hint="run it again when the process is gone: the checkpoint then says what was kept",
            )
        time.sleep(0.1)


def lock_number(*words: str) -> int:
    """A number for an advisory lock, which PostgreSQL keeps by database."""
    name = "\0".join(("headwater", *words))
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big", signed=True)


def hold_pipeline(connection: Connection, pipeline: str, on_wait: Callable[[str], None]) -> None:
    """Take the pipeline for this session; the server gives it free when the session ends, however it ends.

    Raises RunFailedError (`already-running`) that says who has it.
    """
    number = lock_number("pipeline", pipeline)
    until = monotonic() + _PATIENCE_SECONDS
    told = False
    while True:
        row = connection.execute("select pg_try_advisory_lock(%s)", [number]).fetchone()
        if row and row[0]:
            return
        holder = _holder(connection, number)
        if monotonic() >= until:
            raise RunFailedError(
                "already-running",
                f"`{pipeline}` is already running",
                why=f"the database says: {holder}",
                hint="wait until it has ended",
            )
        if not told:
            on_wait(holder)
            told = True
        time.sleep(0.1)


def _holder(connection: Connection, number: int) -> str:
    row = connection.execute(
        "select a.application_name, a.pid, coalesce(host(a.client_addr), 'a local client') "
        "from pg_locks l join pg_stat_activity a using (pid) where l.granted and l.locktype = 'advisory' "
        "and l.objsubid = 1 and (l.classid::bigint << 32 | l.objid::bigint) = %s::bigint "
        "and l.database = (select oid from pg_database where datname = current_database())",
        [number],
    ).fetchone()
    return "{}, process {} of the server, from {}".format(*row) if row else "someone who has just gone"


def in_the_way(connection: Connection, schema: str) -> str:
    """Sessions that hold locks on tables of the schema."""
    found: Sequence[tuple[Any, ...]] = ()
    with contextlib.suppress(psycopg.Error):
        found = connection.execute(
            "select distinct a.pid, a.usename, a.application_name from pg_locks l join pg_stat_activity a using (pid) "
            "join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace "
            "where l.granted and n.nspname = %s and a.pid <> pg_backend_pid() order by 1 limit 3",
            [schema],
        ).fetchall()
    return "; ".join(f"process {pid} of `{user}` ({program})" for pid, user, program in found) or "another session"


_PASSING_STATES = frozenset(
    (
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # a lock that did not come in time
        "57P01",  # the server is shut down, or an administrator ended the session
        "57P02",
        "57P03",  # the server starts up
        "57P05",
    )
)


def is_passing(connection: Connection, error: psycopg.Error) -> bool:
    """Whether the same transaction may well succeed later."""
    state = error.sqlstate or ""
    return (
        state in _PASSING_STATES or (state.startswith("08") and state != "08P01") or (is_lost(connection) and not state)
    )


def is_lost(connection: Connection) -> bool:
    """Whether nothing more can be asked over it. A session that the server ends in the middle of several queries at
    once may leave libpq in pipeline mode, "busy" for ever, with a connection that doesn't count as broken."""
    return connection.broken or (
        not connection.closed and connection.info.pipeline_status != psycopg.pq.PipelineStatus.OFF
    )


def cannot_connect(address: Address, error: psycopg.Error) -> HeadwaterError:
    """A connection that did not come about, in our words and without secrets."""
    text = _one_line(address, error)
    lower = text.lower()
    what = f"cannot connect to PostgreSQL at {address.server}"
    if "password" in lower or _says(lower, ("authentication failed",)):
        return EnvironmentProblemError(
            "wrong-password",
            f"PostgreSQL at {address.server} refuses the password of `{address.user}`",
            why=text,
            hint=f"headwater config set {address.plugin} password PASSWORD",
        )
    if "not permitted to log in" in lower:
        return EnvironmentProblemError(
            "login-refused",
            f"PostgreSQL at {address.server} does not let `{address.user}` log in",
            why=text,
            hint=f"alter role {address.user} login",
        )
    if "does not exist" in lower and "database" in lower:
        return InputError(
            "unknown-database",
            f"there is no database `{address.database}` at {address.server}",
            why=text,
            hint=f"create it, or headwater config set {address.plugin} database <name>: createdb {address.database}",
        )
    if _says(lower, ("failed to resolve host", "could not translate host name", "name or service not known")):
        return EnvironmentProblemError(
            "unknown-host",
            f"the host of {address.server} is not known",
            why=text,
            hint=f"headwater config set {address.plugin} host <name>",
        )
    if "server does not support ssl" in lower:
        hint = f"have the server speak TLS, or do without: headwater config set {address.plugin} ssl_enable false"
        return EnvironmentProblemError("tls-refused", what, why=text, hint=hint)
    if _says(lower, ("certificate", "ssl ", "tls")):
        return EnvironmentProblemError(
            "tls-refused", what, why=text, hint="check the settings `ssl_mode` and `ssl_certificate_authority`"
        )
    return EnvironmentProblemError(
        "cannot-connect", what, why=text, hint="is it running, and are `host`, `port` and `user` right?"
    )


def _says(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def trouble(address: Address, error: psycopg.Error, *, doing: str, others: str | None = None) -> HeadwaterError:
    """What an error of a statement says, in our words. `doing` ends the sentence "cannot …"; `others` are those who
    hold a lock."""
    text = _one_line(address, error)
    state = error.sqlstate or ""
    if state == "53100":
        return EnvironmentProblemError(
            "disk-full",
            f"the disk of PostgreSQL at {address.server} is full",
            why=f"{text}; nothing of this commit was kept",
            hint="free space there, then run it again",
        )
    if state in ("53200", "53400"):  # memory, and what the server's settings allow, as `temp_file_limit`
        return EnvironmentProblemError(
            "server-limit",
            f"the load needs more than PostgreSQL at {address.server} gives it",
            why=f"{text}; nothing of this commit was kept",
            hint=f"raise that limit, for example: alter role {address.user} set temp_file_limit = '10GB'; or load less "
            f"between two states of the source: headwater config set {address.plugin} _commit_bytes 8000000",
        )
    if state == "57014":
        return EnvironmentProblemError(
            "statement-cancelled",
            f"PostgreSQL at {address.server} ended a statement of the load",
            why=f"{text}; nothing of this commit was kept",
            hint=f"run it again; was it a timeout: alter role {address.user} set statement_timeout = 0, or load less "
            f"between two states of the source: headwater config set {address.plugin} _commit_bytes 8000000",
        )
    if state in ("42501", "28000"):
        return EnvironmentProblemError(
            "no-permission",
            f"`{address.user}` may not {doing}",
            why=text,
            hint=f"grant create on database {address.database} to {address.user}, or the rights that it names",
        )
    if state == "54011":
        return InputError(
            "too-many-columns", f"cannot {doing}", why=text, hint="select fewer columns: headwater select <tap> --list"
        )
    if state == "55P03":
        return RunFailedError(
            "table-locked",
            f"cannot {doing}: others use the tables",
            why=f"{text}: {others}" if others else text,
            hint="run it again when they are done",
        )
    if state in ("40001", "40P01"):
        return RunFailedError(
            "table-locked", f"cannot {doing}: it collides with other sessions again and again", why=text
        )
    if state[:2] in ("08", "57") or (not state and isinstance(error, psycopg.OperationalError)):
        return EnvironmentProblemError(
            "connection-lost",
            f"the connection to PostgreSQL at {address.server} was lost",
            why=text,
            hint="run it again: it goes on from the last checkpoint",
        )
    return RunFailedError("database-error", f"cannot {doing}", why=f"{text} (SQLSTATE {state})")


def value_rejected(address: Address, error: psycopg.Error, place: str, stream: str) -> RunFailedError:
    """A value that the table does not take, by its own rules or by those of PostgreSQL."""
    hint = None
    if error.sqlstate == "54000" and "index" in str(error):
        hint = f"an index that you made on `{place}` can't hold so long a value: drop it, or index a hash of the column"
    column = f" (column `{error.diag.column_name}`)" if error.diag.column_name else ""
    return RunFailedError(
        "value-rejected",
        f"a value of stream `{stream}` does not fit `{place}`",
        why=f"{_one_line(address, error)}{column}",
        hint=hint,
    )


def _one_line(address: Address, error: psycopg.Error) -> str:
    text = error.diag.message_primary or next(iter(str(error).strip().splitlines()), type(error).__name__)
    return address.without_secrets(text)

"""What an error of the driver or the server means, in our words and without secrets."""

from __future__ import annotations

import socket

import pymysql

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect.destinations.mysql.settings import Settings

_DEADLOCK, _LOCK_WAIT, _CHANGED_MEANWHILE = 1213, 1205, 1020
_LOST = frozenset((0, 1053, 1077, 1079, 1927, 2003, 2006, 2013, 2014, 2055, 4031))
_PASSING = _LOST | {_DEADLOCK, _LOCK_WAIT, _CHANGED_MEANWHILE, 1040, 1203, 1317, 3058, 3169}
_NO_PERMISSION = frozenset((1044, 1142, 1143, 1227, 1370, 1410, 3879))
_LOCKED = frozenset((3118, 4151))  # MySQL's number and MariaDB's
_DISK_FULL = frozenset((1021, 1114, 3675))
_TOO_WIDE = frozenset((1117, 1118, 1709))
_VALUE = frozenset((1366, 3819, 4025))  # not that text, and checks of MySQL and MariaDB
# Memory for sorting, locks, the binary log's cache.
_LIMIT = frozenset((1037, 1038, 1041, 1197, 1206))
_CANCELLED = frozenset((1317, 1969))
_READ_ONLY = frozenset((1290, 1792, 1836))


def code_of(error: Exception) -> int:
    """The server's or the driver's number; 0 for a connection that had ended."""
    found = error.args[0] if error.args else 0
    return found if isinstance(found, int) else 0


def is_lock_wait(error: Exception) -> bool:
    return code_of(error) == _LOCK_WAIT


def is_passing(error: Exception, *, is_open: bool) -> bool:
    """Whether the same transaction may well succeed later."""
    return code_of(error) in _PASSING if is_open else True


def is_of_value(error: Exception) -> bool:
    """Whether the table refused a value, by its type or by its rules."""
    return isinstance(error, (pymysql.err.DataError, pymysql.err.IntegrityError)) or code_of(error) in _VALUE


def address(settings: Settings) -> str:
    return settings.unix_socket or f"{settings.host}:{settings.port}"


def cannot_connect(settings: Settings, error: Exception, plugin: str = "target-mysql") -> HeadwaterError:
    """A connection that did not come about. `plugin` is who has the settings."""
    where, text, code = address(settings), one_line(settings, error), code_of(error)
    what = f"cannot connect to MySQL at {where}"
    if isinstance(error, socket.gaierror):
        return EnvironmentProblemError(
            "unknown-host",
            f"the host of {where} is not known",
            why=text,
            hint=f"headwater config set {plugin} host <name>",
        )
    if code in (1045, 1698, 1862):
        return EnvironmentProblemError(
            "wrong-password",
            f"MySQL at {where} refuses the password of `{settings.user}`",
            why=text,
            hint=f"headwater config set {plugin} password --store dotenv",
        )
    if code in _LOCKED:
        return EnvironmentProblemError(
            "login-refused",
            f"MySQL at {where} does not let `{settings.user}` log in",
            why=text,
            hint=f"alter user {settings.user} account unlock",
        )
    if isinstance(error, RuntimeError) or code == 2061:
        # How the password is to be sent: PyMySQL asks for the package `cryptography`, or the server for clear text.
        return EnvironmentProblemError(
            "tls-refused", what, why=text, hint=f"encrypt the connection: headwater config set {plugin} ssl true"
        )
    if isinstance(error, FileNotFoundError) and not settings.unix_socket:
        files = ", ".join(f"`{name}`" for name in (settings.ssl_ca, settings.ssl_cert, settings.ssl_key) if name)
        return EnvironmentProblemError(
            "tls-refused", what, why=f"{text}: one of {files}", hint="correct `ssl_ca`, `ssl_cert` or `ssl_key`"
        )
    if any(word in text.lower() for word in ("certificate", "ssl", "tls", "secure_transport")):
        return EnvironmentProblemError("tls-refused", what, why=text, hint="check the settings `ssl` and `ssl_ca`")
    return EnvironmentProblemError(
        "cannot-connect", what, why=text, hint="is it running, and are `host`, `port` and `user` right?"
    )


def trouble(settings: Settings, error: Exception, *, schema: str, doing: str) -> HeadwaterError:
    """What an error of a statement says. `doing` ends the sentence "cannot …"."""
    where, text, code = address(settings), one_line(settings, error), code_of(error)
    if code in _DISK_FULL or "errno: 28" in text.lower() or "no space left" in text.lower():
        return EnvironmentProblemError(
            "disk-full",
            f"the disk of MySQL at {where} is full",
            why=f"{text}; nothing of this commit was kept",
            hint="free space there, then run it again",
        )
    less = "or load less between two states of the source: headwater config set target-mysql _commit_bytes 8000000"
    if code in _LIMIT or "temporary space limit" in text.lower():
        return EnvironmentProblemError(
            "server-limit",
            f"the load needs more than MySQL at {where} gives it",
            why=f"{text}; nothing of this commit was kept",
            hint=f"raise that limit at the server, {less}",
        )
    if code in _CANCELLED:
        return EnvironmentProblemError(
            "statement-cancelled",
            f"MySQL at {where} ended a statement of the load",
            why=f"{text}; nothing of this commit was kept",
            hint=f"run it again; was it a timeout: set global max_statement_time = 0, {less}",
        )
    if code in _NO_PERMISSION:
        return EnvironmentProblemError(
            "no-permission",
            f"`{settings.user}` may not {doing}",
            why=text,
            hint=f"grant select, insert, update, delete, create, alter, drop, index, create temporary tables "
            f"on `{schema}`.* to {settings.user}",
        )
    if code in _READ_ONLY:
        return EnvironmentProblemError(
            "no-permission", f"cannot {doing}", why=text, hint="give the address of the server that takes writes"
        )
    if code in _TOO_WIDE:
        return InputError(
            "too-many-columns", f"cannot {doing}", why=text, hint="select fewer columns: headwater select <tap> --list"
        )
    if code in (_DEADLOCK, _LOCK_WAIT, _CHANGED_MEANWHILE, 3058):
        return RunFailedError(
            "table-locked", f"cannot {doing}: others use the tables", why=text, hint="run it again when they are done"
        )
    if code in _LOST or isinstance(error, OSError):
        return EnvironmentProblemError(
            "connection-lost",
            f"the connection to MySQL at {where} was lost",
            why=text,
            hint="run it again: it goes on from the last checkpoint",
        )
    return RunFailedError("database-error", f"cannot {doing}", why=f"{text} (error {code})")


def one_line(settings: Settings, error: Exception) -> str:
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    line = next(iter(text.strip().splitlines()), type(error).__name__)
    # The server does not repeat a password; a short one could stand in any word.
    return line.replace(settings.password, "***") if settings.password and len(settings.password) > 7 else line

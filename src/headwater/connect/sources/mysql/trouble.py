"""What an error of the driver or the server means while tables are read, in our words and without secrets."""

from __future__ import annotations

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.destinations.mysql.trouble import address as named
from headwater.connect.destinations.mysql.trouble import code_of, one_line
from headwater.connect.sources.mysql.rows import UnexpectedRowError

PLUGIN = "tap-mysql"
_NO_PERMISSION = frozenset((1044, 1142, 1143, 1227, 1370))
_CHANGED = frozenset(
    (1049, 1054, 1146, 1356, 1412)
)  # no such database, column, table; a broken view; altered meanwhile
_NO_VALUE = frozenset((1292, 1367, 1411, 1525))
_CANCELLED = frozenset((1317, 1969, 3024, 1213))
_LOST = frozenset((0, 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031))


def lost(at: Address, error: Exception, doing: str) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "connection-lost",
        f"the connection to MySQL at {named(at)} was lost while {doing}",
        why=one_line(at, error),
        hint="run it again: it goes on from the last checkpoint",
    )


def trouble(at: Address, error: Exception, stream: str) -> HeadwaterError:
    """What ended the reading of a stream."""
    text, code = one_line(at, error), code_of(error)
    schema, _, table = stream.partition("-")
    if isinstance(error, UnexpectedRowError):
        return RunFailedError(
            "database-error",
            f"cannot read stream `{stream}`",
            why="the server sent rows of another form than was asked for; does a proxy stand before it?",
            hint="give the address of the server itself",
        )
    if code in _NO_PERMISSION:
        return EnvironmentProblemError(
            "no-permission",
            f"`{at.user}` may not read `{schema}.{table}`",
            why=text,
            hint=f"grant select on `{schema}`.`{table}` to {at.user}",
        )
    if code in _CHANGED:
        return InputError(
            "source-changed",
            f"`{schema}.{table}` is not what it was when it was discovered",
            why=text,
            hint="run it again with --refresh-catalog",
        )
    if code in _NO_VALUE:
        return InputError(
            "bad-bookmark",
            f"the bookmark of stream `{stream}` is no value of its replication key",
            why=text,
            hint="headwater state list, then headwater state clear ID",
        )
    if code in _CANCELLED:
        return RunFailedError(
            "query-cancelled",
            f"the server ended the query of stream `{stream}`",
            why=text,
            hint="run it again: it goes on from the last checkpoint",
        )
    if code in _LOST or isinstance(error, OSError):
        return lost(at, error, f"stream `{stream}` was read")
    return RunFailedError("database-error", f"cannot read stream `{stream}`", why=f"{text} (error {code})")


def cannot_look(at: Address, error: Exception) -> HeadwaterError:
    """What went wrong before any stream was read."""
    text, code = one_line(at, error), code_of(error)
    if code in (1040, 1203, 1226):
        return EnvironmentProblemError(
            "too-many-connections",
            f"MySQL at {named(at)} takes no more connections",
            why=text,
            hint="lower --jobs: a read needs one connection for each",
        )
    if code in _LOST or isinstance(error, OSError):
        return lost(at, error, "its tables were looked at")
    return RunFailedError("database-error", "cannot look at the tables", why=f"{text} (error {code})")

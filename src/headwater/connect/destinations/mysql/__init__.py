"""Loads into MariaDB and MySQL. Rows, checkpoint and ledger commit in one transaction; changes of tables, which these
databases commit by themselves, come before it."""

from __future__ import annotations

from headwater.base.errors import EnvironmentProblemError
from headwater.connect.contract import OpenRequest, Session
from headwater.connect.destinations.mysql.settings import Settings

__all__ = ["CAPABILITIES", "Settings", "open"]

# What the contract's tests may expect of it.
CAPABILITIES = frozenset(
    {"upsert", "replace", "evolve", "versions", "history", "exactly-once", "one-at-a-time", "nan-is-text"}
)


def open(settings: Settings, request: OpenRequest) -> Session:  # noqa: A001 - the contract's word
    """Connect, take the pipeline and read where it stands. The session at the server lives until `close`.

    Raises EnvironmentProblemError (`driver-missing`) when PyMySQL is not installed.
    """
    try:
        # The driver is an extra: who does not load into MySQL does without.
        from headwater.connect.destinations.mysql.session import open_session  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name != "pymysql":
            raise
        raise EnvironmentProblemError(
            "driver-missing",
            "`target-mysql` needs the package `pymysql`, which is not installed",
            hint="install it where headwater is: pip install 'headwater[mysql]'",
        ) from error
    return open_session(settings, request)

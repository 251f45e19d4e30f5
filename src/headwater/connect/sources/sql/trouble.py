"""What an error of the process that reads a database means, in our words."""

from __future__ import annotations

from typing import Any

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError

PLUGIN = "tap-sql"
# What an address's first word needs beside `sqlalchemy`; with the driver's name where there are several.
_PACKAGES = {
    "athena": "PyAthena[SQLAlchemy]",
    "awsathena": "PyAthena[SQLAlchemy]",
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "cockroachdb": "sqlalchemy-cockroachdb",
    "databricks": "databricks-sqlalchemy",
    "db2": "ibm-db-sa",
    "duckdb": "duckdb-engine",
    "hana": "sqlalchemy-hana",
    "ibm_db_sa": "ibm-db-sa",
    "mssql": "pyodbc",
    "mssql+pymssql": "pymssql",
    "mysql": "mysqlclient",
    "mysql+pymysql": "pymysql",
    "mariadb+pymysql": "pymysql",
    "oracle": "oracledb",
    "oracle+oracledb": "oracledb",
    "postgresql": "psycopg[binary]",
    "postgresql+pg8000": "pg8000",
    "postgresql+psycopg": "psycopg[binary]",
    "postgresql+psycopg2": "psycopg2-binary",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "teradatasql": "teradatasqlalchemy",
    "trino": "trino[sqlalchemy]",
    "vertica": "sqlalchemy-vertica-python",
}


def failed(about: dict[str, Any], url: str) -> HeadwaterError:
    """What the process said before it ended."""
    kind, text = about["kind"].rpartition(".")[2], str(about["text"]).strip()
    said = "\n".join(text.split("\n")[:3])
    if about["module"] or kind == "NoSuchModuleError":
        return _package_missing(about, url, said)
    if kind == "CannotConnectError":
        return EnvironmentProblemError(
            "cannot-connect",
            "cannot connect to the database",
            why=said,
            hint=f"is it running, and is the address right? headwater config set {PLUGIN} url --store dotenv",
        )
    if kind == "BookmarkError":
        return InputError(
            "bad-bookmark",
            "a bookmark is no value of its replication key",
            why=said,
            hint="headwater state list, then headwater state clear ID",
        )
    return RunFailedError("database-error", "cannot read the database", why=f"{said} ({kind})")


def of_stream(error: RunFailedError, stream: str | None) -> RunFailedError:
    """The same, said of the stream that was being read."""
    if error.reference != "database-error" or stream is None:
        return error
    return RunFailedError(
        error.reference,
        f"cannot read stream `{stream}`",
        why=error.why,
        hint=f"to go on without it: headwater select {PLUGIN} '{stream}' '*' --exclude",
    )


def gone(stream: str) -> InputError:
    return InputError(
        "source-changed",
        f"there is no table `{stream.replace('-', '.', 1)}` that can be read",
        hint="run it again with --refresh-catalog",
    )


def _package_missing(about: dict[str, Any], url: str, said: str) -> EnvironmentProblemError:
    package = wanted_package(url) or about["module"] or "PACKAGE"
    packages = package if url.startswith(("adbc:", "odbc:")) else f"sqlalchemy {package}"
    return EnvironmentProblemError(
        "driver-missing",
        f"this database needs a package that `{PLUGIN}` does not have",
        why=said,
        hint=f"name it in the project file, below `name: {PLUGIN}`:  pip_url: {packages}",
    )


def wanted_package(url: str) -> str | None:
    """The package that brings the driver of such an address; None for one that is not known."""
    start, _, rest = url.partition(":")
    if start == "adbc":
        return f"adbc-driver-{rest.partition(':')[0]}"
    if start == "odbc":
        return "pyodbc"
    return _PACKAGES.get(start) or _PACKAGES.get(start.partition("+")[0])

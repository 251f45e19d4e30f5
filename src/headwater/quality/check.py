"""Running checks: each is one question to the warehouse."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TypeAlias

import duckdb

from headwater.base.clock import monotonic
from headwater.base.errors import InputError, RunFailedError
from headwater.base.text import did_you_mean, listed
from headwater.connect import engine
from headwater.model.event import Checked, Emit, Outcome
from headwater.quality.checks import Check, Relation, count, sample, says
from headwater.run.cancel import Cancel

Connection: TypeAlias = duckdb.DuckDBPyConnection


def run_checks(
    connection: Connection,
    checks: Sequence[Check],
    *,
    step: str,
    emit: Emit,
    cancel: Cancel,
) -> None:
    """Run all checks, also behind one that fails.

    Raises InputError (`unknown-table`, `unknown-column`) before the first one runs, `bad-check` for a query that
    DuckDB refuses, and at the end RunFailedError (`checks-failed`) when a check of severity `error` failed.
    """
    columns = _columns(connection)
    for check in checks:
        _check_names(check, columns)
    failed: list[tuple[Check, int]] = []
    for check in checks:
        cancel.check()
        started = monotonic()
        failing = _failing(connection, check, cancel)
        emit(
            Checked(
                step=step,
                check=check.name,
                outcome=Outcome.FAILED if failing else Outcome.SUCCESS,
                severity=check.severity,
                failing=failing,
                seconds=monotonic() - started,
                message=says(check, failing) if failing else None,
            )
        )
        if failing and check.severity == "error":
            failed.append((check, failing))
    if failed:
        raise _failed(failed, len(checks))


def see(check: Check) -> str:
    """The command that shows rows that break the check."""
    return f"headwater query {shlex.quote(sample(check))}"


def _failing(connection: Connection, check: Check, cancel: Cancel) -> int:
    try:
        row = connection.execute(count(check)).fetchone()
    except duckdb.Error as error:
        cancel.check()
        if not isinstance(error, duckdb.ProgrammingError | duckdb.DataError):
            raise
        why, _ = engine.words(error)
        raise InputError(
            "bad-check", f"the check `{check.name}` can't be asked", where=check.where, why=why, hint=see(check)
        ) from error
    return int(row[0]) if row else 0


def _failed(failed: Sequence[tuple[Check, int]], total: int) -> RunFailedError:
    first, _ = failed[0]
    return RunFailedError(
        "checks-failed",
        f"{len(failed)} of {total} checks failed",
        where=first.where,
        why="\n".join(f"`{check.name}`: {says(check, failing)} ({check.where})" for check, failing in failed),
        hint=see(first),
    )


def _columns(connection: Connection) -> dict[tuple[str, str], list[str]]:
    """Columns by (schema, table) in small letters."""
    rows = connection.execute(
        "select schema_name, table_name, list(column_name order by column_index) from duckdb_columns() "
        "where database_name = current_database() group by all"
    ).fetchall()
    return {(schema.casefold(), table.casefold()): names for schema, table, names in rows}


def _check_names(check: Check, columns: dict[tuple[str, str], list[str]]) -> None:
    wanted: list[tuple[Relation, str | None]] = [(check.relation, None)]
    wanted += [(check.relation, column) for column in check.columns]
    if check.kind == "relationship":
        wanted.append((check.parameters["to"], check.parameters["field"]))
    for relation, column in wanted:
        present = columns.get((relation.schema.casefold(), relation.name.casefold()))
        if present is None:
            known = [f"{schema}.{name}" for schema, name in columns]
            guess = did_you_mean(relation.words.casefold(), known)
            raise InputError(
                "unknown-table",
                f"there is no table `{relation.words}` in the warehouse",
                where=check.where,
                hint=f"did you mean `{guess}`?" if guess else "load or build it first: headwater run",
            )
        if column is not None and column.casefold() not in (name.casefold() for name in present):
            guess = did_you_mean(column, present)
            raise InputError(
                "unknown-column",
                f"`{relation.words}` has no column `{column}`",
                where=check.where,
                why=None if guess else f"it has {listed(present)}",
                hint=f"did you mean `{guess}`?" if guess else None,
            )

"""Running checks: each is one question to the warehouse."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from headwater.base import clock
from headwater.base.clock import monotonic
from headwater.base.errors import InputError, RunFailedError
from headwater.base.text import did_you_mean, listed
from headwater.connect.warehouses import Session, SqlError
from headwater.model.event import Checked, Emit, Outcome
from headwater.quality.checks import OF_HISTORY, Check, Relation, count, says
from headwater.quality.checks import sample as sample_query
from headwater.quality.history import Past, Verdict, judge
from headwater.quality.samples import Sample, named, sample
from headwater.run.cancel import Cancel


def run_checks(
    session: Session,
    checks: Sequence[Check],
    *,
    step: str,
    emit: Emit,
    cancel: Cancel,
    past: Past | None = None,
) -> None:
    """Run all checks, also behind one that fails; `past` is what those of `OF_HISTORY` compare with.

    Raises InputError (`unknown-table`, `unknown-column`) before the first one runs, and at the end `bad-check` for a
    query that the warehouse refuses, else RunFailedError (`checks-failed`) when a check of severity `error` failed.
    """
    columns = known_columns(session)
    for check in checks:
        check_names(check, columns)
    failed: list[tuple[Check, str]] = []
    unasked: list[InputError] = []
    for check in checks:
        try:
            wrong = ask(session, check, step=step, emit=emit, cancel=cancel, past=past)
        except InputError as error:
            unasked.append(error)
            continue
        if wrong and check.severity == "error":
            failed.append((check, wrong))
    if unasked:
        raise _not_asked(unasked, failed)
    if failed:
        raise _failed(failed, len(checks))


def ask(
    session: Session, check: Check, *, step: str, emit: Emit, cancel: Cancel, past: Past | None = None
) -> str | None:
    """What is wrong, None for a check that passes; told as an event, with some of the rows. Raises InputError
    (`bad-check`), which is told too."""
    cancel.check()
    started = monotonic()
    try:
        found, rows = _asked(session, check, past or Past())
    except SqlError as error:
        cancel.check()
        emit(
            Checked(
                step=step,
                check=check.name,
                outcome=Outcome.FAILED,
                severity=check.severity,
                seconds=monotonic() - started,
                message=f"it can't be asked: {error}",
            )
        )
        raise InputError(
            "bad-check", f"the check `{check.name}` can't be asked", where=check.where, why=str(error), hint=see(check)
        ) from error
    emit(
        Checked(
            step=step,
            check=check.name,
            outcome=Outcome.FAILED if found.wrong else Outcome.SUCCESS,
            severity=check.severity,
            failing=found.wrong,
            seconds=monotonic() - started,
            message=found.message,
            sample=rows,
            observed=found.observed,
        )
    )
    return found.message if found.wrong else None


def see(check: Check) -> str:
    """The command that shows rows that break the check; for one that compares with former runs, how to forget them."""
    if check.kind == "schema_drift" and check.parameters["columns"] is not None:
        return "put its `columns` right if they are to be so"
    if check.kind in OF_HISTORY:
        return f"if it is to be so, write into the check: since: {clock.now():%Y-%m-%dT%H:%M:%SZ}"
    return f"headwater query {shlex.quote(sample_query(check))}"


def _asked(session: Session, check: Check, past: Past) -> tuple[Verdict, Sample]:
    if check.kind in OF_HISTORY:
        return judge(session, check, past), ()
    ((number,),) = session.rows(count(check))
    failing = int(number)
    if not failing:
        return Verdict(), ()
    rows = sample(session, check)
    return Verdict(wrong=failing, message=f"{says(check, failing)}{named(rows)}"), rows


def _not_asked(unasked: Sequence[InputError], failed: Sequence[tuple[Check, str]]) -> InputError:
    first, *others = unasked
    lines = [first.why, *(f"{other.what}: {other.why} ({other.where})" for other in others)]
    lines += [f"`{check.name}` failed: {wrong} ({check.where})" for check, wrong in failed]
    why = "\n".join(filter(None, lines))
    return InputError(first.reference, first.what, where=first.where, why=why, hint=first.hint)


def _failed(failed: Sequence[tuple[Check, str]], total: int) -> RunFailedError:
    first, _ = failed[0]
    return RunFailedError(
        "checks-failed",
        f"{len(failed)} of {total} checks failed",
        where=first.where,
        why="\n".join(f"`{check.name}`: {wrong} ({check.where})" for check, wrong in failed),
        hint=see(first),
    )


def known_columns(session: Session) -> dict[tuple[str, str], list[str]]:
    """Columns by (schema, table) in small letters."""
    rows = session.rows(
        "select table_schema, table_name, column_name from information_schema.columns "
        "where table_catalog = current_database() order by ordinal_position"
    )
    found: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in rows:
        found.setdefault((schema.casefold(), table.casefold()), []).append(column)
    return found


def check_names(check: Check, columns: dict[tuple[str, str], list[str]]) -> None:
    """Raises InputError (`unknown-table`, `unknown-column`)."""
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
                hint=f"did you mean `{guess}`?" if guess else "name one of these, or take the check away",
            )

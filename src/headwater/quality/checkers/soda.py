"""Checks of Soda's contracts in our words."""

from __future__ import annotations

from headwater.model.event import Outcome
from headwater.quality.checkers.told import SodaCheck, Told, number

_OUTCOMES = {"PASSED": Outcome.SUCCESS, "FAILED": Outcome.FAILED, "WARN": Outcome.FAILED}
# Soda judged these to be of no concern to this run.
_LEFT_OUT = "EXCLUDED"
_FOUND = {
    "missing": "values are missing",
    "invalid": "values are invalid",
    "duplicate": "values are duplicates",
    "failed_rows": "rows fail",
}


def told(check: SodaCheck, *, asked: bool = True) -> Told | None:
    """None for a check that Soda left out. One that Soda could not judge, an average of no rows say, is a warning;
    without `asked` something is wrong with its contract, and it is cancelled."""
    if check.outcome == _LEFT_OUT:
        return None
    is_judged = check.outcome in _OUTCOMES
    outcome = _OUTCOMES.get(check.outcome, Outcome.FAILED if asked else Outcome.CANCELLED)
    failed = is_judged and outcome is Outcome.FAILED
    unjudged = "Soda found nothing to judge" if asked else "it could not be asked"
    count = check.measured.get(f"{check.type}_count")
    return Told(
        name=_name(check),
        outcome=outcome,
        severity="warn" if (asked and not is_judged) or "warn" in (check.outcome.lower(), check.level) else "error",
        failing=max(int(count or 0), 1) if failed else 0,
        message=_message(check, count) if failed else None if is_judged else unjudged,
        observed=str(check.value) if isinstance(check.value, int | float) else None,
        file=check.file,
        line=check.line,
        table=check.table,
        column=check.column,
    )


def _name(check: SodaCheck) -> str:
    """`tap_files.orders.note.missing.2` of `columns.note.checks.missing.2`, as our own checks are called."""
    kind = check.path.rpartition("checks.")[2]
    return ".".join(part for part in (check.table, check.column, kind) if part)


def _message(check: SodaCheck, count: float | None) -> str:
    limits = " and ".join(f"{key.replace('_', ' ')} {value}" for key, value in check.limits.items())
    if check.columns:
        return f"{check.table}: {', '.join(check.columns)}"
    return f"{_measured(check, count)}; {limits}" if limits else _measured(check, count)


def _measured(check: SodaCheck, count: float | None) -> str:
    value = check.value
    if count is not None and check.type in _FOUND:
        rows = check.measured.get("check_rows_tested") or check.measured.get("dataset_rows_tested")
        share = f" ({number(value)} %)" if isinstance(value, int | float) and value != count else ""
        return f"{number(count)}{f' of {number(rows)}' if rows else ''} {_FOUND[check.type]}{share}"
    if not isinstance(value, int | float):
        return check.name or check.type
    if check.type == "row_count":
        return f"{number(value)} rows"
    return f"{number(value)} hours old" if check.type == "freshness" else f"the value is {number(value)}"

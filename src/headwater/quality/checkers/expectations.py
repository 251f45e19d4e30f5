"""Expectations of Great Expectations in our words."""

from __future__ import annotations

from typing import Any

from headwater.model.event import Outcome
from headwater.quality.checkers.told import Expectation, Told, number

# Every other severity of theirs (`warning`, `info`) stops nothing.
_SEVERE = ("critical", "error")
_LONGEST = 100
_COLUMNS = ("column", "column_A", "column_B", "column_list", "column_set")


def told(expectation: Expectation) -> Told:
    is_severe = expectation.severity in _SEVERE
    failed = not expectation.success
    counted = expectation.measured.get("unexpected_count")
    observed = expectation.observed if expectation.observed is not None else counted
    columns = _columns(expectation.words)
    return Told(
        name=".".join((expectation.table, *columns, expectation.type)),
        outcome=Outcome.FAILED if failed else Outcome.SUCCESS,
        severity="error" if is_severe else "warn",
        failing=max(int(counted or 0), 1) if failed else 0,
        message=_message(expectation, counted) if failed else None,
        observed=None if observed is None else str(observed),
        file=expectation.file,
        table=expectation.table,
        column=columns[0] if columns else None,
        error=expectation.error,
    )


def _columns(words: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for key in _COLUMNS:
        given = words.get(key)
        found += [given] if isinstance(given, str) else [str(one) for one in given or ()]
    return found


def _message(expectation: Expectation, counted: float | None) -> str:
    if expectation.error is not None:
        return expectation.error
    given = {key: value for key, value in expectation.words.items() if key not in _COLUMNS}
    words = ", ".join(f"{key} {value}" for key, value in given.items())
    wanted = f"{expectation.type} ({words if len(words) <= _LONGEST else f'{words[:_LONGEST]}…'})"
    wanted = wanted if given else expectation.type
    if counted is not None:
        rows = expectation.measured.get("element_count")
        return f"{number(counted)}{f' of {number(rows)}' if rows else ''} values are not as {wanted}"
    if expectation.observed is not None:
        return f"{number(expectation.observed)} is not as {wanted}"
    return f"it is not as {wanted}"

"""What the drivers report, in one form for both tools: checks, and what kept checks from being asked."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base.errors import RunFailedError
from headwater.model.event import Checked, Outcome

_LONGEST = 300


class Told(Struct, frozen=True, kw_only=True):
    """A check that was run, or could not be. `file` and `line` say where it stands, `table` and `column` what it is
    about; `error` is what the tool raised instead of an answer."""

    name: str
    outcome: Outcome
    severity: str
    failing: int
    message: str | None
    observed: str | None
    file: str
    table: str
    line: int = 0
    column: str | None = None
    error: str | None = None

    @property
    def fails(self) -> bool:
        return self.outcome is Outcome.FAILED and self.severity == "error" and self.error is None

    def event(self, step: str, number: int = 1) -> Checked:
        """`number` tells checks of one name apart, in the order in which they were asked."""
        return Checked(
            step=step,
            check=self.name if number == 1 else f"{self.name} ({number})",
            outcome=self.outcome,
            severity=self.severity,
            failing=self.failing,
            message=self.message,
            observed=self.observed,
        )


class Trouble(Struct, frozen=True, kw_only=True):
    """What kept checks from being asked: `why` in the tool's words. `kind` is the driver's word for it, `name` and
    `known` belong to a name that nothing has."""

    kind: str
    why: str
    file: str | None = None
    error: str | None = None
    name: str | None = None
    known: tuple[str, ...] = ()


class Odd(Struct, frozen=True, kw_only=True):
    """What the tool takes another way than it is written: a key that it does not know."""

    file: str
    text: str


class SodaCheck(Struct, frozen=True, kw_only=True):
    """One check of a contract, as Soda 4 knows it."""

    file: str
    table: str
    path: str
    type: str
    name: str | None
    line: int
    outcome: str
    column: str | None = None
    level: str = "fail"
    limits: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    measured: dict[str, float] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


class Expectation(Struct, frozen=True, kw_only=True):
    """The result of one expectation of Great Expectations 1; `words` are what it was configured with."""

    file: str
    table: str
    suite: str
    type: str
    severity: str
    success: bool
    words: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    observed: float | None = None
    error: str | None = None


class _Line(Struct):
    check: msgspec.Raw = msgspec.Raw()
    trouble: Trouble | None = None
    warning: Odd | None = None


def decoded(line: bytes, form: type[SodaCheck | Expectation]) -> SodaCheck | Expectation | Trouble | Odd:
    """A line of a driver's report. Raises RunFailedError (`bad-report`): a check must not get lost."""
    try:
        found = msgspec.json.decode(line, type=_Line)
        return found.trouble or found.warning or msgspec.json.decode(found.check, type=form)
    except msgspec.MsgspecError as error:
        raise RunFailedError(
            "bad-report",
            "what the tool answers can't be read",
            why=f"{error}: {line[:_LONGEST].decode('utf-8', 'replace')}",
            hint="its packages may be newer than what is known here; headwater plugin list shows them",
        ) from error


def number(value: float) -> str:
    """`1,005`, `20.5`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"

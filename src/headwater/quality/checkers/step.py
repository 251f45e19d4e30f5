"""The step `soda:verify` or `great_expectations:checkpoint` of a run."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from headwater.base import process
from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.base.lease import lease
from headwater.base.process import Child
from headwater.model.event import Level, StreamFigures
from headwater.model.plan import Checker, Invoke
from headwater.quality.checkers import expectations, failure, soda
from headwater.quality.checkers.told import Expectation, Odd, SodaCheck, Told, Trouble, decoded
from headwater.run.lines import Lines, redactor
from headwater.run.runner import Run

_GRACE = 10.0
_TICK = 0.1
_HERE = Path(__file__).parent


def execute(step: Invoke, run: Run) -> tuple[StreamFigures, ...]:
    """Run the checks of a tool; each becomes an event, as our own do.

    All are asked, also behind one that fails. Raises what is wrong with a contract, a checkpoint or the connection
    (`bad-contract`, `unknown-table` and their like), then RunFailedError (`checks-failed`) when a check of severity
    `error` failed, `command-failed` when the tool ended without an answer.
    """
    assert step.checker is not None
    report = Report(step, run)
    with leased(step.checker, step.name, lambda text: run.tell(step.name, Level.INFO, text)):
        code, cause = _run(step, run, report)
    run.cancel.check()
    if code != 0:
        raise RunFailedError(
            "command-failed",
            f"`{step.name}` failed with exit code {code}",
            why=cause,
            hint=f"headwater invoke {step.name} shows all it says",
            program_code=code,
        )
    problems = [failure.of_trouble(step, trouble, report.checks) for trouble in report.troubles]
    for other in problems[1:]:
        run.tell(step.name, Level.ERROR, f"{f'{other.where}: ' if other.where else ''}{other.what}")
    if problems:
        raise problems[0]
    if not report.checks:
        run.tell(step.name, Level.WARNING, f"no checks in {step.checker.folder}")
    problem = failure.of_checks(step, report.checks)
    if problem is not None:
        raise problem
    return ()


class Report:
    """Takes the lines of a driver, from one thread: checks become events, each name only once."""

    def __init__(self, step: Invoke, run: Run) -> None:
        assert step.checker is not None
        self.checks: list[Told] = []
        self.troubles: list[Trouble] = []
        self._step = step
        self._run = run
        self._form = SodaCheck if step.checker.driver == "soda" else Expectation
        self._redact = redactor(step.block)
        self._names: dict[str, int] = {}

    def take(self, line: bytes) -> None:
        found = decoded(line, self._form)
        match found:
            case Trouble():
                self.troubles.append(replace(found, why=self._redact(found.why)))
            case Odd():
                where = failure.shown(found.file, Path(self._step.cwd))
                self._run.tell(self._step.name, Level.WARNING, f"{where}: {self._redact(found.text)}")
            case SodaCheck():
                asked = all(trouble.file != found.file for trouble in self.troubles)
                self._tell(soda.told(found, asked=asked))
            case Expectation():
                self._tell(expectations.told(found))

    def _tell(self, told: Told | None) -> None:
        if told is None:
            return
        told = replace(told, message=told.message and self._redact(told.message))
        self.checks.append(told)
        if told.error is not None:
            self.troubles.append(failure.of_error(told))
        number = self._names[told.name] = self._names.get(told.name, 0) + 1
        self._run.emit(told.event(self._step.name, number))


def argv(step_argv: tuple[str, ...], checker: Checker, *, report: bool) -> tuple[str, ...]:
    """The whole command line: the driver, where it looks, and the words of the command."""
    program, *words = step_argv
    driver = _HERE / f"{'soda' if checker.driver == 'soda' else 'gx'}_driver.py"
    places = (checker.folder,) if checker.driver == "soda" else (checker.folder, *(checker.files[:1] or ("",)))
    # Isolated: neither our modules nor those of the project's folder are the tool's.
    return (program, "-I", str(driver), *places, *(("--report",) if report else ()), *words)


@contextlib.contextmanager
def leased(checker: Checker, who: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Let nobody write to the DuckDB files meanwhile: the tool opens them on its own, and only reads.

    Raises EnvironmentProblemError (`warehouse-missing`)."""
    with contextlib.ExitStack() as held:
        for path in sorted(Path(file).resolve() for file in checker.files):
            if not path.exists():
                raise EnvironmentProblemError(
                    "warehouse-missing",
                    f"there is no warehouse at `{path}` yet",
                    hint="load something into it: headwater run",
                )

            def wait(holder: str, name: str = path.name) -> None:
                tell(f"waiting for {holder}, who uses {name}")

            held.enter_context(lease(path, exclusive=False, who=who, on_wait=wait))
        yield


def _run(step: Invoke, run: Run, report: Report) -> tuple[int, str | None]:
    assert step.checker is not None
    lines = Lines(step.name, step.block, run.emit)
    outlet, writer = process.pipe()
    try:
        try:
            child = Child(
                argv(step.argv, step.checker, report=True),
                name=step.block.name,
                env=step.block.env,
                cwd=step.cwd,
                stdout=writer,
                on_line=lines,
            )
        finally:
            os.close(writer)
        with run.cancel.watched(lambda: child.signal(signal.SIGTERM), lambda: child.signal(signal.SIGKILL)):
            try:
                _read(outlet, report, run)
                while child.wait(_TICK) is None and not run.cancel.is_set():
                    pass
            finally:
                code = child.terminate(_GRACE) if child.code is None else child.code
                lines.finish()
    finally:
        os.close(outlet)
    return code, lines.cause()


def _read(outlet: int, report: Report, run: Run) -> None:
    """Every line, until the end or a cancellation."""
    rest = b""
    while not run.cancel.is_set():
        if not process.is_readable(outlet, _TICK):
            continue
        data = os.read(outlet, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            report.take(line)

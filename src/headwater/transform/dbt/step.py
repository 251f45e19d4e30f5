"""The step `dbt:COMMAND` of a run."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from headwater.base import clock, process
from headwater.base.errors import EnvironmentProblemError
from headwater.base.lease import lease
from headwater.base.process import Child
from headwater.model.event import Level, Lineage, LineageNode, StreamFigures
from headwater.model.plan import Dbt, Invoke, Plan
from headwater.run.runner import Run
from headwater.transform.dbt import artifacts, failure, warm
from headwater.transform.dbt.report import VARIABLES, Report

_GRACE = 10.0
_TICK = 0.1
_FIRST_PACKAGES = ("deps", "clean", "init", "debug")


def executor() -> Callable[[Invoke, Run], tuple[StreamFigures, ...]]:
    """The executor of dbt's commands for the steps of one run: they share a warm worker."""
    commands = Commands()

    def execute(step: Invoke, run: Run) -> tuple[StreamFigures, ...]:
        goes_on = False
        try:
            figures = commands.execute(step, run)
            goes_on = _has_more(step, run.plan)
        finally:
            if not goes_on:
                commands.close()
        return figures

    return execute


class Commands:
    """Runs commands of dbt, one after the other, in a warm worker where that pays."""

    def __init__(self) -> None:
        self._worker: warm.Worker | None = None
        self._told: tuple[LineageNode, ...] = ()

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def execute(self, step: Invoke, run: Run) -> tuple[StreamFigures, ...]:
        """Run a command; every model and test becomes an event, and the project's lineage one.

        Raises RunFailedError (`dbt-failed`) naming what failed and what was left out for it, `command-failed`, and
        InputError for a project that dbt can't read (`dbt-project` and its like).
        """
        assert step.dbt is not None
        found = artifacts.places(step.argv, step.block.env, step.cwd)
        with leased(step.dbt, found.project, step.name, lambda text: run.tell(step.name, Level.INFO, text)):
            if _wants_packages(step, found.project):
                self._one(step, run, (step.argv[0], "deps"), found, more=True)
            self._one(step, run, step.argv, found, more=_has_more(step, run.plan))
        return ()

    def _one(self, step: Invoke, run: Run, argv: tuple[str, ...], found: artifacts.Places, *, more: bool) -> None:
        report = Report(step, run.emit)
        before = artifacts.stamp(found)
        code = self._run(step, run, argv, report, more=more)
        run.cancel.check()
        if artifacts.stamp(found) != before:  # else they are those of an earlier command
            for result in artifacts.results(found):
                report.tell(result)
        nodes = artifacts.lineage(found) if report.results else ()
        if nodes and nodes != self._told:
            self._told = nodes
            run.emit(Lineage(step=step.name, nodes=nodes))
        if code == 0:
            return
        problem = failure.of_nodes(step, report.results, nodes, found.project)
        if problem is not None:
            raise problem
        raise failure.of_project(step, report.ended or "\n".join(report.tail[-12:]), code, found)

    def _run(self, step: Invoke, run: Run, argv: tuple[str, ...], report: Report, *, more: bool) -> int:
        # Meltano's extension reads dbt's output itself and expects it as dbt writes it for people.
        extra = VARIABLES if Path(argv[0]).name == "dbt" else {}
        env = {**step.block.env, **{name: value for name, value in extra.items() if name not in step.block.env}}
        outlet, writer = process.pipe()
        try:
            try:
                command = self._start(step, run, argv, env, writer, report, more=more)
            finally:
                os.close(writer)
            # SIGINT, not TERM: dbt then cancels its queries at the server.
            with run.cancel.watched(lambda: command.signal(signal.SIGINT), lambda: command.signal(signal.SIGKILL)):
                try:
                    _read(outlet, report, run)
                    while command.wait(_TICK) is None and not run.cancel.is_set():
                        pass
                finally:
                    if command.code is None and run.cancel.is_set():
                        command.wait(_GRACE)
                    code = command.terminate(_GRACE) if command.code is None else command.code
        finally:
            os.close(outlet)
        return code

    def _start(
        self,
        step: Invoke,
        run: Run,
        argv: tuple[str, ...],
        env: dict[str, str],
        output: int,
        report: Report,
        *,
        more: bool,
    ) -> Child | warm.WarmCommand:
        worker = self._ready(step, more=more)
        if worker is not None:
            command = worker.command(argv[1:], env, cwd=step.cwd, output=output, cancel=run.cancel)
            if command is not None:
                return command
            self.close()
        words = warm.alone(argv) if warm.can_be_warm(step.block, argv[0]) else argv
        return Child(words, name=step.block.name, env=env, cwd=step.cwd, stdout=output, on_line=report.take)

    def _ready(self, step: Invoke, *, more: bool) -> warm.Worker | None:
        """The worker for this step; a new one only when another command will need it too."""
        assert step.dbt is not None
        program = step.argv[0]
        if self._worker is not None and self._worker.key != warm.key(step.block, program):
            self.close()
        if self._worker is None and more and warm.can_be_warm(step.block, program):
            with contextlib.suppress(EnvironmentProblemError):
                self._worker = warm.Worker(step.block, program, step.dbt.adapter)
        return self._worker


@contextlib.contextmanager
def leased(known: Dbt, project: Path, who: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the DuckDB files of a command for ourselves: dbt opens them on its own, and more than once."""
    with contextlib.ExitStack() as held:
        for path in sorted({(project / file).resolve() for file in known.files}):
            path.parent.mkdir(parents=True, exist_ok=True)

            def wait(holder: str, name: str = path.name) -> None:
                tell(f"waiting for {holder}, who uses {name}")

            held.enter_context(lease(path, exclusive=True, who=who, on_wait=wait))
        yield


def _wants_packages(step: Invoke, project: Path) -> bool:
    assert step.dbt is not None
    words = [word for word in step.argv[1:] if not word.startswith("-")]
    is_needless = not words or words[0] in _FIRST_PACKAGES or Path(step.argv[0]).name != "dbt"
    return step.dbt.packages and not is_needless and artifacts.lacks_packages(project)


def _has_more(step: Invoke, plan: Plan) -> bool:
    """Whether the run has another command for the same worker after this step."""
    after = plan.steps[next((n for n, other in enumerate(plan.steps) if other is step), len(plan.steps)) + 1 :]
    return any(isinstance(other, Invoke) and other.dbt and other.argv[0] == step.argv[0] for other in after)


def _read(outlet: int, report: Report, run: Run) -> None:
    """Every line, until the end or until a cancelled command has had its time."""
    rest = b""
    until: float | None = None
    while until is None or clock.monotonic() < until:
        if until is None and run.cancel.is_set():
            until = clock.monotonic() + _GRACE
        if not process.is_readable(outlet, _TICK):
            continue
        data = os.read(outlet, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            report.take(line.decode("utf-8", "replace").rstrip("\r"))
    if rest:
        report.take(rest.decode("utf-8", "replace"))

"""The lines of a log that programs look for in that of Meltano, beside our own, with their fields.

They are said in projects whose file is `meltano.yml`, where somebody may `grep` for them, and are kept nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.base import clock
from headwater.cli import words
from headwater.cli.settings import Settings
from headwater.model import event as e

if TYPE_CHECKING:
    from headwater.ops.workspace import Workspace

_BLAMED = {
    "extractor-failed": "Extractor failed",
    "loader-failed": "Loader failed",
    "mapper-failed": "Mappers failed",
    "timed-out": "Run timed out",
}
_SECTIONS = {"extractor-failed": "extractors", "loader-failed": "loaders", "mapper-failed": "mappers"}
# What our notices say there, by how they begin; `{}` is the rest of them.
_NOTICES = {
    "no state: extracting from the beginning": "No state was found, complete import.",
    "full refresh: the state is ignored": ("Performing full refresh, ignoring state left behind by any previous runs."),
    "starting from the state in `": "Found state in {}",
    "using the catalog in `": "Using custom catalog in {}",
    "using the catalog of the last discovery": "Using cached catalog file",
    "the run that began at ": "Marked stale run that started at {}",
}
_KILLED = " as failed: The process was likely killed unceremoniously."
_PLACES = {"systemdb": "Database", "file": "Local Filesystem", "s3": "AWS S3"}
_PLACES |= {"gs": "Google Cloud Storage", "azure": "Azure Blob Storage"}
_INSTALLS = {
    "started": "Installing {}",
    "installed": "Installed {}",
    "skipped": "Skipped installing {}. Requirements have not changed.",
    "failed": "Installation failed {}",
}


@contextmanager
def beside(
    hear: words.Hear, workspace: Workspace, settings: Settings, *, reads_state: bool = True
) -> Iterator[words.Hear]:
    """A listener that hears each event; in a project of Meltano's, off a live display, also the lines that belong to
    it. `reads_state` is false where a run was told what to start from."""
    from headwater.ops import planning

    if not workspace.project.is_meltanos or settings.log_format == "live":
        yield hear
        return
    plugins = {plugin.name: plugin.kind.value for plugin in workspace.project.plugins}
    speaker = _Speaker(plugins, planning.state_uri(workspace).partition(":")[0], reads_state=reads_state)

    def both(event: words.Heard) -> None:
        hear(event)
        for line in speaker.lines(event, clock.now()):
            hear(line)

    try:
        yield both
    finally:
        for line in speaker.installed():
            hear(line)


class _Speaker:
    """Needs every event: a line names the run and the place of its step in it."""

    def __init__(self, plugins: Mapping[str, str], state_scheme: str, *, reads_state: bool) -> None:
        self._reads_state = reads_state
        self._plugins = plugins
        self._state_scheme = state_scheme
        self._state_ids: dict[str, str] = {}
        self._run_id = ""
        self._steps: tuple[str, ...] = ()
        self._pipelines: set[str] = set()
        self._installs: Counter[str] = Counter()

    def lines(self, event: words.Heard, now: datetime) -> Iterator[words.Line]:
        match event:
            case e.RunStarted():
                self._run_id, self._steps = event.run_id, event.steps
                yield from self.installed()
                if event.environment:
                    yield _line(f"Environment '{event.environment}' is active")
            case e.StepStarted(road=str()):
                self._pipelines.add(event.step)
                if event.state_id is not None:
                    self._state_ids[event.step] = event.state_id
                    text = f"Running job with name '{event.state_id}' and run ID '{self._run_id}'"
                    yield _line(text, step=event.step)
                    yield from self._state_place(event.step)
            case e.Progress(phase="discovering"):
                yield _line("Running catalog discovery", step=event.step)
            case e.Notice():
                yield from _notice(event)
            case e.Install():
                self._installs[event.status] += event.status != "started"
                kind = self._plugins.get(event.plugin, "plugin")
                level = e.Level.ERROR if event.status == "failed" else e.Level.INFO
                yield _line(_INSTALLS[event.status].format(f"{kind} '{event.plugin}'"), level)
            case e.CheckpointSaved():
                yield _line(f"Incremental state has been updated at {now.astimezone(UTC)}.", step=event.step)
            case e.StepFinished():
                yield from self._finished(event)
            case e.RunFinished():
                status = "success" if event.outcome is e.Outcome.SUCCESS else "failure"
                yield _line("Run completed", duration_seconds=round(event.seconds, 3), status=status)

    def installed(self) -> Iterator[words.Line]:
        """How many plugins were installed since this was asked last, if there were several."""
        counts, self._installs = self._installs, Counter()
        if counts.total() < 2:
            return
        level = e.Level.WARNING if counts["failed"] else e.Level.INFO
        if counts["installed"] or counts["failed"]:
            yield _line(f"Installed {counts['installed']}/{counts.total()} plugins", level)
        if counts["skipped"]:
            yield _line(f"Skipped installing {counts['skipped']}/{counts.total()} plugins", level)

    def _finished(self, event: e.StepFinished) -> Iterator[words.Line]:
        level, error = e.Level.INFO, None
        if event.outcome is not e.Outcome.SUCCESS:
            level = e.Level.ERROR
            blamed = _BLAMED.get(event.problem.reference) if event.problem else None
            if blamed is not None:
                yield _line(blamed, level, step=event.step)
            if event.problem and event.problem.reference == "already-running":
                yield _line(f"Another '{self._state_ids.get(event.step)}' pipeline is already running", level)
            error = blamed or (event.problem.what if event.problem else str(event.outcome))
        yield _line(
            "Block run completed",
            level,
            step=event.step,
            set_number=self._steps.index(event.step) if event.step in self._steps else None,
            block_type="ExtractLoadBlocks" if event.step in self._pipelines else "InvokerCommand",
            success=error is None,
            err=error,
            **({} if error is None else {"exit_codes": _exit_codes(event.problem)}),
            duration_seconds=round(event.seconds, 3),
        )

    def _state_place(self, step: str) -> Iterator[words.Line]:
        if self._state_scheme == "systemdb":
            yield _line("Using systemdb state backend", step=step)
        place = _PLACES.get(self._state_scheme)
        if place is not None and self._reads_state:
            yield _line(f"Reading state from {place}", step=step)


def _notice(event: e.Notice) -> Iterator[words.Line]:
    for ours, theirs in _NOTICES.items():
        if event.text.startswith(ours):
            level = e.Level.WARNING if theirs.startswith("No state") else event.level
            rest = event.text.removeprefix(ours).replace(" was killed: it is marked failed", _KILLED).rstrip("`")
            yield _line(theirs.format(rest), level, step=event.step)


def _exit_codes(problem: e.Problem | None) -> dict[str, int]:
    """By kind of plugin; of pipelines only, as there."""
    if problem is None or problem.program_code is None or problem.reference not in _SECTIONS:
        return {}
    return {_SECTIONS[problem.reference]: problem.program_code}


def _line(text: str, level: e.Level = e.Level.INFO, **fields: Any) -> words.Line:
    return words.Line(level=level, who="headwater", text=text, fields=fields)

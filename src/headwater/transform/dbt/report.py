"""What dbt says while it works: its JSON log lines become events, and what they tell of each node is kept."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import msgspec

from headwater.model.event import Checked, Emit, Level, ModelBuilt, Outcome, PluginLine
from headwater.model.plan import Invoke
from headwater.run.lines import redactor
from headwater.transform.dbt.artifacts import Result, row_count

# Variables that make dbt tell us JSON lines with everything in them, and write its log file as ever; a command's own
# flags are stronger.
VARIABLES = {
    "DBT_LOG_FORMAT": "json",
    "DBT_LOG_FORMAT_FILE": "debug",
    "DBT_LOG_LEVEL": "debug",
    "DBT_USE_COLORS": "false",
}

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEVELS = {"info": Level.INFO, "warn": Level.WARNING, "warning": Level.WARNING, "error": Level.ERROR}
# Lines about single nodes, which are events of ours; and the line of the error that ended dbt.
_OF_NODES = re.compile(r"Log\w+(Result|Line|Error)|SkippingDetails|RunResult\w*")
_TRACE = "MainStackTrace"
_ENDED = ("MainEncounteredError", _TRACE, "DepsUnexpectedError")
_SHOWN = 8 << 10
_KEPT = 40
_OUTCOMES = {
    **dict.fromkeys(("success", "pass", "warn", "no-op", "reused"), Outcome.SUCCESS),
    **dict.fromkeys(("error", "fail", "runtime error", "partial success"), Outcome.FAILED),
    "skipped": Outcome.CANCELLED,
}
_CHECKS = ("test", "unit_test", "source")
# Kinds of nodes that run without making anything to speak of.
_SILENT = ("analysis", "exposure", "metric", "saved_query", "semantic_model", "operation")
# Commands that read nodes and neither make nor ask them: that went well is no news.
_ONLY_READ = ("compile", "docs", "parse", "list", "ls", "show")


class Report:
    """Takes the lines of one command, from one thread. `results` are the nodes told of so far by their key, `ended`
    is what dbt says of an error that ended it, `tail` the last lines."""

    def __init__(self, step: Invoke, emit: Emit) -> None:
        self.results: dict[str, Result] = {}
        self.ended: str | None = None
        self.tail: list[str] = []
        self._step = step
        self._emit = emit
        self._only_reads = any(word in _ONLY_READ for word in step.argv[1:2])
        self._redact = redactor(step.block)

    def take(self, line: str) -> None:
        """One line of output, JSON or not."""
        found = _decoded(line)
        if found is None:
            self._show(Level.INFO, line)
            return
        info = found.get("info") or found  # before dbt 1.4 all stood on one level
        name, level = str(info.get("name", "")), str(info.get("level", "info"))
        text = str(info.get("msg", ""))
        if name == "NodeFinished":
            self.tell(_result(found.get("data") or {}))
        if name in _ENDED:
            self.ended = self.ended or self._clean(str((found.get("data") or {}).get("exc") or text))
        if level in _LEVELS and text.strip() and not _OF_NODES.fullmatch(name):
            for part in text.splitlines():
                self._show(Level.DEBUG if name == _TRACE else _LEVELS[level], part)

    def tell(self, result: Result | None) -> None:
        """The event of a node that has come to its end; a second time it is not told."""
        if result is None or result.key in self.results:
            return
        result = msgspec.structs.replace(result, message=self._clean(result.message or "") or None)
        self.results[result.key] = result
        event = event_of(self._step.name, result)
        if event is not None and not (self._only_reads and event.outcome is Outcome.SUCCESS):
            self._emit(event)

    def _clean(self, text: str) -> str:
        return self._redact(_COLOUR.sub("", text)).strip()

    def _show(self, level: Level, text: str) -> None:
        clean = self._redact(_COLOUR.sub("", text)).rstrip()[:_SHOWN]
        if not clean:
            return
        self.tail = [*self.tail[-_KEPT + 1 :], clean]
        self._emit(PluginLine(step=self._step.name, plugin=self._step.block.name, level=level, text=clean, stdout=True))


def event_of(step: str, result: Result) -> ModelBuilt | Checked | None:
    """A node's end as an event: a test's is a check, that of a model, a seed or a snapshot something built."""
    outcome = _OUTCOMES.get(result.status)
    if outcome is None or result.type in _SILENT:
        return None
    message = result.message if outcome is not Outcome.SUCCESS or result.status == "warn" else None
    if outcome is Outcome.CANCELLED:
        message = message or "something that it needs failed"
    if result.type in _CHECKS:
        is_warning = result.status == "warn"
        return Checked(
            step=step,
            check=result.name,
            outcome=Outcome.FAILED if is_warning else outcome,
            severity="warn" if is_warning else "error",
            failing=result.failing,
            seconds=result.seconds,
            message=None if result.failing else message,  # which would only repeat the number
        )
    return ModelBuilt(
        step=step, model=result.name, outcome=outcome, rows=result.rows, seconds=result.seconds, message=message
    )


def _decoded(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) and ("info" in found or "msg" in found) else None


def _result(data: dict[str, Any]) -> Result | None:
    """From the data of the event `NodeFinished`."""
    node, run = data.get("node_info") or {}, data.get("run_result") or {}
    if not node.get("unique_id") or not run.get("status"):
        return None
    rows = (run.get("adapter_response") or {}).get("rows_affected")
    return Result(
        key=str(node["unique_id"]),
        name=str(node.get("node_name") or PurePath(str(node.get("node_path", ""))).stem),
        type=str(node.get("resource_type", "")),
        status=str(run["status"]).lower(),
        message=run.get("message"),
        seconds=float(run.get("execution_time") or 0.0),
        rows=row_count(rows),
        failing=int(run.get("num_failures") or 0),
    )

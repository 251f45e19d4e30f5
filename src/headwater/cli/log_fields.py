"""What a structured log line holds beside an event's own keys, under the names that Meltano's logs have made common."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.base import clock
from headwater.cli import words
from headwater.model import event as e


class Fields:
    """Needs every event: it remembers whose run it is and which steps are pipelines."""

    def __init__(self) -> None:
        self._run: dict[str, str] = {}
        self._state_ids: dict[str, str | None] = {}

    def record(self, event: words.Heard, line: words.Line) -> dict[str, Any]:
        """The line as data: when, how grave and what, whose it is, and all that the event holds."""
        body = {} if isinstance(event, words.Line) else msgspec.to_builtins(event)
        head = {"timestamp": clock.iso(clock.now()), "level": str(line.level), "event": line.text}
        return {**head, **self._run, **self._of_plugin(event), **line.fields, **body}

    def take(self, event: words.Heard) -> None:
        if isinstance(event, e.RunStarted):
            self._run = {"run_id": event.run_id}
        elif isinstance(event, e.StepStarted) and event.road is not None:
            self._state_ids[event.step] = event.state_id

    def _of_plugin(self, event: words.Heard) -> dict[str, Any]:
        if not isinstance(event, e.PluginLine):
            return {}
        found = {"name": event.plugin, "stdio": "stdout" if event.stdout else "stderr"}
        if event.step not in self._state_ids:
            return {**found, "cmd_type": "command"}
        return {**found, "cmd_type": "elb", "string_id": event.plugin, "job_name": self._state_ids[event.step]}

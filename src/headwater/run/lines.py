"""A plugin's stderr: its lines become events, without secrets, and give away what went wrong and what was counted."""

from __future__ import annotations

import contextlib
import re

import msgspec

from headwater.base import clock
from headwater.base.redact import Redactor
from headwater.model.event import Emit, Level, PluginLine
from headwater.model.plan import Block

LINES_PER_SECOND = 1000
_SHOWN = 8 << 10
_LEVELS = {
    "critical": Level.ERROR,
    "fatal": Level.ERROR,
    "error": Level.ERROR,
    "warning": Level.WARNING,
    "warn": Level.WARNING,
    "info": Level.INFO,
    "debug": Level.DEBUG,
}
_LEVEL = re.compile(r"\b(CRITICAL|FATAL|ERROR|WARNING|WARN|INFO|DEBUG)\b", re.IGNORECASE)
_METRIC = re.compile(r"METRIC: *(\{.*\})")


def redactor(block: Block) -> Redactor:
    """Takes the block's secrets out of a line; of a secret with several lines, each."""
    parts = {line.strip() for secret in block.secrets for line in secret.splitlines()}
    return Redactor((*block.secrets, *parts))


# Lines about an error that do not say what it is: a heading, and SQLAlchemy's pointer to its manual.
_NO_CAUSE = ("Traceback ", "(Background on this error")


class Lines:
    """Takes the stderr lines of one plugin, from one thread.

    `read` is what the plugin itself says it counted, by stream. More than a thousand lines a second are left out,
    with a line that says how many; they are counted and looked through all the same.
    """

    def __init__(self, step: str, block: Block, emit: Emit) -> None:
        self.read: dict[str, int] = {}
        self._step = step
        self._block = block
        self._emit = emit
        self._redact = redactor(block)
        self._last = ""
        self._last_error = ""
        self._in_traceback = False
        self._second = 0.0
        self._shown = 0
        self._left_out = 0

    def __call__(self, line: str) -> None:
        if not line.strip():
            return
        level, text = self._look(line)
        text = self._redact(text)[:_SHOWN]
        self._last = text
        if self._ends_traceback(line) or (level is Level.ERROR and not line.startswith(_NO_CAUSE)):
            self._last_error = text
        self._show(level, text)

    def finish(self) -> None:
        """All lines came."""
        self._tell_left_out()

    def cause(self) -> str | None:
        """The likeliest reason that the plugin gave for its end: its last error, else its last line."""
        return self._last_error or self._last or None

    def _look(self, line: str) -> tuple[Level, str]:
        if line.startswith("{"):
            try:
                fields = msgspec.json.decode(line)
            except msgspec.DecodeError:
                fields = None
            if isinstance(fields, dict):
                self._count(fields.get("metric_info"))
                text = fields.get("message") or fields.get("event") or fields.get("msg")
                return _LEVELS.get(str(fields.get("level")).lower(), Level.INFO), str(text) if text else line
        if "METRIC" in line and (match := _METRIC.search(line)):
            with contextlib.suppress(msgspec.DecodeError):
                self._count(msgspec.json.decode(match[1]))
        found = _LEVEL.search(line, 0, 120)
        return _LEVELS[found[1].lower()] if found else Level.INFO, line

    def _count(self, metric: object) -> None:
        """Singer's `record_count`: each line counts the records since the one before."""
        if not isinstance(metric, dict) or "record_count" not in (metric.get("metric"), metric.get("metric_name")):
            return
        tags = metric.get("tags")
        stream = (tags.get("stream") or tags.get("endpoint")) if isinstance(tags, dict) else None
        value = metric.get("value")
        if isinstance(stream, str) and isinstance(value, int):
            self.read[stream] = self.read.get(stream, 0) + value

    def _ends_traceback(self, line: str) -> bool:
        """Whether this is the line of a Python traceback that names the exception."""
        if line.startswith("Traceback (most recent call last)"):
            self._in_traceback = True
            return False
        if self._in_traceback and not line.startswith(" "):
            self._in_traceback = False
            return True
        return False

    def _show(self, level: Level, text: str) -> None:
        now = clock.monotonic()
        if now - self._second >= 1:
            self._tell_left_out()
            self._second, self._shown = now, 0
        self._shown += 1
        if self._shown > LINES_PER_SECOND:
            self._left_out += 1
            return
        self._emit(PluginLine(step=self._step, plugin=self._block.name, level=level, text=text))

    def _tell_left_out(self) -> None:
        if self._left_out:
            text = f"… {self._left_out} lines left out: more than {LINES_PER_SECOND} a second"
            self._emit(PluginLine(step=self._step, plugin=self._block.name, level=Level.WARNING, text=text))
            self._left_out = 0

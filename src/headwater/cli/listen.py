"""Listeners: what a run's events become on a terminal, in a line log, as JSON lines. They only read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import indent
from typing import TYPE_CHECKING, Any, Self, TextIO

from headwater.base import clock
from headwater.base.text import byte_size, duration
from headwater.cli import words
from headwater.cli.chart import cell, table
from headwater.cli.log_fields import Fields
from headwater.cli.log_spelling import json_text, pairs
from headwater.cli.output import note, unheard
from headwater.cli.pace import Pace
from headwater.cli.settings import LogFile, Settings
from headwater.model import event as e

if TYPE_CHECKING:  # costs 38 ms of start-up: only a live display pays for it
    from rich.console import Console, Group
    from rich.text import Text

    from headwater.cli.log_file import FileLog

_STREAMS_SHOWN = 12
_COLOURS = {e.Level.ERROR: "red", e.Level.WARNING: "yellow", e.Level.DEBUG: "dim"}


@contextmanager
def listening(settings: Settings, stream: TextIO | None = None) -> Iterator[words.Hear]:
    """A listener for these settings, writing to standard error (or `stream`). Safe to call from any thread. A run
    does not end because nobody reads of it any more."""
    out = stream or sys.stderr
    if settings.log_config is not None:
        with _as_the_file_says(settings.log_config) as log:
            if log is not None:
                settings.log_format = "json" if log.is_json else "plain"
                yield _one_at_a_time(log.show, out)
                return
    least = words.ORDER[settings.log_level]
    if settings.log_format in ("json", "key_value"):
        yield _one_at_a_time(Records(least, out, json_text if settings.log_format == "json" else pairs).show, out)
    elif settings.log_format == "live":
        from rich.console import Console  # as above

        with Live(least, Console(file=out, highlight=False)) as live:
            yield _one_at_a_time(live.show, out)
    else:
        yield _one_at_a_time(Plain(least, out).show, out)


@contextmanager
def _as_the_file_says(file: LogFile) -> Iterator[FileLog | None]:
    """None, and a note, when there is no such file."""
    if not file.path.is_file():
        note(f"there is no `{file.path}`: the log looks as without it")
        yield None
        return
    from headwater.cli.log_file import FileLog  # the few projects that have such a file pay for it

    log = FileLog(file, note)
    try:
        yield log
    finally:
        log.close()


def _one_at_a_time(write: words.Hear, out: TextIO) -> words.Hear:
    lock = threading.Lock()

    def emit(event: words.Heard) -> None:
        with lock, unheard(out):
            write(event)

    return emit


class Records:
    """A line an event, with all its fields, spelled by `spell`."""

    def __init__(self, least: int, out: TextIO, spell: Callable[[dict[str, Any]], str]) -> None:
        self._least = least
        self._out = out
        self._spell = spell
        self._fields = Fields()

    def show(self, event: words.Heard) -> None:
        self._fields.take(event)
        line = words.line(event)
        if line is None or words.ORDER[line.level] < self._least:
            return
        self._out.write(f"{self._spell(self._fields.record(event, line))}\n")
        self._out.flush()


class _Summaries:
    """The table of streams at the end of a step, and where to look at what was set aside. Needs every event: it
    remembers the steps' state ids and whose checkpoints were saved."""

    def __init__(self) -> None:
        self._saved: set[str] = set()
        self._state_ids: dict[str, str | None] = {}

    def take(self, event: words.Heard) -> str | None:
        if isinstance(event, e.CheckpointSaved):
            self._saved.add(event.step)
        if isinstance(event, e.StepStarted):
            self._state_ids[event.step] = event.state_id
        if not isinstance(event, e.StepFinished) or not event.streams:
            return None
        rows = words.summary(event.streams, saved=event.step in self._saved)
        text = table(words.SUMMARY_COLUMNS, rows, "lrrrrrrl")
        if any(figures.rejected for figures in event.streams):
            text += f"\nhint: {words.rejects_command(self._state_ids.get(event.step))}"
        return indent(text, "  ")


class Plain:
    """One line an event; progress at most every five seconds of `now`; a table of streams when a step ends."""

    def __init__(self, least: int, out: TextIO, now: Callable[[], float] = clock.monotonic) -> None:
        self._least = least
        self._out = out
        self._pace = Pace(now)
        self._summaries = _Summaries()

    def show(self, event: words.Heard) -> None:
        summary = self._summaries.take(event)
        if isinstance(event, e.Progress) and not self._pace.is_due(event.step):
            return
        line = words.line(event)
        if line is not None and words.ORDER[line.level] >= self._least:
            self._out.write(f"{words.dated(clock.iso(clock.now()), line)}\n")
        if summary is not None and self._least <= words.ORDER["info"]:
            self._out.write(f"{summary}\n")
        self._out.flush()


class Live:
    """A terminal: log lines scroll, what runs now stands below them and is drawn anew four times a second."""

    def __init__(self, least: int, console: Console) -> None:
        from rich.live import Live as RichLive  # as above

        self._least = least
        self._console = console
        self._running: e.Progress | None = None
        self._summaries = _Summaries()
        self._live = RichLive(console=console, refresh_per_second=4, transient=True, get_renderable=self._draw)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = None
        self._live.stop()

    def show(self, event: words.Heard) -> None:
        summary = self._summaries.take(event)
        if isinstance(event, e.Progress):
            self._running = event
            return
        if isinstance(event, e.StepFinished):
            self._running = None
            self._live.refresh()  # else the last figures would be drawn once more below each line
        line = words.line(event)
        if line is not None and words.ORDER[line.level] >= self._least:
            self._console.print(_styled(line), soft_wrap=True)
        if summary is not None and self._least <= words.ORDER["info"]:
            # Cut at the edge rather than wrapped: a table whose lines break can't be read at all.
            self._console.print(summary, markup=False, no_wrap=True, overflow="ellipsis", crop=True)

    def _draw(self) -> Group | Text:
        from rich.text import Text  # as above

        return Text("") if self._running is None else _progress(self._running)


def _progress(now: e.Progress) -> Group:
    from rich.console import Group  # as above
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False)
    drawn.add_column("stream", no_wrap=True, overflow="ellipsis", min_width=8)
    for name in ("rows", "rows/s", "speed", "elapsed"):
        drawn.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    for figures in now.streams[-_STREAMS_SHOWN:]:
        seconds = figures.seconds or now.seconds
        drawn.add_row(
            Text(figures.stream),
            cell(figures.read),
            cell(round((figures.read or 0) / seconds)) if seconds else "",
            f"{byte_size(figures.size / seconds)}/s" if figures.size and seconds else "",
            duration(seconds),
        )
    return Group(Text(words.progress(now), style="bold", no_wrap=True, overflow="ellipsis"), drawn)


def _styled(line: words.Line) -> Text:
    from rich.text import Text  # as above

    text = Text(f"{line.who:<12} ", style="cyan" if line.who == "headwater" else "magenta")
    text.append(line.text, style=_COLOURS.get(line.level, ""))
    return text

"""Listeners: what a run's events become on a terminal, in a line log, as JSON lines. They only read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import indent
from typing import Any, Self, TextIO

import msgspec

from headwater.base import clock
from headwater.base.text import byte_size, duration
from headwater.cli import words
from headwater.cli.chart import cell, table
from headwater.cli.settings import Settings
from headwater.model import event as e


@contextmanager
def listening(settings: Settings, stream: TextIO | None = None) -> Iterator[e.Emit]:
    """A listener for these settings, writing to standard error (or `stream`). Safe to call from any thread."""
    out = stream or sys.stderr
    least = words.ORDER[settings.log_level]
    lock = threading.Lock()

    def emit_with(write: Callable[[e.Event], None]) -> e.Emit:
        def emit(event: e.Event) -> None:
            with lock:
                write(event)

        return emit

    if settings.log_format == "json":
        yield emit_with(lambda event: _write_json(event, least, out))
    elif settings.log_format == "live":
        with _Live(least, out) as live:
            yield emit_with(live.show)
    else:
        yield emit_with(_Plain(least, out).show)


def _write_json(event: e.Event, least: int, out: TextIO) -> None:
    line = words.line(event)
    if line is None or words.ORDER[line.level] < least:
        return
    head = {"timestamp": clock.iso(clock.now()), "level": line.level, "event": line.text}
    body: dict[str, Any] = msgspec.to_builtins(event)
    out.write(msgspec.json.encode({**head, **body}).decode() + "\n")
    out.flush()


class _Plain:
    """One line an event; progress at most every five seconds; a table of streams when a step ends."""

    def __init__(self, least: int, out: TextIO) -> None:
        self._least = least
        self._out = out
        self._progress_at: dict[str, float] = {}

    def show(self, event: e.Event) -> None:
        if isinstance(event, e.Progress):
            last = self._progress_at.setdefault(event.step, clock.monotonic())
            if clock.monotonic() - last < 5:
                return
            self._progress_at[event.step] = clock.monotonic()
        line = words.line(event)
        if line is not None and words.ORDER[line.level] >= self._least:
            self._out.write(f"{clock.iso(clock.now())} [{line.level:<9}] {line.who:<12} {line.text}\n")
        if isinstance(event, e.StepFinished) and event.streams and self._least <= words.ORDER["info"]:
            self._out.write(_table(event.streams) + "\n")
        self._out.flush()


def _table(streams: tuple[e.StreamFigures, ...]) -> str:
    return indent(table(words.SUMMARY_COLUMNS, words.summary(streams), "lrrrrrrl"), "  ")


class _Live:
    """A terminal: log lines scroll, what runs now stands below them and is drawn anew four times a second."""

    def __init__(self, least: int, out: TextIO) -> None:
        # rich costs 38 ms of start-up: only a live display pays for it.
        from rich.console import Console
        from rich.live import Live

        self._least = least
        self._console = Console(file=out, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self._draw)
        self._now: e.Progress | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._now = None
        self._live.stop()

    def show(self, event: e.Event) -> None:
        if isinstance(event, e.Progress):
            self._now = event
            return
        if isinstance(event, e.StepFinished):
            self._now = None
        line = words.line(event)
        if line is not None and words.ORDER[line.level] >= self._least:
            self._console.print(_styled(line), soft_wrap=True)
        if isinstance(event, e.StepFinished) and event.streams:
            self._console.print(_table(event.streams), soft_wrap=True)

    def _draw(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        if self._now is None:
            return Text("")
        now = self._now
        table = Table(box=None, pad_edge=False, title=Text(words.progress(now), style="bold"), title_justify="left")
        table.add_column("stream")
        for name in ("rows", "rows/s", "MB/s", "elapsed"):
            table.add_column(name, justify="right")
        for figures in now.streams[-12:]:
            seconds = figures.seconds or now.seconds or 1
            table.add_row(
                figures.stream,
                cell(figures.read),
                cell(round((figures.read or 0) / seconds)),
                byte_size((figures.size or 0) / seconds),
                duration(figures.seconds or now.seconds),
            )
        return table


def _styled(line: words.Line) -> Any:
    from rich.text import Text

    colours = {e.Level.ERROR: "red", e.Level.WARNING: "yellow", e.Level.DEBUG: "dim"}
    text = Text(f"{line.who:<12} ", style="cyan" if line.who == "headwater" else "magenta")
    text.append(line.text, style=colours.get(line.level, ""))
    return text

"""What a person reads: notes, tables, JSON. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import click
import msgspec

from headwater.cli import chart


@contextlib.contextmanager
def unheard(stream: TextIO) -> Iterator[None]:
    """Around what is written to `stream`: when its reader went away (`headwater run … 2>&1 | head`), that is no error,
    and all that is said from then on goes nowhere."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """`FORCE_COLOR` and `NO_COLOR` decide, the first before the second; else a terminal that is not dumb has it."""
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def note(text: str) -> None:
    """A line beside the data."""
    with unheard(sys.stderr):
        click.echo(f"note: {text}", err=True)


def print_json(value: Any) -> None:
    """Any struct or plain value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str, align: str = "") -> None:
    """A table on stdout, cut at the edge of a terminal; `empty` is said on stderr when there are no rows.
    `align` as in `chart.table`."""
    if not rows:
        click.echo(empty, err=True)
        return
    text = chart.table(columns, rows, align)
    if sys.stdout.isatty():
        text = cut(text, shutil.get_terminal_size().columns)
    click.echo(text)


def cut(text: str, width: int) -> str:
    """Every line at most `width` characters; what is cut ends in `…`."""
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in text.splitlines())

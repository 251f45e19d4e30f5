"""What a person reads: errors, tables, JSON. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from headwater.base.errors import HeadwaterError
from headwater.cli.chart import table
from headwater.model.event import Problem


def print_error(error: HeadwaterError) -> None:
    """What, where, why and the next command; readable without colour."""
    click.echo(error_text(error, colour=sys.stderr.isatty()), err=True)


def print_problem(problem: Problem) -> None:
    """A problem that came with an event, as an error is printed."""
    click.echo(error_text(problem, colour=sys.stderr.isatty()), err=True)


def error_text(error: HeadwaterError | Problem, *, colour: bool = False) -> str:
    def paint(text: str, **style: Any) -> str:
        return click.style(text, **style) if colour else text

    where = f"{error.where}: " if error.where else ""
    lines = [f"{paint('error:', fg='red', bold=True)} {where}{error.what} {paint(f'[{error.reference}]', dim=True)}"]
    if error.why:
        lines += [f"  {line}" for line in error.why.rstrip("\n").splitlines()]
    if error.hint:
        lines.append(f"{paint('hint:', fg='cyan')} {error.hint}")
    return "\n".join(lines)


def print_json(value: Any) -> None:
    """Any struct or plain value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """A table on stdout; `empty` is said on stderr when there are no rows."""
    if not rows:
        click.echo(empty, err=True)
        return
    click.echo(table(columns, rows))

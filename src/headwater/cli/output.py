"""What a person reads: errors, tables, JSON. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from headwater.base.errors import HeadwaterError


def print_error(error: HeadwaterError) -> None:
    """What, where, why and the next command; readable without colour."""
    click.echo(error_text(error, colour=sys.stderr.isatty()), err=True)


def error_text(error: HeadwaterError, *, colour: bool = False) -> str:
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
    """Columns as wide as their widest cell; `empty` is said on stderr when there are no rows."""
    if not rows:
        click.echo(empty, err=True)
        return
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(len(columns[i]), *(len(row[i]) for row in cells)) for i in range(len(columns))]
    numeric = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    click.echo(line([name.upper() for name in columns]))
    for row in cells:
        click.echo(line(row))


def cell(value: Any) -> str:
    """A value in a table: numbers with thousands separators, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)

"""`headwater query`."""

from __future__ import annotations

from decimal import Decimal

import click

from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings


@click.command("query")
@click.argument("sql")
@click.option("--loader", help="Read the warehouse of this loader.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Show at most N rows.")
@JSON
@click.pass_obj
def command(settings: Settings, sql: str, loader: str | None, limit: int, as_json: bool) -> None:
    """Read the warehouse with SQL: a DuckDB file, or a PostgreSQL database. Nothing can be changed this way."""
    from headwater.ops import query

    def waiting(holder: str) -> None:
        click.echo(f"waiting for {holder}", err=True)

    answer = query.query(settings.workspace(), sql, loader=loader, limit=limit, on_wait=waiting)
    if as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
        return
    numeric = [
        all(isinstance(value, int | float | Decimal | None) for value in column)
        for column in zip(*answer.rows, strict=True)
    ]
    print_table(
        answer.columns,
        # As they are: rounding and separators would show another value than the one that stands there.
        [["" if value is None else str(value) for value in row] for row in answer.rows],
        empty="no rows",
        align="".join("r" if right else "l" for right in numeric),
    )
    if answer.cut:
        click.echo(f"only the first {limit:,} rows are shown; --limit shows more", err=True)

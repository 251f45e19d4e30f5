"""`headwater query`."""

from __future__ import annotations

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
    """Read the DuckDB warehouse with SQL. Nothing can be changed this way."""
    from headwater.ops import query

    def waiting(holder: str) -> None:
        click.echo(f"waiting for {holder}", err=True)

    answer = query.query(settings.workspace(), sql, loader=loader, limit=limit, on_wait=waiting)
    if as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
        return
    print_table(answer.columns, answer.rows, empty="no rows")
    if answer.cut:
        click.echo(f"only the first {limit:,} rows are shown; --limit shows more", err=True)

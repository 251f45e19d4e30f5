"""`headwater run`: pipelines, commands and jobs, one after the other."""

from __future__ import annotations

import click

from headwater.cli import starting
from headwater.cli.options import installing, running
from headwater.cli.output import print_json
from headwater.cli.settings import Settings


@click.command("run")
@click.argument("blocks", nargs=-1, metavar="BLOCK...")
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and start nothing.")
@running
@click.option("--stream", "streams", multiple=True, metavar="STREAM", help="As `--select`, for one stream.")
@click.option(
    "--no-state-update", is_flag=True, envvar="MELTANO_RUN_NO_STATE_UPDATE", help="Neither read nor write state."
)
@click.option("--state-id-suffix", envvar="MELTANO_RUN_STATE_ID_SUFFIX", help="Add this to the state id.")
@click.option("--continue", "resume", is_flag=True, help="Leave out what the last run of the same BLOCKs has done.")
@click.option(
    "--parallel",
    type=click.IntRange(min=1, max=64),
    default=1,
    envvar="HEADWATER_RUN_PARALLEL",
    help="Run up to N pipelines that follow each other at a time.",
)
@installing
@click.pass_obj
def command(
    settings: Settings,
    /,
    blocks: tuple[str, ...],
    dry_run: bool,
    install: str | None,
    streams: tuple[str, ...],
    select: tuple[str, ...],
    **options: object,
) -> int:
    """Run BLOCKS in order: `tap target`, `tap mapping target`, `plugin:command`, or the name of a job.

    An extractor, the mappers after it and the first loader form one pipeline. The first block that fails ends
    the run. `--full-refresh --stream orders` loads one stream anew and leaves the state of the others.
    """
    from headwater.ops import runs

    workspace = settings.workspace()
    request = runs.Request(blocks=blocks, select=(*select, *streams), **starting.given(options))
    if dry_run:
        plan = runs.describe(workspace, request)
        for number in range(1, len(plan["steps"]) + 1):
            click.echo(f"Dry run, but would have run block {number}/{len(plan['steps'])}.", err=True)
        print_json(plan)
        return 0
    return starting.start(settings, workspace, request, install)

"""`headwater run`: pipelines, commands and jobs, one after the other."""

from __future__ import annotations

import click

from headwater.cli import listen
from headwater.cli.output import print_error, print_json
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling


@click.command("run")
@click.argument("blocks", nargs=-1, metavar="BLOCK...")
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and start nothing.")
@click.option("--full-refresh", is_flag=True, envvar="MELTANO_RUN_FULL_REFRESH", help="Start from no state.")
@click.option("--refresh-catalog", is_flag=True, envvar="MELTANO_RUN_REFRESH_CATALOG", help="Discover anew.")
@click.option(
    "--no-state-update", is_flag=True, envvar="MELTANO_RUN_NO_STATE_UPDATE", help="Neither read nor write state."
)
@click.option("--force", "-f", is_flag=True, envvar="MELTANO_RUN_FORCE", help="Run beside a run of the same pipeline.")
@click.option("--state-id-suffix", envvar="MELTANO_RUN_STATE_ID_SUFFIX", help="Add this to the state id.")
@click.option(
    "--state-strategy",
    type=click.Choice(["auto", "merge", "overwrite"]),
    default="auto",
    envvar="MELTANO_RUN_STATE_STRATEGY",
    help="How a new state joins the old one.",
)
@click.option("--run-id", envvar="MELTANO_RUN_ID", help="Use this UUID for the run.")
@click.option("--timeout", type=click.FloatRange(min=1), envvar="MELTANO_RUN_TIMEOUT", help="Stop after N seconds.")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1, max=64),
    envvar="HEADWATER_RUN_JOBS",
    help="Read N streams of a native source at a time.",
)
@click.option("--install/--no-install", "install", default=None, help="Install what is missing first (the default).")
@click.pass_obj
def command(
    settings: Settings, /, blocks: tuple[str, ...], dry_run: bool, install: bool | None, **options: object
) -> int:
    """Run BLOCKS in order: `tap target`, `tap mapping target`, `plugin:command`, or the name of a job.

    An extractor, the mappers after it and the first loader form one pipeline. The first block that fails ends
    the run.
    """
    from headwater.ops import runs

    workspace = settings.workspace()
    request = runs.Request(blocks=blocks, **options)  # type: ignore[arg-type]  # click gives each option its type
    if dry_run:
        print_json(runs.describe(workspace, request))
        return 0
    with listen.listening(settings) as emit, cancelling() as cancel:
        result = runs.start(workspace, request, emit=emit, cancel=cancel, install=install)
    if result.problem is not None:
        print_error(result.problem, settings)
    return result.exit_code

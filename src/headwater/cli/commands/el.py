"""`headwater el` and `headwater elt`: one extractor into one loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from headwater.cli import starting
from headwater.cli.options import installing, running
from headwater.cli.output import print_json
from headwater.cli.settings import Settings

_DUMPABLE = ("catalog", "state", "extractor-config", "loader-config")


def _pipeline(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.argument("extractor", metavar="TAP"),
        click.argument("loader", metavar="TARGET"),
        click.option("--dry", "--dry-run", "dry_run", is_flag=True, help="Print the plan as JSON and start nothing."),
        running,
        click.option("--catalog", metavar="FILE", help="Use this catalog instead of discovery and selection rules."),
        click.option("--state", metavar="FILE", help="Start from the state in this file."),
        click.option("--state-id", metavar="ID", envvar="MELTANO_STATE_ID", help="Keep the state under this name."),
        click.option("--dump", type=click.Choice(_DUMPABLE), help="Print this file of the pipeline; start nothing."),
        installing,
        click.pass_obj,
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command("el")
@_pipeline
def command(settings: Settings, /, **options: Any) -> int:
    """Extract with TAP and load into TARGET.

    Without --state-id the state is kept under a name of this moment: the next run starts from the beginning.
    """
    return _run(settings, transform="skip", **options)


@click.command("elt")
@click.option(
    "--transform",
    type=click.Choice(["skip", "only", "run"]),
    default="skip",
    help="Whether dbt runs after it, or alone.",
)
@_pipeline
def with_transform(settings: Settings, /, **options: Any) -> int:
    """As `el`; with `--transform run` dbt's `clean`, `deps` and `run` come after it, with `only` alone.

    `run TAP TARGET dbt:run` says the same, and more.
    """
    return _run(settings, **options)


def _run(
    settings: Settings,
    *,
    extractor: str,
    loader: str,
    dry_run: bool,
    dump: str | None,
    install: str | None,
    **options: Any,
) -> int:
    from headwater.ops import el, runs

    workspace = settings.workspace()
    request = el.request(workspace, extractor, loader, **starting.given(options))
    if dump is not None:
        print_json(el.dump(workspace, request, dump))
        return 0
    if not options["state_id"]:
        click.echo(
            f"warning: no state id: the state is kept as `{request.state_id}`, and the next run starts from the "
            "beginning; to go on from it, name one: --state-id ID",
            err=True,
        )
    if dry_run:
        print_json(runs.describe(workspace, request))
        return 0
    return starting.start(settings, workspace, request, install)

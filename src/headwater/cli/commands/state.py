"""`headwater state`."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings


@click.group("state")
def command() -> None:
    """Where pipelines go on from. A state id is `ENVIRONMENT:TAP-to-TARGET[:SUFFIX]`."""


@command.command("list")
@click.option("--pattern", default="*", help="Only ids that match this glob.")
@JSON
@click.pass_obj
def list_(settings: Settings, pattern: str, as_json: bool) -> None:
    """The state ids."""
    from headwater.ops import states

    rows = states.listing(settings.workspace(default_environment=False), pattern, warn=_warn)
    if as_json:
        print_json([{"state_id": row.state_id, "updated_at": row.updated_at, "run_id": row.run_id} for row in rows])
        return
    print_table(
        ("state id", "updated at", "set by"),
        [(row.state_id, row.updated_at, "a person" if row.by_user else "a run") for row in rows],
        empty="no state yet: the first run of a pipeline starts from the beginning",
    )


@command.command("get")
@click.argument("state_id")
@click.option("--format", "form", type=click.Choice(["json", "pretty"]), default="json", help="One line or indented.")
@click.pass_obj
def get(settings: Settings, state_id: str, form: str) -> None:
    """Print a state."""
    from headwater.ops import states

    text = states.get(settings.workspace(default_environment=False), state_id, warn=_warn)
    if form == "pretty":
        import json

        text = json.dumps(json.loads(text), indent=2)
    click.echo(text)


@command.command("set")
@click.argument("state_id")
@click.argument("value", required=False)
@click.option("--input-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read it from a file.")
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def set_(settings: Settings, state_id: str, value: str | None, input_file: Path | None, force: bool) -> None:
    """Set a state to VALUE: `{"singer_state": {…}}` or the bare Singer state."""
    from headwater.ops import states

    if (value is None) == (input_file is None):
        raise click.UsageError("give the state as VALUE or with --input-file")
    text = input_file.read_text() if input_file is not None else value or ""
    if not force:
        click.confirm(f"overwrite the state of `{state_id}`?", abort=True)
    states.set_value(settings.workspace(default_environment=False), state_id, text)


@command.command("clear")
@click.argument("state_id")
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def clear(settings: Settings, state_id: str, force: bool) -> None:
    """Forget a state: the next run starts from the beginning."""
    from headwater.ops import states

    if not force:
        click.confirm(f"forget the state of `{state_id}`? the next run starts from the beginning", abort=True)
    states.clear(settings.workspace(default_environment=False), state_id)


@command.command("copy")
@click.argument("source")
@click.argument("destination")
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def copy(settings: Settings, source: str, destination: str, force: bool) -> None:
    """Copy a state to another id."""
    from headwater.ops import states

    if not force:
        click.confirm(f"overwrite the state of `{destination}`?", abort=True)
    states.copy(settings.workspace(default_environment=False), source, destination)


@command.command("move")
@click.argument("source")
@click.argument("destination")
@click.option("--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def move(settings: Settings, source: str, destination: str, force: bool) -> None:
    """Rename a state id."""
    from headwater.ops import states

    if not force:
        click.confirm(f"move the state of `{source}` to `{destination}`?", abort=True)
    states.move(settings.workspace(default_environment=False), source, destination)


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)

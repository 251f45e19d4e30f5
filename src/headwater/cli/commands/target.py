"""`headwater target`: a native destination as a Singer target."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from headwater.cli.settings import Settings


@click.command("target")
@click.argument("name", required=False)
@click.option(
    "--config", "-c", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The settings, as JSON."
)
@click.option("--pipeline", help="Keep the state with the data under this id.")
@click.option("--about", is_flag=True, help="Print the settings it understands, as JSON.")
@click.option("--list", "list_", is_flag=True, help="List the native destinations.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON.")
@click.pass_obj
def command(
    settings: Settings,
    name: str | None,
    config: Path | None,
    pipeline: str | None,
    about: bool,
    list_: bool,
    as_json: bool,
) -> None:
    """Run the native destination NAME as a Singer target: messages on standard input, states on standard output.

    A state is printed after all data before it is durable, never earlier.
    """
    from headwater.base.memory import keep_freed

    keep_freed(one_heap=name != "duckdb")
    from headwater.cli.output import print_json
    from headwater.cli.signals import interruptible
    from headwater.ops import connectors

    if list_:
        names = connectors.destinations()
        if as_json:
            print_json(names)
        else:
            click.echo("\n".join(names))
        return
    if name is None:
        raise click.UsageError("missing the name of a destination; --list shows them")
    if about:
        print_json(connectors.about(name, "loader"))
        return
    with interruptible():
        connectors.target(
            name,
            config=config,
            pipeline=pipeline,
            folder=settings.folder(),
            messages=sys.stdin.buffer,
            out=sys.stdout.buffer,
        )

"""`headwater tap`: a native source as a Singer tap."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from headwater.cli.settings import Settings

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("tap")
@click.argument("name", required=False)
@click.option("--config", "-c", type=FILE, help="The settings, as JSON.")
@click.option("--discover", "-d", is_flag=True, help="Print the catalog.")
@click.option("--catalog", type=FILE, help="What to extract; everything when not given.")
@click.option("--properties", type=FILE, help="The older name of --catalog.")
@click.option("--state", "-s", type=FILE, help="Where to go on from.")
@click.option("--about", is_flag=True, help="Print the settings it understands, as JSON.")
@click.option("--list", "list_", is_flag=True, help="List the native sources.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON.")
@click.pass_obj
def command(
    settings: Settings,
    name: str | None,
    config: Path | None,
    discover: bool,
    catalog: Path | None,
    properties: Path | None,
    state: Path | None,
    about: bool,
    list_: bool,
    as_json: bool,
) -> None:
    """Run the native source NAME as a Singer tap: messages on standard output, logs on standard error."""
    from headwater.cli.output import print_json
    from headwater.ops import connectors

    if list_:
        names = connectors.sources()
        if as_json:
            print_json(names)
        else:
            click.echo("\n".join(names))
        return
    if name is None:
        raise click.UsageError("missing the name of a source; --list shows them")
    if about:
        print_json(connectors.about(name, "extractor"))
        return
    connectors.tap(
        name,
        config=config,
        discover=discover,
        catalog=catalog or properties,
        state=state,
        folder=settings.folder(),
        out=sys.stdout.buffer,
    )

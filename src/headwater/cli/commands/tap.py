"""`headwater tap`: sources as Singer taps, new ones, and the suite that tests them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from headwater.cli.lazy import LazyGroup
from headwater.cli.settings import Settings

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_HERE = "headwater.cli.commands"


class _Tap(LazyGroup):
    """`tap NAME` is `tap run NAME`: any first word that is no command of ours."""

    default = "run"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.table and args[0] not in ("-h", "--help"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


command = _Tap(
    "tap",
    table={
        "run": (f"{_HERE}.tap:run", "Run a source as a Singer tap; `run` may be left out"),
        "new": (f"{_HERE}.tap_new", "Write a source of your own"),
        "test": (f"{_HERE}.tap_test", "Test an extractor against the contract"),
    },
    help="Run a source as a Singer tap (`headwater tap NAME …`), write one, test one.",
    subcommand_metavar="NAME|COMMAND [ARGS]...",
)


@click.command("run")
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
def run(
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
    """Run NAME as a Singer tap: messages on standard output, logs on standard error.

    NAME is a native source, or an extractor of the project that runs natively; that one has its settings.
    """
    from headwater.base.memory import keep_freed

    keep_freed()
    from headwater.cli import listen
    from headwater.cli.output import print_json
    from headwater.cli.signals import interruptible
    from headwater.ops import connectors, workspace

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
    folder = settings.folder()
    if name in connectors.sources() or workspace.root(folder, workspace.environment_variables()) is None:
        with interruptible():
            connectors.tap(
                name,
                config=config,
                discover=discover,
                catalog=catalog or properties,
                state=state,
                folder=folder,
                out=sys.stdout.buffer,
            )
        return
    project = settings.complete_workspace()
    with listen.listening(settings) as emit, interruptible():
        connectors.plugin_tap(
            project,
            name,
            config=config,
            discover=discover,
            catalog=catalog or properties,
            state=state,
            out=sys.stdout.buffer,
            emit=emit,
            on_line=lambda text: click.echo(text, err=True),
        )

"""`headwater config`."""

from __future__ import annotations

import click

from headwater.cli import listen
from headwater.cli.options import JSON, PLUGIN_KIND
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling
from headwater.model.plugin import PluginKind


@click.group("config")
def command() -> None:
    """Settings: what a plugin understands, what it gets, where that comes from."""


@command.command("list")
@click.argument("plugin")
@PLUGIN_KIND
@click.option("--extras", is_flag=True, help="The settings that Headwater itself reads (`_select`, …).")
@click.option("--all", "show_all", is_flag=True, help="Also settings that nobody has set.")
@click.option("--filter", "text", default="", help="Only settings whose name holds this.")
@click.option("--unsafe", is_flag=True, help="Show secrets.")
@JSON
@click.pass_obj
def list_(
    settings: Settings,
    plugin: str,
    kind: PluginKind | None,
    extras: bool,
    show_all: bool,
    text: str,
    unsafe: bool,
    as_json: bool,
) -> None:
    """A plugin's settings with their values, where each comes from, and the weaker values it shadows."""
    from headwater.ops import settings as ops

    listed = ops.listing(settings.workspace(), plugin, kind, extras=extras)
    values = [value for value in listed.values if text in value.name]
    shown = values if show_all or as_json else [value for value in values if ops.is_noteworthy(value, listed)]
    if as_json:
        print_json([ops.as_json(value, unsafe=unsafe) for value in shown])
        return
    print_table(
        ("setting", "value", "from", "shadows", "variable"),
        [
            (
                value.name + ("*" if value.name in listed.missing else ""),
                ops.shown(value, unsafe=unsafe),
                value.source,
                ", ".join(weaker.source for weaker in value.shadowed),
                ops.variable(listed.plugin, value),
            )
            for value in shown
        ],
        empty=f"`{plugin}` has no settings that are set or required",
    )
    if hidden := len(values) - len(shown):
        click.echo(f"{hidden} optional settings with default values are hidden: --all shows them", err=True)
    if listed.missing:
        click.echo(f"* required and missing; next: headwater config set {plugin} {listed.missing[0]} VALUE", err=True)


@command.command("print")
@click.argument("plugin")
@PLUGIN_KIND
@click.option("--format", "form", type=click.Choice(["json", "env"]), default="json", help="JSON or VAR='value' lines.")
@click.option("--extras", is_flag=True, help="The settings that Headwater itself reads.")
@click.option("--unsafe", is_flag=True, help="Show secrets.")
@click.pass_obj
def print_(settings: Settings, plugin: str, kind: PluginKind | None, form: str, extras: bool, unsafe: bool) -> None:
    """The configuration a plugin gets."""
    from headwater.ops import settings as ops

    workspace = settings.workspace()
    if form == "json":
        print_json(ops.effective(workspace, plugin, kind, extras=extras, unsafe=unsafe))
        return
    for name, value in ops.variables(workspace, plugin, kind, extras=extras, unsafe=unsafe).items():
        quoted = value.replace("'", "'\\''")
        click.echo(f"{name}='{quoted}'")


@command.command("set")
@click.argument("plugin")
@click.argument("name", nargs=-1, required=True)
@click.argument("value")
@PLUGIN_KIND
@click.option(
    "--store",
    type=click.Choice(["auto", "dotenv", "project", "meltano-yml", "db"]),
    default="auto",
    help="Where to keep it: secrets go to .env, others to the project file.",
)
@click.pass_obj
def set_(
    settings: Settings, plugin: str, name: tuple[str, ...], value: str, kind: PluginKind | None, store: str
) -> None:
    """Set NAME of PLUGIN to VALUE (JSON, or else text). Several NAMEs are a path into nested settings.

    With `headwater --environment ENV config set …` it is set in that environment only. PLUGIN `headwater` is the
    project itself.
    """
    from headwater.ops import settings as ops

    changed = ops.set_value(settings.workspace(default_environment=False), plugin, kind, name, value, store=store)
    click.echo(f"set `{'.'.join(name)}` of `{plugin}` in {changed.place}")
    if changed.outdone_by is not None:
        click.echo(f"warning: {changed.outdone_by} says otherwise and is stronger", err=True)
    if changed.perhaps is not None:
        known = f"its definition knows `{changed.perhaps}`"
        click.echo(f"warning: `{'.'.join(name)}` is passed on as it is, but {known}", err=True)


@command.command("unset")
@click.argument("plugin")
@click.argument("name", nargs=-1, required=True)
@PLUGIN_KIND
@click.pass_obj
def unset(settings: Settings, plugin: str, name: tuple[str, ...], kind: PluginKind | None) -> None:
    """Remove NAME from the project file and from .env."""
    from headwater.ops import settings as ops

    for place in ops.unset(settings.workspace(default_environment=False), plugin, kind, name):
        click.echo(f"removed `{'.'.join(name)}` of `{plugin}` from {place}")


@command.command("reset")
@click.argument("plugin")
@PLUGIN_KIND
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(settings: Settings, plugin: str, kind: PluginKind | None, yes: bool) -> None:
    """Remove all settings of PLUGIN from the project file and from .env."""
    from headwater.ops import settings as ops

    if not yes:
        click.confirm(f"remove every setting of `{plugin}`?", abort=True)
    ops.reset(settings.workspace(default_environment=False), plugin, kind)
    click.echo(f"reset `{plugin}`")


@command.command("test")
@click.argument("plugin")
@PLUGIN_KIND
@click.option("--write", is_flag=True, help="Of a Singer loader: load one row, into the stream `headwater_test`.")
@JSON
@click.pass_obj
def test(settings: Settings, plugin: str, kind: PluginKind | None, write: bool, as_json: bool) -> None:
    """Try the settings of PLUGIN: start it, and stop an extractor at its first record.

    A loader is only opened or started. No run is recorded and no state changed.
    """
    from headwater.ops import trying

    with listen.listening(settings) as emit, cancelling() as cancel:
        trial = trying.attempt(settings.workspace(), plugin, kind, emit=emit, cancel=cancel, write_row=write)
    if as_json:
        print_json(trial)
    else:
        click.echo(f"{trial.kind} `{trial.plugin}` works: {trial.seen}")

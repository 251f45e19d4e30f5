"""`headwater config`."""

from __future__ import annotations

from typing import Any, TextIO

import click

from headwater.base.text import did_you_mean
from headwater.cli import listen
from headwater.cli.commands.config_words import ConfigGroup
from headwater.cli.options import JSON, PLUGIN_KIND, installing
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling
from headwater.model.plugin import PluginKind

STORE = click.option(
    "--store",
    type=click.Choice(["auto", "dotenv", "project", "meltano-yml", "meltano_yml", "db"]),
    default="auto",
    help="Where it is kept; `auto` for `set`: secrets in .env, others in the project file; else everywhere.",
)


@click.group("config", cls=ConfigGroup)
@click.option("--safe/--unsafe", default=True, help="Mask secrets (the default), or show them.")
@click.pass_context
def command(context: click.Context, safe: bool) -> None:
    """Settings: what a plugin understands, what it gets, where that comes from."""
    if not safe:
        context.default_map = {"list": {"unsafe": True}, "print": {"unsafe": True}}


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

    listed = ops.listing(settings.complete_workspace(), plugin, kind, extras=extras)
    wanted = text.strip().lower()
    values = [value for value in listed.values if wanted in value.name.lower()]
    shown = values if show_all or as_json or wanted else [value for value in values if ops.is_noteworthy(value, listed)]
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

    workspace = settings.complete_workspace()
    if form == "json":
        print_json(ops.effective(workspace, plugin, kind, extras=extras, unsafe=unsafe))
        return
    for name, value in ops.variables(workspace, plugin, kind, extras=extras, unsafe=unsafe).items():
        quoted = value.replace("'", "'\\''")
        click.echo(f"{name}='{quoted}'")


@command.command("set")
@click.argument("words", nargs=-1, metavar="[PLUGIN] [NAME]... [VALUE]")
@PLUGIN_KIND
@STORE
@click.option("--from-file", type=click.File("r"), help="Take VALUE from this file, `-` for standard input.")
@click.option("--interactive", is_flag=True, help="Ask for the settings of PLUGIN one by one.")
@click.pass_obj
def set_(
    settings: Settings,
    words: tuple[str, ...],
    kind: PluginKind | None,
    store: str,
    from_file: TextIO | None,
    interactive: bool,
) -> None:
    """Set NAME of PLUGIN to VALUE (JSON, or else text). Several NAMEs are a path into nested settings.

    With `headwater --environment ENV config set …` it is set in that environment only. PLUGIN `headwater` is the
    project itself. With PLUGIN alone, or without any word, it asks.
    """
    plugin, *rest = words or (click.prompt("plugin"),)
    if from_file is not None:
        rest.append(from_file.read().strip())
    if interactive or not rest:
        _ask(settings, plugin, rest[0] if rest else None, kind, store)
    elif len(rest) == 1:
        raise click.UsageError(f"`{rest[0]}` of `{plugin}` needs a value")
    else:
        _set(settings, plugin, kind, tuple(rest[:-1]), rest[-1], store)


def _ask(settings: Settings, plugin: str, only: str | None, kind: PluginKind | None, store: str) -> None:
    """Asks for each setting of a plugin; an empty answer leaves it as it is."""
    from headwater.ops import settings as ops

    listed = ops.listing(settings.complete_workspace(default_environment=False), plugin, kind)
    values = [value for value in listed.values if only in (None, value.name)]
    if not values:
        click.echo(f"`{plugin}` has no settings to ask for", err=True)
    for value in values:
        if value.setting is not None and value.setting.description:
            click.echo(value.setting.description)
        known = ops.shown(value)
        question = f"{value.name}{' *' if value.name in listed.missing else ''}{f' [{known}]' if known else ''}"
        answer = click.prompt(question, default="", show_default=False, hide_input=value.secret)
        if answer:
            _set(settings, plugin, kind, (value.name,), answer, store)


def _set(
    settings: Settings, plugin: str, kind: PluginKind | None, name: tuple[str, ...], value: Any, store: str
) -> None:
    from headwater.ops import settings as ops

    changed = ops.set_value(
        settings.complete_workspace(default_environment=False), plugin, kind, name, value, store=store
    )
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
@STORE
@click.pass_obj
def unset(settings: Settings, plugin: str, name: tuple[str, ...], kind: PluginKind | None, store: str) -> None:
    """Remove NAME from the project file, from .env and from the system database."""
    from headwater.ops import settings as ops

    workspace = settings.complete_workspace(default_environment=False)
    places = ops.unset(workspace, plugin, kind, name, store=store)
    for place in places:
        click.echo(f"removed `{'.'.join(name)}` of `{plugin}` from {place}")
    if not places:
        known = ops.names(workspace, plugin, kind)
        guess = did_you_mean(".".join(name), [item for item in known if item != ".".join(name)])
        meant = f"; did you mean `{guess}`?" if guess and ".".join(name) not in known else ""
        click.echo(f"`{'.'.join(name)}` of `{plugin}` is not set{meant}", err=True)


@command.command("reset")
@click.argument("plugin")
@PLUGIN_KIND
@STORE
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(settings: Settings, plugin: str, kind: PluginKind | None, yes: bool, store: str) -> int:
    """Remove all settings of PLUGIN from the project file, from .env and from the system database."""
    from headwater.ops import settings as ops

    if not yes and not click.confirm(f"remove every setting of `{plugin}`?"):
        click.echo("nothing was changed", err=True)
        return 1
    ops.reset(settings.complete_workspace(default_environment=False), plugin, kind, store=store)
    click.echo(f"reset `{plugin}`")
    return 0


@command.command("test")
@click.argument("plugin")
@PLUGIN_KIND
@click.option("--write", is_flag=True, help="Of a Singer loader: load one row, into the stream `headwater_test`.")
@JSON
@installing
@click.pass_obj
def test(
    settings: Settings, plugin: str, kind: PluginKind | None, write: bool, as_json: bool, install: str | None
) -> None:
    """Try the settings of PLUGIN: start it, and stop an extractor at its first record.

    A loader is only opened or started. No run is recorded and no state changed.
    """
    from headwater.ops import plugins, trying

    workspace = settings.complete_workspace()
    with listen.listening(settings) as emit, cancelling() as cancel:
        if install == "only":
            plugins.install(workspace, [plugin], kind=kind, emit=emit)
            return
        trial = trying.attempt(workspace, plugin, kind, emit=emit, cancel=cancel, write_row=write, install=install)
    if as_json:
        print_json(trial)
    else:
        click.echo(f"{trial.kind} `{trial.plugin}` works: {trial.seen}")

"""`headwater hub …`."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path

import click

from headwater.base.errors import InputError
from headwater.cli.options import PLUGIN_KIND
from headwater.cli.output import note, print_json, print_table
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind
from headwater.ops.workspace import Workspace


@click.group("hub")
def command() -> None:
    """Ask the hub for plugins, or make one."""


@command.command("ping")
@click.pass_obj
def ping(settings: Settings) -> None:
    """Whether the hub that the settings name answers."""
    from headwater.ops import hub as ops

    click.echo(f"the hub at {ops.ping(_workspace(settings))} answers")


@command.command("list")
@click.argument("pattern", default="")
@PLUGIN_KIND
@click.option("--all", "all_variants", is_flag=True, help="Every variant, not only the default one of each plugin.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print them.")
@click.option("--json", "form", flag_value="json", help="As `--format json`.")
@click.option("--refresh", is_flag=True, help="Ask the hub, though its index is kept for an hour.")
@click.option("--offline", is_flag=True, help="Ask no hub: what it said before and the bundled index must do.")
@click.pass_obj
def list_(
    settings: Settings,
    pattern: str,
    kind: PluginKind | None,
    all_variants: bool,
    form: str,
    refresh: bool,
    offline: bool,
) -> None:
    """Plugins that `headwater add` can take: of the hub, of this program, of its index.

    PATTERN is looked for in names and variants.
    """
    from headwater.ops import hub as ops

    sources = ops.Sources.of(_workspace(settings), note=note, offline=offline)
    rows = ops.matching(sources.offered(kind, refresh=refresh), pattern)
    shown = [row for row in rows if all_variants or row.default]
    click.echo(_summary(len(shown), len(rows) - len(shown), pattern, all_variants), err=True)
    if form == "json":
        print_json(shown)
        return
    several = Counter((row.type, row.name) for row in shown)
    table = [
        (row.type, row.name, row.variant + (" (default)" if row.default and several[row.type, row.name] > 1 else ""))
        for row in shown
    ]
    if table:
        print_table(("type", "name", "variant"), table, empty="")


_FROM = click.option(
    "--from",
    "places",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="A definition, or a folder of YAML, JSON or lock files; may be repeated. Else the project's locks.",
)


@command.command("build")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--url", required=True, help="The address at which DIR will stand.")
@_FROM
@click.option("--bundled", is_flag=True, help="The plugins of the bundled index, too.")
@click.pass_obj
def build(settings: Settings, folder: Path, url: str, places: tuple[Path, ...], bundled: bool) -> None:
    """Write a hub into DIR, for any web server.

    What `hub_url` must then say is printed. Pages of plugins that are gone are removed.
    """
    from headwater.ops import hub as ops

    shelf = ops.shelf(places or _locks(settings, bundled=bundled), bundled=bundled)
    address = ops.write(shelf, folder, url)
    click.echo(f"wrote {_definitions(len(shelf))} into {folder}; as soon as {address} serves it:")
    click.echo(f"headwater config set meltano hub_url {address}")


@command.command("serve")
@click.argument("folder", type=click.Path(path_type=Path, exists=True), metavar="DIR")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8060, show_default=True, help="0 takes a free one.")
@click.option("--url", help="The address that others reach it by, when it stands behind another server.")
def serve(folder: Path, host: str, port: int, url: str | None) -> None:
    """Serve the definitions in DIR as a hub, until Ctrl-C.

    DIR holds YAML, JSON or lock files, or what `headwater hub build` wrote. Changes are seen at once.
    """
    from headwater.ops import hub_server

    definitions = hub_server.Definitions((folder,), note)
    with hub_server.server(definitions, host=host, port=port, url=url) as server:
        address = url or f"http://{host}:{server.server_port}"
        count = len(definitions.shelf())
        click.echo(f"{_definitions(count)}; use {'it' if count == 1 else 'them'}: MELTANO_HUB_URL={address}")
        sys.stdout.flush()  # whoever started it through a pipe waits for this line
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _definitions(count: int) -> str:
    return f"{count} definition{'' if count == 1 else 's'}"


def _locks(settings: Settings, *, bundled: bool) -> tuple[Path, ...]:
    """Whoever asks for the bundled index needs no project, and no lock files in it."""
    if not bundled:
        return (settings.workspace().root / "plugins",)
    workspace = _workspace(settings)
    folder = workspace.root / "plugins" if workspace else None
    return (folder,) if folder and folder.is_dir() else ()


def _summary(shown: int, hidden: int, pattern: str, all_variants: bool) -> str:
    noun = "plugin variant" if all_variants else "plugin"
    text = f"{shown} {noun}{'' if shown == 1 else 's'}"
    if pattern:
        text += f" {'matches' if shown == 1 else 'match'} `{pattern}`"
        if hidden:
            text += f" ({hidden} variant{'' if hidden == 1 else 's'} hidden: --all shows them)"
    return text


def _workspace(settings: Settings) -> Workspace | None:
    """None outside of a project: the hub can be asked from anywhere."""
    try:
        return settings.workspace()
    except InputError as error:
        if error.reference != "no-project":
            raise
        return None

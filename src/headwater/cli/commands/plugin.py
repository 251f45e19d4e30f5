"""`headwater plugin list`, `headwater plugin hub`."""

from __future__ import annotations

import click

from headwater.cli.options import JSON, PLUGIN_KIND
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind


@click.group("plugin")
def command() -> None:
    """List the project's plugins and those of the hub."""


@command.command("list")
@JSON
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="`json`: Meltano's shape.")
@click.pass_obj
def list_(settings: Settings, as_json: bool, form: str) -> None:
    """The project's plugins."""
    from headwater.ops import plugins as ops

    rows = ops.listing(settings.workspace(default_environment=False))
    if form == "json":
        print_json([ops.as_meltano_lists_it(row) for row in rows])
        return
    if as_json:
        print_json(rows)
        return
    print_table(
        ("kind", "name", "variant", "inherits from", "installed", "package"),
        [(row.kind, row.name, row.variant, row.inherit_from, row.installed, row.pip_url) for row in rows],
        empty="the project has no plugins; next: headwater add tap-files target-duckdb",
    )


@command.command("hub")
@click.argument("pattern", default="*")
@PLUGIN_KIND
@JSON
def hub(pattern: str, kind: PluginKind | None, as_json: bool) -> None:
    """Plugins that `headwater add` knows, by name (PATTERN may hold `*`)."""
    from headwater.ops import plugins as ops

    rows = ops.hub(pattern, kind)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("kind", "name", "variant", "runs", "package", "description"),
        [(row.kind, row.name, row.variant, row.runs, row.pip_url, row.description) for row in rows],
        empty=f"no plugin matches `{pattern}`",
    )

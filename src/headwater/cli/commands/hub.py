"""`headwater hub`."""

from __future__ import annotations

import click

from headwater.cli.options import PLUGIN_KIND
from headwater.cli.output import print_json, print_table
from headwater.model.plugin import PluginKind


@click.group("hub")
def command() -> None:
    """The plugins that `headwater add` knows. They come with the program; nothing is asked of a network."""


@command.command("ping")
def ping() -> None:
    """Say that the index is here."""
    from headwater.ops import definitions

    click.echo(f"the index comes with headwater: {len(definitions.names())} plugins, no network needed")


@command.command("list")
@click.argument("pattern", default="")
@PLUGIN_KIND
@click.option("--all", "every_variant", is_flag=True, help="Every variant, not the default one alone.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="A table or JSON.")
@click.option("--refresh", is_flag=True, hidden=True, help="The index is as new as the program.")
def list_(pattern: str, kind: PluginKind | None, every_variant: bool, form: str, refresh: bool) -> None:  # noqa: ARG001 - see its help
    """Plugins whose name or variant holds PATTERN. `headwater plugin hub` tells more of each."""
    from headwater.ops import definitions

    rows = definitions.variants_listed(pattern, kind)
    shown = [row for row in rows if every_variant or row.default]
    if form == "json":
        print_json(shown)
    else:
        print_table(
            ("type", "name", "variant"),
            [(row.type, row.name, row.variant) for row in shown],
            empty=f"no plugin matches `{pattern}`",
        )
    if pattern and (hidden := len(rows) - len(shown)):
        click.echo(f"{hidden} more variants match: --all shows them", err=True)

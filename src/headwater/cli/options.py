"""Options that several commands share."""

from __future__ import annotations

import click

from headwater.model.plugin import PluginKind


def _kind(_context: click.Context, _parameter: click.Parameter, value: str | None) -> PluginKind | None:
    if value is None:
        return None
    by_name = {kind.value: kind for kind in PluginKind} | {kind.section: kind for kind in PluginKind}
    if value not in by_name:
        raise click.BadParameter(f"`{value}` is none of: {', '.join(kind.value for kind in PluginKind)}")
    return by_name[value]


PLUGIN_KIND = click.option("--plugin-type", "kind", callback=_kind, metavar="KIND", help="The plugin's kind.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

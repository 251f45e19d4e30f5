"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from headwater.model.plugin import PluginKind

Command = Callable[..., Any]


def _kind(_context: click.Context, _parameter: click.Parameter, value: str | None) -> PluginKind | None:
    if value is None:
        return None
    by_name = {kind.value: kind for kind in PluginKind} | {kind.section: kind for kind in PluginKind}
    by_name |= dict.fromkeys(("mapping", "mappings"), PluginKind.MAPPER)  # a kind of their own in Meltano
    if value not in by_name:
        raise click.BadParameter(f"`{value}` is none of: {', '.join(kind.value for kind in PluginKind)}")
    return by_name[value]


PLUGIN_KIND = click.option("--plugin-type", "kind", callback=_kind, metavar="KIND", help="The plugin's kind.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def installing(function: Command) -> Command:
    """`--install`, `--no-install` and `--only-install`: the parameter `install` is one of `yes`, `no`, `only`, or None
    for what the project's setting `auto_install` says."""
    shown = {
        "yes": "Install what is missing first (the default).",
        "no": "Install nothing.",
        "only": "Install, then end.",
    }
    names = {"yes": "--install", "no": "--no-install", "only": "--only-install"}
    for value in reversed(names):
        function = click.option(names[value], "install", flag_value=value, default=None, help=shown[value])(function)
    return function


def running(function: Command) -> Command:
    """The options that `run`, `el` and `elt` share."""
    for option in reversed(_RUNNING):
        function = option(function)
    return function


_RUNNING = (
    click.option("--full-refresh", is_flag=True, envvar="MELTANO_RUN_FULL_REFRESH", help="Start from no state."),
    click.option("--refresh-catalog", is_flag=True, envvar="MELTANO_RUN_REFRESH_CATALOG", help="Discover anew."),
    click.option("--select", "-s", multiple=True, metavar="STREAM", help="Only these streams; globs are fine."),
    click.option("--exclude", "-e", multiple=True, metavar="STREAM", help="Not these streams."),
    click.option(
        "--force", "-f", is_flag=True, envvar="MELTANO_RUN_FORCE", help="Run beside a run of the same pipeline."
    ),
    click.option(
        "--state-strategy",
        type=click.Choice(["auto", "merge", "overwrite"]),
        default="auto",
        envvar="MELTANO_RUN_STATE_STRATEGY",
        help="How a new state joins the old one.",
    ),
    click.option("--merge-state", is_flag=True, hidden=True, help="As `--state-strategy merge`."),
    click.option("--run-id", type=click.UUID, envvar="MELTANO_RUN_ID", help="Use this UUID for the run."),
    click.option("--timeout", type=click.FloatRange(min=1), envvar="MELTANO_RUN_TIMEOUT", help="Stop after N seconds."),
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        envvar="HEADWATER_RUN_RETRIES",
        help="Do a step that fails again, up to N times.",
    ),
    click.option(
        "--retry-seconds",
        type=click.FloatRange(min=0),
        default=2.0,
        show_default=True,
        help="Wait about so long before the first retry, then twice as long each time.",
    ),
    click.option(
        "--jobs",
        "-j",
        type=click.IntRange(min=1, max=64),
        envvar="HEADWATER_RUN_JOBS",
        help="Read N streams of a native source at a time.",
    ),
)

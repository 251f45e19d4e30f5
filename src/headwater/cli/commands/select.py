"""`headwater select`."""

from __future__ import annotations

import click

from headwater.cli import listen
from headwater.cli.options import JSON, installing
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings


@click.command("select")
@click.argument("extractor")
@click.argument("stream", required=False)
@click.argument("properties", nargs=-1, metavar="[PROPERTY...]")
@click.option("--list", "list_", is_flag=True, help="Show what is selected.")
@click.option("--all", "show_all", is_flag=True, help="With --list: also what is not selected.")
@JSON
@click.option("--exclude", is_flag=True, help="Add a pattern that leaves out what it matches.")
@click.option("--rm", "--remove", "remove", is_flag=True, help="Remove the pattern.")
@click.option("--clear", is_flag=True, help="Remove all patterns.")
@click.option(
    "--samples", is_flag=True, help="Read up to 1,000 rows of each selected stream, or of STREAM, and show them."
)
@click.option("--interactive", is_flag=True, help="Choose streams and properties from a list.")
@click.option("--refresh-catalog", is_flag=True, help="Discover anew.")
@installing
@click.pass_obj
def command(
    settings: Settings,
    extractor: str,
    stream: str | None,
    properties: tuple[str, ...],
    list_: bool,
    show_all: bool,
    as_json: bool,
    exclude: bool,
    remove: bool,
    clear: bool,
    samples: bool,
    interactive: bool,
    refresh_catalog: bool,
    install: str | None,
) -> None:
    """Choose what EXTRACTOR extracts: add the pattern STREAM.PROPERTY (`*` matches any name), or list.

    Excluding patterns always win over including ones.
    """
    if samples or interactive:
        from headwater.cli.commands import select_choices

        if interactive:
            select_choices.choose(settings, extractor, install=install)
        else:
            select_choices.show_samples(settings, extractor, stream, as_json=as_json, install=install)
        return
    from headwater.ops import selection

    # What is listed is what a run would extract; what is changed is the project, unless -e names an environment.
    workspace = settings.complete_workspace(default_environment=list_ or as_json or show_all)
    if install == "only":
        with listen.listening(settings) as emit:
            selection.install(workspace, extractor, emit=emit)
        return
    if clear:
        selection.clear(workspace, extractor)
        return
    if list_ or as_json or show_all:
        with listen.listening(settings) as emit:
            listed = selection.listing(workspace, extractor, refresh=refresh_catalog, emit=emit, install=install)
        rows = [row for row in listed.streams if show_all or row.selection in ("selected", "automatic")]
        if as_json:
            rows = sorted(rows, key=lambda row: (row.stream, row.property))
            print_json({"enabled_patterns": listed.patterns, "streams": rows})
            return
        click.echo("patterns: " + ", ".join(listed.patterns))
        print_table(
            ("stream", "property", "selection"),
            [(row.stream, row.property, row.selection) for row in rows],
            empty=f"nothing of `{extractor}` is selected; next: headwater select {extractor} '*' '*'",
        )
        return
    pattern = ".".join([stream or "*", *(properties or ("*",))])
    pattern = f"!{pattern}" if exclude else pattern
    if remove:
        selection.remove(workspace, extractor, pattern)
    else:
        selection.add(workspace, extractor, pattern)
    click.echo("patterns: " + ", ".join(selection.patterns(workspace.again(), extractor)))

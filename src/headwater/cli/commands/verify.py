"""`headwater verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headwater.cli import listen
from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.problems import print_error
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling

if TYPE_CHECKING:
    from headwater.ops.verify import Verdict


@click.command("verify")
@click.argument("extractor", metavar="EXTRACTOR")
@click.argument("loader", metavar="LOADER")
@click.option("--stream", "streams", multiple=True, help="Only this stream; a pattern such as `shop-*` will do.")
@click.option(
    "--sample", type=click.IntRange(min=0), default=20, show_default=True, help="Name up to N rows of each stream."
)
@click.option("--values", is_flag=True, help="Show the values that differ. They may be personal data.")
@click.option("--counts", is_flag=True, help="Compare numbers of rows only.")
@click.option("--state-id", help="The pipeline was run with this state id.")
@JSON
@click.pass_obj
def command(
    settings: Settings,
    extractor: str,
    loader: str,
    streams: tuple[str, ...],
    sample: int,
    values: bool,
    counts: bool,
    state_id: str | None,
    as_json: bool,
) -> int:
    """Compare what was loaded with its source, down to the rows that differ.

    Both databases are asked for checksums in their own SQL; only rows of parts that differ are fetched, their keys and
    digests. Streams with a replication key are compared up to where the last run came. Ends with exit code 1 when a
    stream differs.
    """
    from headwater.ops import verify

    workspace = settings.workspace()
    wanted = verify.Wanted(streams=streams, sample=sample, values=values, counts=counts)
    with listen.listening(settings) as emit, cancelling() as cancel:
        answer = verify.compare(workspace, extractor, loader, wanted, state_id=state_id, emit=emit, cancel=cancel)
    if as_json:
        print_json({"run_id": answer.result.run_id, "streams": answer.verdicts})
    elif answer.verdicts:
        _show(answer.verdicts)
    if answer.result.problem is not None:
        print_error(answer.result.problem, settings)
    return answer.result.exit_code


def _show(verdicts: tuple[Verdict, ...]) -> None:
    print_table(
        ("stream", "source", "destination", "missing", "extra", "differing", "later", "verdict"),
        [
            (
                verdict.stream,
                verdict.compared.source_rows,
                verdict.compared.destination_rows,
                verdict.compared.missing,
                verdict.compared.extra,
                verdict.compared.differing,
                verdict.compared.later,
                "equal"
                if not verdict.differences
                else "differs"
                if verdict.compared.is_complete
                else "differs, and more",
            )
            for verdict in verdicts
        ],
        empty="nothing is selected",
    )
    rows = [row for verdict in verdicts for row in _rows(verdict)]
    if rows:
        click.echo()
        print_table(("stream", "row", "is", "columns"), rows, empty="")
    for verdict in verdicts:
        for text in (*(f"not compared: {text}" for text in verdict.left_out), *verdict.remarks):
            click.echo(f"{verdict.stream}: {text}", err=True)


def _verdict(verdict: Verdict) -> str:
    if not verdict.differences:
        return "equal"
    return "differs" if verdict.compared.is_complete else "differs, and more"


def _rows(verdict: Verdict) -> list[tuple[object, ...]]:
    from headwater.ops.verify import named_key

    found: list[tuple[object, ...]] = []
    for row in verdict.compared.rows:
        columns = [
            changed.column
            if changed.source is None and changed.destination is None
            else f"{changed.column}: {_text(changed.source)} → {_text(changed.destination)}"
            for changed in row.columns
        ]
        found.append((verdict.stream, named_key(verdict.keys, row.key), row.what, ", ".join(columns)))
    return found


def _text(text: str | None) -> str:
    return "null" if text is None else repr(text)

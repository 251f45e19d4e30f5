"""`headwater rejects`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from headwater.cli import listen
from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.problems import print_error
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling

_PIPELINE = click.argument("blocks", nargs=-1, metavar="[PIPELINE]...")
_STATE_ID = click.option("--state-id", help="Only those of the pipeline with this state id.")
_STREAM = click.option("--stream", help="Only those of this stream.")
_RUN = click.option("--run", help="Only those of this run; its first characters do.")


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (_RUN, _STREAM, _STATE_ID, _PIPELINE):
        command = option(command)
    return command


@click.group("rejects")
def command() -> None:
    """Records that could not be loaded and were set aside (`_on_bad_record: quarantine`).

    PIPELINE is what `headwater run` is given: `TAP TARGET`, or the name of a job.
    """


@command.command("list")
@_filters
@click.option("--limit", "-l", type=click.IntRange(min=1), default=20, show_default=True, help="Show N records.")
@JSON
@click.pass_obj
def list_(settings: Settings, /, limit: int, as_json: bool, **wanted: Any) -> None:
    """What is set aside: how much of each run and stream, and the newest records."""
    from headwater.ops import rejects

    found = rejects.listing(settings.workspace(), rejects.Wanted(**wanted), limit=limit, on_wait=_waiting)
    if as_json:
        print_json(found)
        return
    print_table(
        ("run", "stream", "rejects", "set aside at", "pipeline"),
        [(one.run_id, one.stream, one.count, one.rejected_at, one.state_id) for one in found.left],
        empty="nothing is set aside",
    )
    if not found.left:
        return
    click.echo()
    print_table(
        ("id", "stream", "key", "reason", "record"),
        [(one.id, one.stream, one.key, _line(one.reason), _line(one.record)) for one in found.rejects],
        empty="",
    )
    if found.count > len(found.rejects):
        click.echo(f"only the newest {len(found.rejects):,} of {found.count:,} are shown; --limit shows more", err=True)


@command.command("show")
@click.argument("reject_id", metavar="ID")
@JSON
@click.pass_obj
def show(settings: Settings, reject_id: str, as_json: bool) -> None:
    """One record, why it was set aside, and where it came from. ID may be cut to its first characters."""
    from headwater.ops import rejects

    found = rejects.show(settings.workspace(), rejects.Wanted(id=reject_id), on_wait=_waiting)
    if as_json:
        print_json(found)
        return
    for name, value in (
        ("id", found.id),
        ("stream", found.stream),
        ("key", found.key or ""),
        ("reason", found.reason),
        ("pipeline", found.state_id or ""),
        ("loader", found.loader),
        ("run", f"{found.run_id}, commit {found.commit}"),
        ("set aside at", found.rejected_at),
    ):
        click.echo(f"{name:<12}  {value}")
    click.echo(f"\n{found.record}")


@command.command("replay")
@_filters
@click.option("--id", help="Only this one; its first characters do.")
@click.pass_obj
def replay(settings: Settings, /, **wanted: Any) -> int:
    """Load records again that were set aside, by the load method of their pipeline.

    Those that can be loaded now leave the quarantine in the same transaction; the others stay, with the new reason. A
    row that was loaded since is never overwritten by an older record.
    """
    from headwater.ops import rejects

    workspace = settings.workspace()
    with listen.listening(settings) as emit, cancelling() as cancel:
        result = rejects.run_again(workspace, rejects.Wanted(**wanted), emit=emit, cancel=cancel, on_wait=_waiting)
    if result is None:
        click.echo("nothing is set aside", err=True)
        return 0
    if result.problem is not None:
        print_error(result.problem, settings)
    return result.exit_code


@command.command("drop")
@_filters
@click.option("--id", help="Only this one; its first characters do.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(settings: Settings, /, yes: bool, **wanted: Any) -> None:
    """Forget records that were set aside, for ever. Without any choice: all of them."""
    from headwater.ops import rejects

    workspace, chosen = settings.workspace(), rejects.Wanted(**wanted)
    count = rejects.count(workspace, chosen, on_wait=_waiting)
    if not count:
        click.echo("nothing is set aside", err=True)
        return
    if not yes:
        click.confirm(f"forget {count:,} rejected record{'s' if count > 1 else ''} for ever?", abort=True)
    dropped = rejects.drop(workspace, chosen, on_wait=_waiting)
    click.echo(f"{dropped:,} rejected record{'s' if dropped != 1 else ''} forgotten", err=True)


def _waiting(holder: str) -> None:
    click.echo(f"waiting for {holder}", err=True)


def _line(text: str) -> str:
    """A text in one line of a table."""
    return " ".join(text.split())

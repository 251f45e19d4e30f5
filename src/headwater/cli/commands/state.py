"""`headwater state`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from headwater.base.errors import InputError
from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings

if TYPE_CHECKING:
    from headwater.ops.workspace import Workspace
    from headwater.store.states import Listed


@click.group("state")
def command() -> None:
    """Where pipelines go on from. A state id is `ENVIRONMENT:TAP-to-TARGET[:SUFFIX]`."""


_FORCE = click.option("--force", is_flag=True, help="Do not ask.")
_FILE = click.option(
    "--input-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read it from a file."
)


@command.command("list")
@click.option("--pattern", default="*", help="Only ids that match this glob.")
@JSON
@click.pass_obj
def list_(settings: Settings, pattern: str, as_json: bool) -> None:
    """The state ids: a table on a terminal, one a line elsewhere."""
    from headwater.ops import states

    rows = states.listing(_workspace(settings), pattern, warn=_warn)
    if as_json:
        print_json([_as_json(row) for row in rows])
    elif sys.stdout.isatty() or not rows:
        print_table(
            ("state id", "state", "updated at", "set by"),
            [(row.state_id, _verdict(row), *_origin(row)) for row in rows],
            empty="no state yet: the first run of a pipeline starts from the beginning",
        )
    else:
        click.echo("\n".join(row.state_id for row in rows))


@command.command("get")
@click.argument("state_id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "pretty"], case_sensitive=False),
    default="json",
    help="One line or indented.",
)
@click.pass_obj
def get(settings: Settings, state_id: str, form: str) -> None:
    """Print a state, `{}` when there is none."""
    from headwater.ops import states

    click.echo(_formatted(states.get(_workspace(settings), state_id, warn=_warn), form))


@command.command("set")
@click.argument("state_id")
@click.argument("value", required=False)
@_FILE
@_FORCE
@click.option("--no-validate", is_flag=True, help="Keep any JSON object; one without `singer_state` is not used.")
@click.pass_obj
def set_(
    settings: Settings, state_id: str, value: str | None, input_file: Path | None, no_validate: bool, force: bool
) -> None:
    """Set a state to VALUE: `{"singer_state": {…}}`."""
    from headwater.ops import states

    if (value is None) == (input_file is None):
        raise InputError("bad-usage", "give the state as VALUE or with --input-file", hint="headwater state set --help")
    text = input_file.read_text() if input_file is not None else value or ""
    _confirm(f"overwrite the state of `{state_id}`?", force)
    states.set_value(_workspace(settings), state_id, text, validate=not no_validate)
    _say(f"state of `{state_id}` set")


@command.command("merge")
@click.argument("state_id")
@click.argument("value", required=False)
@_FILE
@click.option("--from-state-id", metavar="ID", help="Take that of another id.")
@click.pass_obj
def merge(
    settings: Settings, state_id: str, value: str | None, input_file: Path | None, from_state_id: str | None
) -> None:
    """Add VALUE to a state: objects are merged at every depth, all else is replaced."""
    from headwater.ops import states

    if sum(given is not None for given in (value, input_file, from_state_id)) != 1:
        raise click.UsageError("give the state as VALUE, with --input-file or with --from-state-id")
    text = input_file.read_text() if input_file is not None else value
    states.merge(_workspace(settings), state_id, text=text, source=from_state_id)
    _say(f"state of `{state_id}` merged")


@command.command("edit")
@click.argument("state_id")
@_FORCE
@click.pass_obj
def edit(settings: Settings, state_id: str, force: bool) -> None:
    """Edit a state with `$VISUAL` or `$EDITOR`. It is kept when it is valid and has not changed meanwhile."""
    from headwater.ops import states

    _confirm(f"overwrite the state of `{state_id}`?", force)
    workspace = _workspace(settings)
    before = states.get(workspace, state_id, warn=_warn)
    shown = _formatted(before, "pretty")
    after = click.edit(shown, extension=".json")
    if after is None or not after.strip() or after.strip() == shown.strip():
        _say("nothing changed")
        return
    states.replace(workspace, state_id, after, instead_of=before)
    _say(f"state of `{state_id}` set")


@command.command("clear")
@click.argument("state_id", required=False)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@_FORCE
@click.pass_obj
def clear(settings: Settings, state_id: str | None, everything: bool, force: bool) -> None:
    """Forget a state: the next run starts from the beginning."""
    from headwater.ops import states

    if (state_id is not None) == everything:
        raise click.UsageError("give a state id or --all")
    what = "all states" if everything else f"the state of `{state_id}`"
    _confirm(f"forget {what}? the next run starts from the beginning", force)
    workspace = _workspace(settings)
    if state_id is None:
        count = states.clear_all(workspace)
        _say(f"{count} state{'' if count == 1 else 's'} forgotten")
    elif states.clear(workspace, state_id):
        _say(f"state of `{state_id}` forgotten")
    else:
        _say(f"there was no state `{state_id}`")


@command.command("copy")
@click.argument("source")
@click.argument("destination")
@_FORCE
@click.pass_obj
def copy(settings: Settings, source: str, destination: str, force: bool) -> None:
    """Copy a state to another id."""
    from headwater.ops import states

    _confirm(f"overwrite the state of `{destination}`?", force)
    states.copy(_workspace(settings), source, destination)
    _say(f"state of `{source}` copied to `{destination}`")


@command.command("move")
@click.argument("source")
@click.argument("destination")
@_FORCE
@click.pass_obj
def move(settings: Settings, source: str, destination: str, force: bool) -> None:
    """Rename a state id."""
    from headwater.ops import states

    _confirm(f"move the state of `{source}` to `{destination}`?", force)
    states.move(_workspace(settings), source, destination)
    _say(f"state of `{source}` moved to `{destination}`")


@command.command("history")
@click.argument("state_id")
@JSON
@click.pass_obj
def history(settings: Settings, state_id: str, as_json: bool) -> None:
    """The states of an id that are kept, newest first: the one that stands is 0, the one before it 1."""
    import msgspec

    from headwater.ops import states
    from headwater.store.states import Listed, shown

    rows = [Listed(state_id, state) for state in states.history(_workspace(settings), state_id)]
    if as_json:
        print_json(
            [
                {"back": back, **_as_json(row), "value": msgspec.Raw(shown(row.state).encode())}
                for back, row in enumerate(rows)
            ]
        )
        return
    print_table(
        ("back", "state", "updated at", "set by", "run"),
        [
            (str(back), _verdict(row), *_origin(row), (row.state and row.state.run_id) or "")
            for back, row in enumerate(rows)
        ],
        empty=f"no state of `{state_id}` is kept; next: headwater state list",
    )


@command.command("restore")
@click.argument("state_id")
@click.argument("back", type=click.IntRange(min=1), default=1)
@_FORCE
@click.pass_obj
def restore(settings: Settings, state_id: str, back: int, force: bool) -> None:
    """Set the state that stood before, or BACK before that, as `history` numbers them. What stands is kept, too."""
    from headwater.ops import states

    _confirm(f"overwrite the state of `{state_id}`?", force)
    state = states.restore(_workspace(settings), state_id, back)
    _say(f"state of `{state_id}` set to that of {state.updated_at or 'before'}")


@command.command("export")
@click.pass_obj
def export(settings: Settings) -> None:
    """Print all states as JSON: `{ID: {"completed": …, "partial": …}}`."""
    from headwater.ops import states

    click.echo(states.exported(_workspace(settings), warn=_warn))


@command.command("import")
@click.argument("file", type=click.File("r"), default="-")
@click.option("--from-meltano", is_flag=True, help="Take over Meltano's database; nothing is overwritten.")
@click.pass_obj
def import_(settings: Settings, file: TextIO, from_meltano: bool) -> None:
    """Set the states of an export in FILE, or of standard input."""
    from headwater.ops import meltano_import, states

    workspace = settings.workspace(default_environment=False)
    if from_meltano:
        _say(meltano_import.take(workspace).text())
        return
    meltano_import.first(workspace, _say)
    count = states.import_text(workspace, file.read())
    _say(f"{count} state{'' if count == 1 else 's'} imported")


def _confirm(question: str, force: bool) -> None:
    if not force:
        click.confirm(question, abort=True, err=True)


def _workspace(settings: Settings) -> Workspace:
    """The project, whose states of Meltano's are taken over by the first command that looks at states."""
    from headwater.ops import meltano_import

    workspace = settings.workspace(default_environment=False)
    meltano_import.first(workspace, _say)
    return workspace


def _formatted(text: str, form: str) -> str:
    """Indented or on one line; values stay as they are written."""
    import msgspec

    return msgspec.json.format(text, indent=2 if form == "pretty" else -1)


def _verdict(row: Listed) -> str:
    from headwater.store.states import is_cleared, is_empty, is_valid, merged

    if row.state is None:
        return "damaged"
    if is_cleared(row.state):
        return "cleared"
    if not is_valid(row.state):
        return "invalid"
    return "empty" if is_empty(merged(row.state)) else "valid"


def _origin(row: Listed) -> tuple[str, str]:
    if row.state is None:
        return "", ""
    return row.state.updated_at, "a person" if row.state.by_user else "a run"


def _as_json(row: Listed) -> dict[str, Any]:
    return {
        "state_id": row.state_id,
        "state": _verdict(row),
        "updated_at": row.state.updated_at if row.state else None,
        "run_id": row.state.run_id if row.state else None,
    }


def _say(text: str) -> None:
    click.echo(text, err=True)


def _warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)

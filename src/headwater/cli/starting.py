"""From the options of a command that runs something to its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from headwater.cli import listen, meltano_words
from headwater.cli.problems import print_error
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling

if TYPE_CHECKING:  # loaded when a command runs, not for help
    from headwater.ops.runs import Request
    from headwater.ops.workspace import Workspace


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that `run`, `el` and `elt` share, as fields of a Request."""
    fields = dict(options)
    if fields.pop("merge_state"):
        if fields["state_strategy"] != "auto":
            raise click.UsageError("--merge-state and --state-strategy say the same thing: leave one out")
        fields["state_strategy"] = "merge"
    if fields["run_id"] is not None:
        fields["run_id"] = str(fields["run_id"])
    return fields


def start(settings: Settings, workspace: Workspace, request: Request, install: str | None) -> int:
    """Run it, showing what happens; the exit code. `install` as in `options.installing`."""
    from headwater.ops import runs

    reads_state = not request.full_refresh and request.state is None
    with (
        listen.listening(settings) as heard,
        meltano_words.beside(heard, workspace, settings, reads_state=reads_state) as emit,
    ):
        if install == "only":
            runs.install(workspace, request, emit=emit)
            return 0
        with cancelling() as cancel:
            wanted = None if install is None else install == "yes"
            result = runs.start(workspace, request, emit=emit, cancel=cancel, install=wanted)
    if result.problem is not None:
        print_error(result.problem, settings)
    return result.exit_code

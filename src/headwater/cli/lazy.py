"""Commands are imported when they are called. The table below is what `--help` needs, so help imports none."""

from __future__ import annotations

import importlib
from typing import cast

import click

from headwater.base.text import did_you_mean


class LazyGroup(click.Group):
    """A group whose commands are given as `name: (module, one-line help)`; `module:function` where the function is not
    called `command`."""

    def __init__(self, *args: object, table: dict[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own signature, passed through
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            guess = did_you_mean(cmd_name, self.table)
            ctx.fail(f"No such command '{cmd_name}'." + (f" Did you mean '{guess}'?" if guess else ""))
        module, _, name = self.table[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name or "command"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])

"""Run by Meltano's own Python: prints its commands with their options and arguments, as JSON."""

from __future__ import annotations

import json

import click
from meltano.cli import cli


def tree(command, context, path=""):
    options = [item for item in command.params if isinstance(item, click.Option)]
    found = {
        path: {
            "options": sorted({name for item in options for name in (*item.opts, *item.secondary_opts)} - {"--help"}),
            "flags": sorted(item.opts[0] for item in options if item.is_flag),
            "choices": {item.opts[0]: _choices(item) for item in options if isinstance(item.type, click.Choice)},
            "variables": sorted(item.envvar for item in options if isinstance(item.envvar, str)),
        }
    }
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        below = command.get_command(context, name)
        found |= tree(below, click.Context(below, parent=context), f"{path} {name}".strip())
    return found


def _choices(option):
    return sorted(getattr(choice, "value", choice) for choice in option.type.choices)


if __name__ == "__main__":
    print(json.dumps(tree(cli, click.Context(cli)), indent=1, sort_keys=True))

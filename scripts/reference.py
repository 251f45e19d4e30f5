"""Write `docs/reference/` from the code: commands, settings, events, errors, types, names.

`--check` writes nothing and fails when a page is out of step. The plugins' page comes from scripts/build_index.py.
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import reference_meltano
import reference_tables

from headwater.base.errors import ExitCode
from headwater.cli.main import root
from headwater.connect.destinations.definitions import DEFINITIONS as DESTINATIONS
from headwater.connect.sources.definitions import DEFINITIONS as SOURCES
from headwater.connect.sources.git_definition import GIT
from headwater.model import event
from headwater.model.plugin import Definition

HERE = Path(__file__).parent.parent
OUT = HERE / "docs" / "reference"
MADE = "<!-- Made by scripts/reference.py. Edit the code, then run `just docs`. -->\n"


def main() -> int:
    pages = {
        "commands.md": commands(),
        "settings.md": settings(),
        "events.md": events(),
        "errors.md": errors(),
        "types.md": "\n".join([MADE, *reference_tables.types_page()]),
        "names.md": "\n".join([MADE, *reference_tables.names_page()]),
        "meltano.md": reference_meltano.page(MADE),
    }
    stale = [name for name, text in pages.items() if not (OUT / name).exists() or (OUT / name).read_text() != text]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/reference/{name} is out of step with the code; run `just docs`", file=sys.stderr)
        return 1 if stale else 0
    OUT.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (OUT / name).write_text(pages[name])
        print(f"wrote docs/reference/{name}")
    return 0


def commands() -> str:
    parts = [MADE, "# Commands\n", "`hw` is short for `headwater`.\n"]
    for context in contexts():
        if context.parent is not None:
            parts.append(f"{'#' * (context.command_path.count(' ') + 1)} {context.command_path}\n")
        parts.append(block(context.get_help()))
    return "\n".join(parts)


def contexts(
    command: click.Command = root, name: str = "headwater", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """A context for each command, below that of its group: options of the group hold for all below."""
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=100, max_content_width=100, **command.context_settings
    )
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from contexts(found, below, context)


def block(text: str) -> str:
    return f"```\n{text}\n```\n"


def settings() -> str:
    parts = [MADE, "# Settings of the native connectors\n"]
    parts.append(
        "Each is variant `headwater` of the plugin it stands for. "
        "A plugin's own settings: `headwater config list PLUGIN`.\n"
    )
    for definition in (*SOURCES, GIT, *DESTINATIONS):
        parts += [f"## {definition.name}\n", f"{definition.description or ''}\n", settings_table(definition)]
    return "\n".join(parts)


def settings_table(definition: Definition) -> str:
    lines = ["| setting | kind | default | |", "|---|---|---|---|"]
    for setting in definition.settings:
        default = "" if setting.value is None else f"`{msgspec.json.encode(setting.value).decode()}`"
        kind = setting.kind.value if setting.kind else "string"
        need = "**required.** " if setting.required else ""
        lines.append(f"| `{setting.name}` | {kind} | {default} | {need}{setting.description or ''} |")
    return "\n".join(lines) + "\n"


def events() -> str:
    parts = [
        MADE,
        "# Events\n",
        "With `--log-format json` each line on standard error is one event; `logs show --json` has the same.\n",
    ]
    for struct in typing.get_args(event.Event):
        config = struct.__struct_config__
        parts += [f"## {config.tag}\n"]
        if not (struct.__doc__ or "").startswith(struct.__name__ + "("):
            parts.append(f"{inspect.cleandoc(struct.__doc__ or '')}\n")
        parts.append("| field | type |\n|---|---|")
        hints = struct.__annotations__
        parts += [f"| `{name}` | `{str(hints[name]).replace('|', 'or')}` |" for name in struct.__struct_fields__]
        parts.append("")
    return "\n".join(parts)


def errors() -> str:
    parts = [
        MADE,
        "# Errors\n",
        "Every error has a reference in square brackets. Exit codes:\n",
        "| code | when |\n|---|---|",
        *(f"| {code.value} | {words} |" for code, words in EXITS.items()),
        "",
        "In a project whose file is `meltano.yml` they are [Meltano's](../guides/meltano.md#exit-codes).\n",
        "| reference | exit | says | raised in |\n|---|---|---|---|",
    ]
    for reference, (kind, text, module) in sorted(found_errors().items()):
        parts.append(f"| `{reference}` | {kind} | {text.replace('|', 'or')} | `{module}` |")
    return "\n".join(parts) + "\n"


EXITS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the run failed",
    ExitCode.INPUT: "what you wrote is wrong: a file, a flag, a setting",
    ExitCode.ENVIRONMENT: "the machine is in the way: disk, network, permissions, a missing program",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
    ExitCode.TERMINATED: "stopped by SIGTERM",
}
KINDS = {"RunFailedError": 1, "InputError": 2, "EnvironmentProblemError": 3}


def found_errors() -> dict[str, tuple[int, str, str]]:
    """Every reference that the code raises, with the exit code, the text with `…` for what varies, and where."""
    found = {}
    for path in sorted((HERE / "src").rglob("*.py")):
        module = path.relative_to(HERE / "src").as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            kind = raised(node)
            if kind is None or len(node.args) < 2 or not isinstance(node.args[0], ast.Constant):
                continue
            found.setdefault(str(node.args[0].value), (kind, spoken(node.args[1]), module))
    return found


def raised(node: ast.Call) -> int | None:
    """The exit code of the error that a call makes; None when it makes none."""
    if isinstance(node.func, ast.Attribute) and node.func.attr == "fail":  # the site of a stage
        return 2
    return KINDS.get(node.func.id) if isinstance(node.func, ast.Name) else None


def spoken(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"


if __name__ == "__main__":
    sys.exit(main())

"""Write `docs/reference/` from the code: commands, settings, events, errors.

`--check` writes nothing and fails when a page is out of step. The plugins' page comes from scripts/build_index.py.
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from pathlib import Path

import click
import msgspec

from headwater.base.errors import ExitCode
from headwater.cli.lazy import LazyGroup
from headwater.cli.main import root
from headwater.connect.destinations.definitions import DEFINITIONS as DESTINATIONS
from headwater.connect.sources.definitions import DEFINITIONS as SOURCES
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
    parts = [MADE, "# Commands\n", "`hw` is short for `headwater`.\n", block(help_of(root, "headwater"))]
    context = click.Context(root, info_name="headwater")
    assert isinstance(root, LazyGroup)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        parts += [f"## headwater {name}\n", block(help_of(command, f"headwater {name}"))]
        if isinstance(command, click.Group):
            for sub in sorted(command.commands):
                parts += [
                    f"### headwater {name} {sub}\n",
                    block(help_of(command.commands[sub], f"headwater {name} {sub}")),
                ]
    return "\n".join(parts)


def help_of(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    return command.get_help(context)


def block(text: str) -> str:
    return f"```\n{text}\n```\n"


def settings() -> str:
    parts = [MADE, "# Settings of the native connectors\n"]
    parts.append(
        "Each is variant `headwater` of the plugin it stands for. "
        "A plugin's own settings: `headwater config list PLUGIN`.\n"
    )
    for definition in (*SOURCES, *DESTINATIONS):
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
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in KINDS:
                continue
            if len(node.args) < 2 or not isinstance(node.args[0], ast.Constant):
                continue
            found.setdefault(str(node.args[0].value), (KINDS[node.func.id], spoken(node.args[1]), module))
    return found


def spoken(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"


if __name__ == "__main__":
    sys.exit(main())

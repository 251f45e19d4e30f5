"""The page that compares with Meltano, command by command, from the cases of tests/drop_in."""

from __future__ import annotations

import importlib
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent.parent / "tests" / "drop_in"
sys.path.insert(0, str(CASES))  # where the cases find their harness, as under pytest

_ABOUT = """\
# Meltano's commands

Every row is a script that was run in Meltano 4.4.1, whose answer is kept, and is run in Headwater with each change of
it. What is compared: exit codes, JSON, project files, lock files, `.env`, and what plugins were given.

- **same**: nothing that was compared differs.
- **better**: it differs, and a user gains by it.
- **differs**: it differs, for the reason given.

Every command of Meltano with every option and every choice is understood: that is a test of its own. Messages are not
compared: they are for people. [Coming from Meltano](../guides/meltano.md) is the guide.
"""


def page(made: str) -> str:
    """The page's text; `made` is the line that says where it comes from."""
    parts = [made, _ABOUT, _sums()]
    for command, cases in groupby(sorted(_cases(), key=lambda case: case.command), key=lambda case: case.command):
        parts += [f"## {command}\n", "| script | | |\n|---|---|---|"]
        parts += [_row(case) for case in cases]
        parts.append("")
    parts += _tried()
    parts.append("## Variables a plugin finds\n")
    parts.append("Meltano's, but for these; and it finds those of Headwater's own settings.\n")
    parts.append("| variable | why it is not there, or differs |\n|---|---|")
    drop_in = importlib.import_module("drop_in")
    parts += [f"| `{name}` | {why} |" for name, why in drop_in.VARIABLES.items()]
    return "\n".join(parts) + "\n"


def _tried() -> list[str]:
    """What scripts/try_plugins.py found when it was last run."""
    rows = json.loads((Path(__file__).parent / "tried_plugins.json").read_text())
    told = "Each was added, locked, installed, configured in a project with a `meltano.yml`, and did this:\n"
    return [
        "## Plugins from PyPI\n",
        told,
        "| plugin | variant | version | what was run |\n|---|---|---|---|",
        *(f"| `{row['name']}` | {row['variant']} | {row['version']} | `{row['command']}` |" for row in rows),
        "",
    ]


def _cases() -> list[Any]:
    modules = [importlib.import_module(path.stem) for path in sorted(CASES.glob("test_*.py"))]
    return [case for module in modules for case in getattr(module, "CASES", ())]


def _verdict(case: Any) -> str:
    if not case.differs:
        return "same"
    return "better" if case.better else "differs"


def _sums() -> str:
    verdicts = [_verdict(case) for case in _cases()]
    counted = ", ".join(f"{verdicts.count(name)} {name}" for name in ("same", "better", "differs"))
    return f"{len(verdicts)} scripts: {counted}.\n"


def _row(case: Any) -> str:
    script = "<br>".join(f"`{line.replace('|', chr(92) + '|')}`" for line in case.script if line)
    why = "; ".join(dict.fromkeys(case.differs.values()))
    told = f"{case.says}{f'. {why[:1].upper()}{why[1:]}' if why else ''}"
    return f"| {script} | **{_verdict(case)}** | {told.replace('|', chr(92) + '|')} |"

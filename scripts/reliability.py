"""Hurt loads in every way the tests know, and write down how much was tried.

    python scripts/reliability.py [--long] [--figures FILE]

Runs tests/e2e/reliability and, when all of it passed, writes docs/reference/reliability.md. `--long` is for the night
and before a release: it takes hours. `--figures` takes the figures of a run that is over (`HEADWATER_FIGURES=FILE`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "reliability.md"

# In the order of the page: what was done, and what had to hold after each time.
HELD = {
    "kill matrix": "before anything made up for it: exactly the rows that the checkpoint vouches for, each once; the "
    "kept state not ahead of them; then the next run completes the load",
    "fail-points": "the same, at each named step of a load",
    "connection lost at COMMIT": "the run ends well by itself: every row once",
    "database restarted in mid-load": "the run ends well by itself within a minute: every row once",
    "two starts within 50 ms": "exactly one runs, the other says who does",
    "protocol fuzz": "refused with an error of ours, or taken exactly as it stands; no hang, no traceback, < 512 MB",
    "state corruption": "no silent start from the beginning, no lower bookmark without a warning",
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    figures = options.figures
    if figures is None:
        figures = Path(tempfile.mkdtemp()) / "figures.jsonl"
        env = {**os.environ, "HEADWATER_FIGURES": str(figures), "CI": "true"}
        if options.long:
            env["HEADWATER_RELIABILITY"] = "long"
        done = subprocess.run([sys.executable, "-m", "pytest", "tests/e2e/reliability"], cwd=ROOT, env=env, check=False)
        if done.returncode:
            print("something did not hold: the page stays as it was", file=sys.stderr)
            return 1
    PAGE.write_text(page([json.loads(line) for line in figures.read_text().splitlines()], is_long=options.long))
    return 0


def page(lines: list[dict], *, is_long: bool) -> str:
    tried: Counter[str] = Counter()
    cells: dict[str, Counter[str]] = {}
    for line in lines:
        tried[line["figure"]] += line["tried"]
        cells.setdefault(line["figure"], Counter())[line["cell"]] += line["tried"]
    form = "long" if is_long else "short"
    intro = (
        f"What was tried in the last {form} run of the tests that hurt loads on purpose, and what held each time. One "
        "failure, and this page is not written."
    )
    out = [
        "# Reliability",
        "",
        "<!-- Written by scripts/reliability.py: do not edit. -->",
        "",
        intro,
        "",
        "| what was done | times | what held |",
        "|---|---|---|",
        *(f"| {name} | {tried[name]:,} | {held} |" for name, held in HELD.items() if tried[name]),
        "",
    ]
    for name in HELD:
        if name in cells:
            out += [f"## {name[0].upper()}{name[1:]}", "", "| cell | times |", "|---|---|"]
            out += [f"| {cell} | {count:,} |" for cell, count in sorted(cells[name].items())]
            out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main())

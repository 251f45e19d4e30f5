"""RESULTS.md is made of the parts in `results/`, one a benchmark, in the order of their names."""

from __future__ import annotations

import os
import platform
from pathlib import Path

HERE = Path(__file__).parent
PARTS = HERE / "results"


def write(part: str, text: str) -> None:
    PARTS.mkdir(exist_ok=True)
    (PARTS / f"{part}.md").write_text(text.rstrip() + "\n")
    parts = [path.read_text() for path in sorted(PARTS.glob("*.md"))]
    (HERE / "RESULTS.md").write_text("\n".join(["# Results\n", *parts]))


def machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"

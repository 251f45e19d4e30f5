"""Renew the pins.

`constraints.txt` holds every package of the program and of its development with its hashes, for
`pip install --require-hashes -r constraints.txt`. The same versions go into `[tool.uv] constraint-dependencies`,
so that `uv run` on a fresh clone installs what was tested. Neither names a registry.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PYPROJECT = ROOT / "pyproject.toml"


def main() -> int:
    subprocess.run(
        [
            *("uv", "pip", "compile", "pyproject.toml", "--group", "dev", "--universal", "--upgrade"),
            *("--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"),
            *("--no-config", "--output-file", str(CONSTRAINTS)),
        ],
        cwd=ROOT,
        check=True,
    )
    PYPROJECT.write_text(with_pins(PYPROJECT.read_text(), pins(CONSTRAINTS.read_text())))
    return 0


def pins(constraints: str) -> list[str]:
    """`name==version` with its marker, without hashes, one a package and marker."""
    found = re.findall(r"^([a-z0-9][\w.-]*==[^\s\\]+(?: *;[^\\\n]+)?)", constraints, flags=re.MULTILINE)
    return [pin.strip() for pin in found]


def with_pins(pyproject: str, wanted: list[str]) -> str:
    lines = "\n".join(f'  "{pin.replace(chr(34), chr(39))}",' for pin in wanted)
    block = f"constraint-dependencies = [\n{lines}\n]"
    pattern = r"constraint-dependencies = \[\n.*?\n\]"
    if re.search(pattern, pyproject, flags=re.DOTALL):
        return re.sub(pattern, lambda _: block, pyproject, flags=re.DOTALL)
    return pyproject.replace("compile-bytecode = true\n", f"compile-bytecode = true\n{block}\n", 1)


if __name__ == "__main__":
    sys.exit(main())

"""A project of ten thousand lines and 300 plugins: what it costs before anything runs.

    python benchmarks/big_project.py [--rounds 7] [--keep FOLDER]

Goals, in CPU seconds of the whole process: `config print` under 0.3, a run of plugins that do nothing (so its start
and its end) under 0.5. Written to benchmarks/RESULTS.md; the exit code is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import results
from measure import Median, alternating

EXTRACTORS, LOADERS, UTILITIES = 220, 40, 40
GOALS = {"config print": 0.3, "run": 0.5}
CATALOG = '{"streams": [{"tap_stream_id": "stream_0", "schema": {"properties": {"id": {}}}, "metadata": []}]}'
TAP = f"#!/bin/sh\ncase \"$*\" in *--discover*) echo '{CATALOG}';; esac\n"
TARGET = "#!/bin/sh\nexec cat >/dev/null\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="make the project there, measure nothing")
    options = parser.parse_args()
    if options.keep:
        make(options.keep)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lines = make(root)
        program = str(Path(sys.executable).parent / "headwater")
        commands = {
            "config print": [program, "config", "print", "tap-117"],
            "run": [program, "run", "tap-117", "target-7"],
        }
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env |= {"NO_COLOR": "1", "HEADWATER_HUB_OFFLINE": "1"}
        places, envs = dict.fromkeys(commands, root), dict.fromkeys(commands, env)
        medians = alternating(commands, rounds=options.rounds, cwd=places, env=envs)
    results.write("big_project", report(medians, lines))
    missed = [name for name, goal in GOALS.items() if medians[name].cpu >= goal]
    raise SystemExit(1 if missed else 0)


def report(medians: dict[str, Median], lines: int) -> str:
    rows = [f"| `{name}` | {medians[name].cpu:.2f} | {goal} |" for name, goal in GOALS.items()]
    plugins = EXTRACTORS + LOADERS + UTILITIES
    runs = medians["run"].runs
    head = [
        "## A big project",
        "",
        f"{results.machine()}. {lines:,} lines, {plugins} plugins; CPU seconds of all processes, medians of {runs}.",
        "",
        "| command | CPU s | goal, below |",
        "|---|---|---|",
    ]
    text = "\n".join([*head, *rows])
    print(text)
    return text


def make(root: Path) -> int:
    """The project in `root`; answers with the lines of its file. The same each time."""
    (root / "bin").mkdir(parents=True, exist_ok=True)
    for name, script in (("tap", TAP), ("target", TARGET)):
        (root / "bin" / name).write_text(script)
        (root / "bin" / name).chmod(0o755)
    text = "".join(f"{line}\n" for line in _lines())
    (root / "meltano.yml").write_text(text)
    return text.count("\n")


def _lines() -> Iterator[str]:
    yield from ("version: 1", "default_environment: dev", "env:", "  REGION: eu", "plugins:", "  extractors:")
    for number in range(EXTRACTORS):
        if number % 4 == 3:
            yield from _child(number)
        else:
            yield from _extractor(number)
    yield "  loaders:"
    for number in range(LOADERS):
        yield from _plugin(f"target-{number}", "target")
    yield "  utilities:"
    for number in range(UTILITIES):
        yield from _plugin(f"tool-{number}", "tool")
    yield from ("environments:", "  - name: dev", "  - name: prod", "    config:", "      plugins:")
    yield "        extractors:"
    for number in range(EXTRACTORS):
        yield from (f"          - name: tap-{number}", "            config:", "              page_size: 500")
    yield "jobs:"
    for number in range(EXTRACTORS):
        yield from (f"  - name: load-{number}", f"    tasks: [tap-{number} target-{number % LOADERS}]")
    yield "schedules:"
    for number in range(EXTRACTORS):
        yield from (f"  - name: nightly-{number}", f"    interval: '{number % 60} 3 * * *'", f"    job: load-{number}")


def _plugin(name: str, executable: str) -> Iterator[str]:
    yield from (
        f"    - name: {name}",
        f"      namespace: {name.replace('-', '_')}",
        f"      executable: ./bin/{executable}",
    )
    yield "      settings:"
    for setting in range(4):
        yield from (
            f"        - name: part_{setting}",
            "          kind: string",
            f"          description: Part {setting}.",
        )
    yield from ("        - name: password", "          kind: password", "      config:")
    yield from (f"        part_{setting}: value-{setting}-$REGION" for setting in range(4))
    yield "        password: $SOME_PASSWORD"


def _extractor(number: int) -> Iterator[str]:
    yield f"    # the source number {number}, as its owners call it"
    yield from _plugin(f"tap-{number}", "tap")
    yield from ("      capabilities: [catalog, discover, state]", "      select:")
    yield from (f"        - stream_{stream}.*" for stream in range(5))
    yield from ("        - '!*.secret_*'", "      metadata:")
    for stream in range(3):
        yield from (f"        stream_{stream}:", "          replication-method: INCREMENTAL")


def _child(number: int) -> Iterator[str]:
    yield from (f"    - name: tap-{number}", f"      inherit_from: tap-{number - 1}", "      config:")
    yield from (f"        part_{setting}: other-{number}" for setting in range(2))


if __name__ == "__main__":
    main()

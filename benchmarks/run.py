"""Headwater beside Meltano and beside a plain shell pipe, with the same plugins, in one run.

    python benchmarks/run.py [--rounds 5] [--records 1000000]

Meltano comes from PyPI into an environment of its own. Ratios are of medians of alternating runs; they are printed
and written to benchmarks/RESULTS.md. Goals: at least 2.5 times faster than `meltano run`, at most 1.15 times a plain
shell pipe, `--help` under 100 ms of CPU, a 3-record run under 0.5 s of CPU.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import results
from measure import Median, alternating

HERE = Path(__file__).parent
WORK = HERE / ".work"
MELTANO = "meltano==4.4.1"

PROJECT = """\
version: 1
default_environment: dev
environments:
  - name: dev
plugins:
  extractors:
    - name: tap-lines
      namespace: tap_lines
      executable: {plugins}/tap-lines
      capabilities: [discover, catalog, state]
  loaders:
    - name: target-lines
      namespace: target_lines
      executable: {plugins}/target-lines
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    places = prepare()
    env = {**os.environ, "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    report = [
        "## Running Singer programs",
        "",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}.",
        f"Medians of {options.rounds} alternating runs. Seconds say little on a shared machine: read the ratios.",
        "",
    ]
    env["BENCH_RECORDS"] = str(options.records)
    report += pipe(
        places, env, options.rounds, f"{options.records:,} small Singer records, tap → target, same two plugins"
    )
    report += [
        "What a runner costs shows beside plugins that cost little. With slower ones both come nearer to the pipe:",
        "",
        *pipe(
            places,
            {**env, "BENCH_PARSE": "1"},
            options.rounds,
            "The same with a target that parses every line",
            goals=False,
        ),
    ]
    report += small(places, {**env, "BENCH_RECORDS": "3"}, options.rounds)
    report += start(places, env, options.rounds)
    text = "\n".join(report) + "\n"
    results.write("runner", text)
    sys.stdout.write(text)


def prepare() -> dict[str, Path]:
    """Environments and projects under `.work`; made once, reused after."""
    WORK.mkdir(exist_ok=True)
    venv = WORK / "meltano-venv"
    if not (venv / "bin" / "meltano").exists():
        subprocess.run(["uv", "venv", "--quiet", "--clear", str(venv)], check=True)
        subprocess.run(
            ["uv", "pip", "install", "--quiet", "--compile-bytecode", "-p", str(venv / "bin" / "python"), MELTANO],
            check=True,
        )
    bin_folder = WORK / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name in ("tap-lines", "target-lines"):
        script = bin_folder / name
        source = HERE / "plugins" / f"{name.replace('-', '_')}.py"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -S {source} "$@"\n')
        script.chmod(0o755)
    places = {}
    for name in ("meltano", "headwater"):
        places[name] = WORK / name
        shutil.rmtree(places[name], ignore_errors=True)
        places[name].mkdir()
        (places[name] / "meltano.yml").write_text(PROJECT.format(plugins=bin_folder))
    return places


def programs() -> dict[str, str]:
    return {
        "headwater": str(Path(sys.executable).with_name("headwater")),
        "meltano": str(WORK / "meltano-venv" / "bin" / "meltano"),
    }


def pipe(places: dict[str, Path], env: dict[str, str], rounds: int, title: str, *, goals: bool = True) -> list[str]:
    program = programs()
    tap, target = WORK / "bin" / "tap-lines", WORK / "bin" / "target-lines"
    commands = {
        "shell pipe": ["sh", "-c", f"{tap} | {target}; true"],
        "headwater run": [program["headwater"], "run", "--full-refresh", "tap-lines", "target-lines"],
        "meltano run": [program["meltano"], "run", "--full-refresh", "tap-lines", "target-lines"],
    }
    cwd = {"shell pipe": WORK, "headwater run": places["headwater"], "meltano run": places["meltano"]}
    result = alternating(commands, rounds=rounds, cwd=cwd, env=dict.fromkeys(commands, env))
    ours = result["headwater run"]
    return [
        f"### {title}",
        "",
        *table(result, base="shell pipe"),
        "",
        f"- headwater / shell pipe: **{ours.wall / result['shell pipe'].wall:.2f}**{' (goal: at most 1.15)' * goals}",
        f"- meltano / headwater: **{result['meltano run'].wall / ours.wall:.2f}**{' (goal: at least 2.5)' * goals}",
        "",
    ]


def small(places: dict[str, Path], env: dict[str, str], rounds: int) -> list[str]:
    program = programs()
    commands = {name: [program[name], "run", "tap-lines", "target-lines"] for name in ("headwater", "meltano")}
    result = alternating(commands, rounds=rounds, cwd=places, env=dict.fromkeys(commands, env))
    return [
        "### A run of 3 records",
        "",
        *table(result, base="headwater"),
        "",
        f"- CPU of the headwater run, plugins included: **{result['headwater'].cpu:.2f} s** (goal: under 0.5 s)",
        "",
    ]


def start(places: dict[str, Path], env: dict[str, str], rounds: int) -> list[str]:
    program = programs()
    commands = {name: [program[name], "--help"] for name in ("headwater", "meltano")}
    result = alternating(commands, rounds=max(rounds, 9), cwd=places, env=dict.fromkeys(commands, env))
    return [
        "### `--help`",
        "",
        *table(result, base="headwater"),
        "",
        f"- CPU of `headwater --help`: **{result['headwater'].cpu * 1000:.0f} ms** (goal: under 100 ms)",
    ]


def table(result: dict[str, Median], *, base: str) -> list[str]:
    lines = ["| command | wall s | CPU s | wall × |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {median.wall:.2f} | {median.cpu:.2f} | {median.wall / result[base].wall:.2f} |"
        for name, median in result.items()
    ]
    return lines


if __name__ == "__main__":
    main()

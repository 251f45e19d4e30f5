"""Hurt loads in every way the tests know, and write down how much was tried and what was found.

    python scripts/reliability.py [--long | --share 0.25] [--only WORDS] [--peers KILLS] [--cases NUMBER ...]
                                  [--figures FILE] [--page FILE] [--work FOLDER]

Runs tests/e2e/reliability and, when all of it passed, writes docs/reference/reliability.md. `--long` is for the night
and before a release: it takes hours; `--share` tries a part of that. `--peers` gives targets of others the same input
and kills them as often. `--figures` adds the figures of a run that is over (`HEADWATER_FIGURES=FILE`) and runs no
tests; give it several times for a run that was done in parts. `--only` runs the tests that pytest's `-k WORDS` chooses,
`--cases` gives the targets those alone, and `--page` writes elsewhere: together they try this script. The page says
what was not tried.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import reliability_peers

from headwater import __version__

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "reliability.md"

# In the order of the page: what is done, and what has to hold after each time.
HELD = {
    "kill matrix": "before anything made up for it: exactly the rows that the checkpoint vouches for, each once; the "
    "kept state not ahead of them; then the next run completes the load. A session that the server ended: the run "
    "ends well by itself. Behind a Singer target: nothing lost; rows without keys that it had committed and not yet "
    "told come twice, no others",
    "fail-points": "the same, at each named step of a load",
    "connection lost at COMMIT": "the run ends well by itself: every row once",
    "database restarted in mid-load": "the run ends well by itself within a minute: every row once",
    "source that crashes": "the run ends well, or says that the source is gone; the next one completes: every row as "
    "it stands there",
    "two starts within 50 ms": "exactly one runs, the other says who does",
    "zombie writer": "a run that stood still while another did its work writes nothing more and says so",
    "verdict table": "every way in which tap and target can end, each first, with the target's word and without: the "
    "right status, the right one blamed, the state that was vouched for and no other",
    "hang": "ended after the time without a sign of life, the one that hangs is named; then the next run completes",
    "slow target": "the tap waits, nothing piles up",
    "lock held by others": "waited for, and said for whom; the run ends well, or with an error when it takes longer "
    "than eight times 15 s",
    "broken pipe": "a run goes on when nobody reads what it says; a program that died is named, not its pipe",
    "full disk": "one error that names the place; exactly the rows that the checkpoint vouches for",
    "credentials that expire": "an error that says so and shows no password; with new ones the next run goes on",
    "clock that jumps": "every row once, versions in order, by days and years in either direction",
    "protocol fuzz": "refused with an error of ours, or taken exactly as it stands; no hang, no traceback, < 512 MB",
    "soak": "scheduled runs one after another, one in twenty killed or stopped: every row once, and no file, table, "
    "process or session that was not there after the first",
    "state corruption": "no silent start from the beginning, no lower bookmark without a warning",
}
CAUTION = (
    "Each cell with its number stands below. What held a hundred times may still fail once in a thousand: the numbers "
    "say how often was looked."
)
VERDICTS = ("right", "loud", "silently wrong")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_const", dest="share", const=1.0)
    parser.add_argument("--share", type=float, default=0.0)
    parser.add_argument("--only", metavar="WORDS")
    parser.add_argument("--cases", type=int, nargs="*", metavar="NUMBER")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--peers", type=int, metavar="KILLS")
    parser.add_argument("--figures", type=Path, action="append", default=[])
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    files: list[Path] = options.figures
    if not files:
        files = [work / "figures.jsonl"]
        files[0].unlink(missing_ok=True)
        if test(files[0], options.share, options.only):
            print("something did not hold: the page stays as it was", file=sys.stderr)
            return 1
    if options.peers is not None:
        files.append(compare(work, options.peers, options.cases))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    options.page.write_text(page(lines, share=options.share))
    return 0


def test(figures: Path, share: float, only: str | None) -> int:
    """pytest's exit code. Without a share it is the short form, as with all other tests."""
    env = {**os.environ, "HEADWATER_FIGURES": str(figures), "CI": "true"}
    env.pop("HEADWATER_RELIABILITY", None)
    if share:
        env["HEADWATER_RELIABILITY"] = str(share)
    chosen = [] if only is None else ["-k", only]
    argv = [sys.executable, "-m", "pytest", "tests/e2e/reliability", *chosen]
    return subprocess.run(argv, cwd=ROOT, env=env, check=False).returncode


def compare(work: Path, kills: int, cases: list[int] | None) -> Path:
    found = work / "peers.jsonl"
    with found.open("w") as file:
        seed = os.environ.get("HEADWATER_SEED", "1")
        only = None if cases is None else set(cases)
        for line in reliability_peers.compare(work, kills=kills, seed=seed, only=only):
            print(line, file=sys.stderr)
            file.write(json.dumps(line) + "\n")
    return found


def page(lines: list[dict[str, Any]], *, share: float) -> str:
    cells: dict[str, Counter[str]] = {}
    seen: dict[str, dict[str, float]] = {}
    versions = {"Headwater": __version__, "Python": platform.python_version()}
    peers: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        match line:
            case {"figure": figure, "cell": cell, "tried": tried}:
                cells.setdefault(figure, Counter())[cell] += tried
            case {"figure": figure, "what": what, "most": most}:
                seen.setdefault(figure, {})[what] = max(most, seen.get(figure, {}).get(what, 0))
            case {"program": program, "version": version}:
                versions[program] = version
            case {"peer": name}:
                peers.setdefault(name, []).append(line)
    form = "short form" if not share else "long form" if share == 1 else f"short form or {share:.0%} of the long one"
    today = dt.datetime.now(dt.UTC).date().isoformat()
    programs = ", ".join(f"{name} {version}" for name, version in versions.items())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory / 1e9:.0f} GB of memory"
    intro = (
        "What was tried in the last run of the tests that hurt loads on purpose, and what held each time. One failure, "
        "and this page is not written."
    )
    out = [
        "# Reliability",
        "",
        "<!-- Written by scripts/reliability.py: do not edit. -->",
        "",
        intro,
        "",
        f"{today}, the {form}: {programs}; {machine}.",
        "",
        "| what was done | goal, each time | cells | times a cell | times | what was seen |",
        "|---|---|---|---|---|---|",
        *(row(name, goal, cells.get(name, Counter()), seen.get(name, {})) for name, goal in HELD.items()),
        "",
        CAUTION,
        "",
    ]
    out += beside(peers)
    for name in HELD:
        if name in cells:
            out += [f"## {name[0].upper()}{name[1:]}", "", "| cell | times |", "|---|---|"]
            out += [f"| {cell} | {count:,} |" for cell, count in sorted(cells[name].items())]
            out.append("")
    return "\n".join(out)


def row(name: str, goal: str, cells: Counter[str], seen: dict[str, float]) -> str:
    if not cells:
        return f"| {name} | {goal} | 0 | 0 | 0 | not tried in this run |"
    least, most = min(cells.values()), max(cells.values())
    a_cell = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    shown = "; ".join(["the goal, every time", *(f"{what}: at most {top:,}" for what, top in sorted(seen.items()))])
    return f"| {name} | {goal} | {len(cells):,} | {a_cell} | {cells.total():,} | {shown} |"


def beside(peers: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The targets side by side: the numbered cases, then the deaths."""
    if not peers:
        return []
    by_case = {name: {line["case"]: line for line in lines if "case" in line} for name, lines in peers.items()}
    cases = {name: found for name, found in by_case.items() if found}
    names = list(cases)
    deaths = {name: next(line for line in lines if "kills" in line) for name, lines in peers.items()}
    packages = ", ".join(f"`{one['package']}`" for one in deaths.values() if one["package"])
    given = (
        f"The numbered cases of loading that are Singer lines, given to each target as it is ({packages}; ours as "
        "`headwater target`). Loud: it fails where it could load. Silently wrong: it ends well, and a value is lost or "
        "changed, or it takes what had to be refused; where a value stands and in which type is left to each target."
    )
    killed = (
        "Rows without keys into each of them, killed at random instants and started again: a target from the last "
        "state that it had printed, `headwater run` (into its native destination) from where it knows to be:"
    )
    out = [
        "## Beside other targets",
        "",
        given,
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for verdict in VERDICTS:
        counts = [sum(line["verdict"] == verdict for line in cases[name].values()) for name in names]
        out.append(f"| {verdict} | {' | '.join(map(str, counts))} |")
    out += [
        "",
        killed,
        "",
        f"| | {' | '.join(deaths)} |",
        f"|---|{'---|' * len(deaths)}",
    ]
    for what, key in {"kills": "kills", "rows lost": "lost", "rows twice": "twice", "state ahead": "ahead"}.items():
        out.append(f"| {what} | {' | '.join(f'{one[key]:,}' for one in deaths.values())} |")
    wrong = sorted({n for one in cases.values() for n, line in one.items() if line["verdict"] != "right"})
    titles = {number: line["title"] for one in cases.values() for number, line in one.items()}
    out += ["", f"| case | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for number in wrong:
        verdicts = [cases[name][number]["verdict"] if number in cases[name] else "" for name in names]
        out.append(f"| {number} {titles[number]} | {' | '.join(verdicts)} |")
    return [*out, ""]


if __name__ == "__main__":
    sys.exit(main())

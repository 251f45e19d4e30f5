"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "headwater"
VAGUE = re.compile(r"(Service|Manager|Helper|Util|Factory|Handler|Mixin|Context)$", re.IGNORECASE)


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE), ast.parse(path.read_text())


def test_names_say_what_a_thing_is() -> None:
    vague = [
        f"{path}: {node.name}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and VAGUE.search(node.name)
    ]
    vague += [str(path) for path, _ in modules() if VAGUE.search(path.stem) or path.stem in {"common", "utils"}]
    assert vague == []


def test_the_process_environment_is_read_in_one_place() -> None:
    readers = {
        str(path)
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and ast.unparse(node.value) == "os"
    }
    # dbt's worker is a program of its own, in another environment: it sets the variables of the commands it runs.
    assert readers == {"base/memory.py", "ops/workspace.py", "transform/dbt/worker.py"}


def test_the_clock_is_read_in_one_place() -> None:
    readers = {
        str(path)
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func)
        in {"time.time", "time.monotonic", "datetime.now", "datetime.datetime.now", "datetime.utcnow"}
    }
    assert readers <= {"base/clock.py"}


def test_every_exception_to_a_lint_rule_carries_its_reason() -> None:
    bare = []
    for path in sorted(SOURCE.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            noqa = re.search(r"# noqa\b(.*)", line)
            ignore = re.search(r"# type: ignore(\[[\w, -]+\])?(.*)", line)
            if noqa and not re.match(r": [A-Z]+\d+(, ?[A-Z]+\d+)* - \S", noqa.group(1)):
                bare.append(f"{path.relative_to(SOURCE)}:{number}")
            if ignore and (not ignore.group(1) or not re.match(r"\s+#\s*\S", ignore.group(2))):
                bare.append(f"{path.relative_to(SOURCE)}:{number}")
    assert bare == []


def test_pins_are_the_same_in_both_places() -> None:
    pinned = set(re.findall(r"^([a-z0-9][\w.-]*==[^\s\\;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    block = re.search(r"constraint-dependencies = \[\n(.*?)\n\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert block is not None
    assert pinned == {line.strip(' ",').split(" ;")[0] for line in block.group(1).splitlines()}

"""Records that were set aside are loaded again exactly once, wherever the replay dies."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from .conftest import DATABASES, METHODS

# The first run brings 1 to 20, the second 21 to 40; every fifth comes without its name, which is required.
TAP = """#!{python}
import json, sys
state = json.load(open(sys.argv[sys.argv.index("--state") + 1])) if "--state" in sys.argv else {{"n": 0}}
say = lambda **message: print(json.dumps(message), flush=True)
properties = {{"id": {{"type": "integer"}}, "name": {{"type": ["null", "string"]}}}}
schema = {{"type": "object", "properties": properties, "required": ["name"]}}
say(type="SCHEMA", stream="numbers", schema=schema, key_properties={keys})
for n in range(state["n"] + 1, state["n"] + 21):
    say(type="RECORD", stream="numbers", record={{"id": n}} if n % 5 == 0 else {{"id": n, "name": str(n)}})
say(type="STATE", value={{"n": state["n"] + 20}})
"""
POINTS = ("commit.begun", "commit.loaded", "commit.booked", "commit.done")
CELLS = [
    *(("append", point) for point in POINTS),
    *((method, "commit.done") for method in METHODS if method != "append"),
]


@pytest.fixture
def rejected(hw, request):
    """A project whose two runs into `loader` set records aside. `_check_required` then says whether they are taken."""

    def make(loader, config, *, keyed):
        text = TAP.format(python=sys.executable, keys=["id"] if keyed else [])
        hw.write("bin/tap", text).chmod(0o755)
        tap = {
            "name": "tap-numbers",
            "namespace": "numbers",
            "executable": "./bin/tap",
            "capabilities": ["state"],
            "config": {"_on_bad_record": "quarantine"},
        }
        plugins = {"extractors": [tap], "loaders": [{"name": loader, "variant": "headwater", "config": config}]}
        text = {"default_environment": "dev", "environments": [{"name": "dev"}], "plugins": plugins}
        hw.write("headwater.yml", json.dumps(text))
        done = hw.ok("run", "tap-numbers", loader)
        assert f"  hint: headwater rejects list --state-id dev:tap-numbers-to-{loader}\n" in done.err
        hw.ok("run", "tap-numbers", loader)
        return hw

    return make


def left(hw):
    found = json.loads(hw.ok("rejects", "list", "--json").out)
    assert found["count"] == len(found["rejects"])
    return sorted(json.loads(one["record"])["id"] for one in found["rejects"])


@pytest.mark.parametrize(("method", "point"), CELLS)
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_replay_that_dies_is_completed_by_the_next(warehouse, rejected, method, point):
    loader = f"target-{warehouse.name}"
    hw = rejected(loader, warehouse.config(method), keyed=method != "append")
    # What a run replaces, it replaces with its rejects.
    first = 21 if method == "replace" else 1
    bad = [number for number in range(first, 41) if number % 5 == 0]
    good = [number for number in range(first, 41) if number % 5]
    assert left(hw) == bad
    taking = {"TAP_NUMBERS__CHECK_REQUIRED": "false"}
    for number in (1, 2) if method != "replace" else (1,):
        done = hw("rejects", "replay", HEADWATER_FAILPOINT=f"{point}:{number}", **taking)
        if done.code == 0:
            break  # the one before had committed more than it could tell
        assert done.code == -signal.SIGKILL, done.err
        found = [row for row, _ in rows(warehouse)]
        assert sorted(found + left(hw)) == sorted(good + bad)
    hw.ok("rejects", "replay", **taking)
    assert left(hw) == []
    assert rows(warehouse) == [(number, str(number) if number % 5 else None) for number in range(first, 41)]
    assert "nothing is set aside" in hw.ok("rejects", "replay", **taking).err
    hw.ok("run", "tap-numbers", loader)
    assert json.loads(hw.ok("state", "get", f"dev:tap-numbers-to-{loader}").out) == {"singer_state": {"n": 60}}


def rows(warehouse):
    current = " where __valid_to is null" if warehouse.keeps_history else ""
    found = warehouse.query(
        f"select id, name from {'numbers' if warehouse.name == 'mysql' else 'numbers.numbers'}{current}"
    )
    return sorted((int(number), name) for number, name in found)


@pytest.mark.parametrize("point", ["file.written", "commit.booked", "commit.done"])
def test_a_replay_into_files_that_dies_is_completed_by_the_next(rejected, point):
    hw = rejected("target-jsonl", {}, keyed=False)
    taking = {"TAP_NUMBERS__CHECK_REQUIRED": "false"}
    for number in (1, 2):
        done = hw("rejects", "replay", HEADWATER_FAILPOINT=f"{point}:{number}", **taking)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL, done.err
        assert len(left(hw)) in (8, 4, 0)
    hw.ok("rejects", "replay", **taking)
    assert left(hw) == []
    found = [
        json.loads(line) for file in (hw.root / "output/numbers").iterdir() for line in file.read_text().splitlines()
    ]
    assert sorted(row["id"] for row in found) == list(range(1, 41))
    assert not list((hw.root / "output/_rejects").iterdir())

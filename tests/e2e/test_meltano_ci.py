"""A script written for Meltano, with a program of that name that is ours: two lines of shell."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

SCRIPT = """\
set -euo pipefail
meltano --version
meltano init shop --no-usage-stats
cd shop
cp ../bin/* .
meltano add --custom extractor tap-numbers <<'END'
numbers
-
./tap_numbers
discover,catalog,state
upto:integer,secret:password
END
meltano add --plugin-type loader --custom target-lines <<'END'
lines
-
./target_lines


END
meltano config tap-numbers set upto 4
meltano --environment=prod config set tap-numbers upto 2
export TAP_NUMBERS_SECRET=hush
meltano config print tap-numbers --format=env | grep "^TAP_NUMBERS_UPTO='4'"
meltano select tap-numbers numbers '*'
meltano install
meltano --log-format=json run tap-numbers target-lines 2> run.log
meltano --environment=prod run --full-refresh --state-id-suffix=ci tap-numbers target-lines
meltano state list | grep '^dev:tap-numbers-to-target-lines$'
meltano state get dev:tap-numbers-to-target-lines > state.json
meltano job add load --tasks '[tap-numbers target-lines]'
meltano run load
meltano schedule add nightly --job load --interval @daily
meltano schedule list --format=json > schedules.json
meltano schedule run nightly
meltano state set --force dev:tap-numbers-to-target-lines '{"singer_state": {}}'
meltano el tap-numbers target-lines --state-id=once
meltano logs list --format json > runs.json
meltano compile
if meltano run tap-nope target-lines; then exit 9; fi
"""


@pytest.fixture
def shell(hw):
    """Runs a script where `meltano` is a shim in front of this program."""
    for name in ("tap_numbers", "target_lines"):
        hw.script(name)
    shim = hw.write("shims/meltano", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m headwater "$@"\n')
    shim.chmod(0o755)

    def run(script):
        env = {**hw.environ, "PATH": f"{shim.parent}:{hw.environ['PATH']}"}
        return subprocess.run(
            ["bash", "-c", script], cwd=hw.root, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return run


def test_a_script_of_continuous_integration_runs_through(hw, shell):
    done = shell(SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr

    def read(name):
        return json.loads((hw.root / "shop" / name).read_text())

    ids = [json.loads(line)["id"] for line in (hw.root / "shop" / "loaded.jsonl").read_text().splitlines()]
    assert ids == [1, 2, 3, 4, 1, 2, 1, 2, 3, 4]  # dev, prod, nothing new in two runs of the job, then `el` anew
    assert read("state.json") == {"singer_state": {"bookmarks": {"numbers": {"id": 4}}}}
    (schedule,) = read("schedules.json")["schedules"]["job"]
    assert (schedule["name"], schedule["cron_interval"]) == ("nightly", "0 0 * * *")
    assert schedule["job"] == {"name": "load", "tasks": ["tap-numbers target-lines"]}
    assert [run["state"] for run in read("runs.json")["runs"]] == ["SUCCESS"] * 5
    events = [json.loads(line) for line in (hw.root / "shop" / "run.log").read_text().splitlines()]
    assert [line["outcome"] for line in events if line["kind"] == "step-finished"] == ["success"]
    assert {line["run_id"] for line in events if line.get("string_id") == "tap-numbers"} <= {events[0]["run_id"]}
    assert "hush" not in (hw.root / "shop" / "run.log").read_text()

"""The engine is killed at any moment; the next run makes up for it: nothing lost, nothing twice."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

ROWS = 400

# A stream without a key: a row that came twice would stand twice. Goes on from its state.
TAP = f"""
import sys, json, time
if '--discover' in sys.argv:
    print('{{"streams":[{{"tap_stream_id":"s","schema":{{"properties":{{"id":{{"type":"integer"}}}}}},"metadata":[]}}]}}')
    sys.exit()
start = json.load(open(sys.argv[sys.argv.index('--state') + 1]))['n'] if '--state' in sys.argv else 0
say = lambda message: print(json.dumps(message), flush=True)
schema = {{"properties": {{"id": {{"type": "integer"}}}}}}
say({{"type": "SCHEMA", "stream": "s", "schema": schema, "key_properties": []}})
for n in range(start, {ROWS}):
    say({{"type": "RECORD", "stream": "s", "record": {{"id": n}}}})
    if n % 7 == 0:
        say({{"type": "STATE", "value": {{"n": n + 1}}}})
        time.sleep(0.01)
"""

ENGINE = """
import sys, uuid
from pathlib import Path
from headwater.model.plan import Block, ExtractLoad, Plan
from headwater.model.plugin import PluginKind
from headwater.run import extract_load, runner
from headwater.run.keeping import Keeping
from headwater.store.catalogs import Catalogs
from headwater.store.run_folders import RunFolders
from headwater.store.state_system_db import SystemDbStates
from headwater.store.system_db import SystemDb

root = Path(sys.argv[1])
home = root / ".headwater"
kinds = {"variant": None, "env": {"PATH": "/usr/bin:/bin"}}
tap = Block(kind=PluginKind.EXTRACTOR, name="tap-x", namespace="tap_x", native=None, config={"secret": "x"},
            argv=(sys.executable, "-S", str(root / "tap.py")), capabilities=("discover", "catalog", "state"), **kinds)
target = Block(kind=PluginKind.LOADER, name="target-duckdb", namespace="duckdb", native="duckdb", argv=(),
               config={"filepath": str(root / "w.duckdb")}, **kinds)
step = ExtractLoad(name="x", extractor=tap, loader=target, state_id="dev:x", commit_bytes=1)
keeping = Keeping(states=SystemDbStates(SystemDb(home)), catalogs=Catalogs(home), folders=RunFolders(home),
                  locks=home / "locks")
plan = Plan(run_id=str(uuid.uuid4()), root=str(root), home=str(home), environment=None, steps=(step,))
outcome = runner.execute(plan, {ExtractLoad: extract_load.executor(keeping)}, emit=lambda event: None,
                         cancel=runner.Cancel())
sys.exit(0 if outcome is runner.Outcome.SUCCESS else 1)
"""


def taps(root):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(root / "tap.py") in path.read_text():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def wait_for_writes(file, times):
    """Until the file was seen to change so many times: the engine is then somewhere in the middle of its work."""
    before, end = None, time.monotonic() + 60
    while times and time.monotonic() < end:
        now = file.stat().st_mtime_ns if file.exists() else None
        times -= now != before
        before = now
        time.sleep(0.003)


@pytest.mark.parametrize("writes", [(1, 5, 9), (4, 2, 7)])
def test_after_any_number_of_kills_every_row_stands_once(tmp_path, writes):
    (tmp_path / "tap.py").write_text(TAP)
    run = [sys.executable, "-c", ENGINE, str(tmp_path)]
    for times in writes:
        with subprocess.Popen(run) as engine:
            wait_for_writes(tmp_path / "w.duckdb", times)
            assert engine.poll() is None
            engine.kill()
    for _ in range(100):
        if not taps(tmp_path):
            break
        time.sleep(0.05)
    assert taps(tmp_path) == []
    assert subprocess.run(run, check=False).returncode == 0
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as connection:
        counts = connection.sql("select count(*), count(distinct id) from tap_x.s").fetchall()[0]
    assert counts == (ROWS, ROWS)
    assert [path.name for path in (tmp_path / ".headwater/run").iterdir()] == [".lock"]

"""A load that is killed at any instant leaves exactly the rows that its checkpoint speaks of."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time

import msgspec

LOAD = """
import json, sys
from pathlib import Path
import pyarrow as pa
from headwater.connect import registry
from headwater.connect.contract import OpenRequest, Rows, Schema

name, settings, folder, run_id = sys.argv[1:]
module = registry.destination(name)
request = OpenRequest(pipeline="shop", run_id=run_id, source="shop", folder=Path(folder) / run_id)
session = module.open(module.Settings(**json.loads(settings)), request)
columns = pa.schema([("id", pa.int64()), ("text", pa.string())])
done = json.loads(session.checkpoint() or b'{"n": 0}')["n"]
print("loading", flush=True)
session.prepare(Schema(stream="events", columns=columns))
session.prepare(Schema(stream="users", columns=columns, keys=("id",)))
while True:
    ids = range(done, done + 500)
    batch = pa.record_batch([list(ids), [f"text {n}" for n in ids]], schema=columns)
    for stream in ("events", "users"):
        session.stage(Rows(stream=stream, batch=batch))
    done += 500
    session.commit(json.dumps({"n": done}).encode())
"""


def test_kills_at_random_instants_lose_nothing_and_double_nothing(place):
    name = place.module.__name__.rpartition(".")[2]
    settings = json.dumps(msgspec.structs.asdict(place.settings()))
    chance = random.Random(name)  # noqa: S311 - a repeatable choice of instants, no secret
    for number in range(6):
        command = [sys.executable, "-c", LOAD, name, settings, str(place.folder), f"run-{number}"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "loading\n"
        time.sleep(chance.uniform(0.02, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        session = place.open(f"check-{number}", "shop")
        done = json.loads(session.checkpoint() or b'{"n": 0}')["n"]
        session.close()
        for stream in ("events", "users"):
            assert sorted(row["id"] for row in place.rows(stream) or []) == list(range(done))
    assert done > 0

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from headwater.model.event import CheckpointSaved, Notice, PluginLine, StepFinished
from headwater.model.plan import Block, ExtractLoad, Invoke, Plan
from headwater.model.plugin import PluginKind
from headwater.run import extract_load, invoke, runner
from headwater.run.keeping import Keeping
from headwater.store.catalogs import Catalogs
from headwater.store.run_folders import RunFolders
from headwater.store.state_system_db import SystemDbStates
from headwater.store.states import merged
from headwater.store.system_db import SystemDb

SCHEMA = '{"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":["id"]}'

# Says its lines; `python:` prefixes a statement to run in between.
TAP = f"""
import sys, time, os
def say(*lines):
    for line in lines: print(line, flush=True)
def record(n): say('{{"type":"RECORD","stream":"s","record":{{"id":%d}}}}' % n)
def state(n): say('{{"type":"STATE","value":{{"n":%d}}}}' % n)
def log(text): print(text, file=sys.stderr, flush=True)
if '--discover' in sys.argv:
    print('{{"streams":[{{"tap_stream_id":"s","schema":{{"properties":{{"id":{{"type":"integer"}}}}}},"metadata":[]}}]}}')
    sys.exit()
schema = {SCHEMA!r}
"""

TARGET = """
import sys, json, time, os
def log(text): print(text, file=sys.stderr, flush=True)
def load(after=lambda line: None):
    for line in sys.stdin:
        message = json.loads(line)
        open('loaded', 'a').write(line)
        if message['type'] == 'STATE': print(json.dumps(message['value']), flush=True)
        after(message)
"""


class Lab:
    """Real programs, written as Python scripts, run through the real executors."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / ".headwater"
        self.db = SystemDb(self.home)
        self.keeping = Keeping(
            states=SystemDbStates(self.db),
            catalogs=Catalogs(self.home),
            folders=RunFolders(self.home),
            locks=self.home / "locks",
        )
        self.events = []
        self.cancel = runner.Cancel()
        self.runs = 0

    def block(self, kind, script="", **fields):
        name = {"extractor": "tap-x", "loader": "target-x", "mapper": "map-x", "utility": "tool"}[kind]
        file = self.root / f"{name}.py"
        file.write_text({"extractor": TAP, "loader": TARGET}.get(kind, "") + script)
        defaults = {
            "variant": None,
            "namespace": name.replace("-", "_"),
            "native": None,
            "argv": (sys.executable, "-S", str(file)),
            "env": {"PATH": "/usr/bin:/bin"},
            "config": {"token": "hunter22"},
            "capabilities": ("discover", "catalog", "state"),
            "secrets": ("hunter22",),
            "fingerprint": "f1",
        }
        return Block(kind=PluginKind(kind), name=name, **(defaults | fields))

    def run(self, tap, target="load()", *, mapper=None, timeout=None, tap_fields=None, **fields):
        mappers = {"mappers": (self.block("mapper", mapper),)} if mapper else {}
        step = ExtractLoad(
            name="tap-x-to-target-x",
            extractor=self.block("extractor", tap, **(tap_fields or {})) if isinstance(tap, str) else tap,
            loader=self.block("loader", target) if isinstance(target, str) else target,
            **({"state_id": "dev:tap-x-to-target-x"} | mappers | fields),
        )
        return self.do(step, timeout=timeout)

    def do(self, step, timeout=None):
        self.runs += 1
        self.events.clear()
        plan = Plan(
            run_id=f"r{self.runs}",
            root=str(self.root),
            home=str(self.home),
            environment=None,
            steps=(step,),
            timeout_seconds=timeout,
        )
        executors = {ExtractLoad: extract_load.executor(self.keeping), Invoke: invoke.execute}
        outcome = runner.execute(plan, executors, emit=self.events.append, cancel=self.cancel)
        assert [path for path in (self.home / "run").glob("*") if path.name != ".lock"] == []
        return outcome

    def later(self, check, act):
        """Call `act` in a thread as soon as `check` holds."""

        def wait():
            pause = threading.Event()
            for _ in range(1000):
                if check():
                    act()
                    return
                pause.wait(0.01)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def problem(self):
        return self.of(StepFinished)[-1].problem

    @property
    def figures(self):
        return {item.stream: item for item in self.of(StepFinished)[-1].streams}

    @property
    def lines(self):
        return [event.text for event in self.of(PluginLine)]

    @property
    def notices(self):
        return [event.text for event in self.of(Notice)]

    @property
    def checkpoints(self):
        return [event.state for event in self.of(CheckpointSaved)]

    @property
    def state(self):
        return merged(self.keeping.states.read("dev:tap-x-to-target-x"))

    @property
    def loaded(self):
        file = self.root / "loaded"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.db.close()

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headwater.model.event import PluginLine
from headwater.model.plan import Block, Dbt, Invoke, Plan
from headwater.model.plugin import PluginKind
from headwater.run import runner
from headwater.transform.dbt import step as dbt

# A dbt of few lines: `words` runs in `cli`, with `say` for a JSON line of the log.
MAIN = """
import json, os, sys, time
class dbtRunner:
    def invoke(self, words): pass
def say(name, level="info", msg="", **data):
    print(json.dumps({"info": {"name": name, "level": level, "msg": msg}, "data": data}), flush=True)
def node(key, status, message=None, **run):
    kind, _, name = key.split(".")[:3]
    info = {"unique_id": key, "node_name": name, "resource_type": kind}
    say("NodeFinished", "debug", node_info=info, run_result={"status": status, "message": message, **run})
count = 0
def cli():
"""
PROGRAM = "#!{python}\nimport sys\nsys.path.insert(0, {lib!r})\nfrom dbt.cli.main import cli\nsys.exit(cli())\n"


class Lab:
    """A dbt project, and a program `dbt` beside a Python that can import it, as in an environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events = []
        self.cancel = runner.Cancel()
        self.venv = root / "venv"
        (root / "transform").mkdir()
        (root / "transform" / "dbt_project.yml").write_text("name: shop\n")
        (self.venv / "bin").mkdir(parents=True)
        (self.venv / "bin" / "python").symlink_to(sys.executable)

    def dbt(self, words: str) -> None:
        """What `dbt` does, a line each."""
        package = self.root / "lib" / "dbt" / "cli"
        package.mkdir(parents=True, exist_ok=True)
        (package / "main.py").write_text(MAIN + "".join(f"    {line}\n" for line in words.strip().splitlines()))
        program = self.venv / "bin" / "dbt"
        program.write_text(PROGRAM.format(python=sys.executable, lib=str(self.root / "lib")))
        program.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def step(self, *words: str, **more):
        program = str(self.venv / "bin" / "dbt")
        env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.root / "lib"), "DBT_PROJECT_DIR": "transform"}
        block = Block(
            kind=PluginKind.UTILITY,
            name="dbt",
            variant=None,
            namespace="dbt",
            native=None,
            argv=(program,),
            env=env | more.pop("env", {}),
            config={},
            venv=str(self.venv),
            secrets=("hunter22",),
        )
        known = Dbt(**{"adapter": None} | more)
        name = f"dbt:{words[0]}"
        return Invoke(name=name, block=block, command=words[0], argv=(program, *words), cwd=str(self.root), dbt=known)

    def run(self, *steps):
        self.events.clear()
        plan = Plan(run_id="r", root=str(self.root), home=str(self.root), environment=None, steps=steps)
        return runner.execute(plan, {Invoke: dbt.executor()}, emit=self.events.append, cancel=self.cancel)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def problem(self):
        return self.events[-2].problem

    @property
    def lines(self):
        return [event.text for event in self.of(PluginLine)]


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from headwater.model.event import Checked
from headwater.model.plan import Block, Checker, Invoke, Plan
from headwater.model.plugin import PluginKind
from headwater.quality.checkers import step as checkers
from headwater.run import runner


class Lab:
    """A project with a small program in the place of the Python that runs a driver."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events = []
        self.hear = self.events.append
        self.cancel = runner.Cancel()

    def says(self, *told, code=0, before="", after="") -> None:
        """What the driver reports, a line each, with some Python `before` it and `after` it."""
        lines = "".join(json.dumps(one) + "\n" if isinstance(one, dict) else one for one in told)
        program = self.root / "python"
        program.write_text(
            f"#!{sys.executable} -S\nimport sys\n{before}\n"
            f"open({str(self.root / 'argv')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
            f"sys.stdout.write({lines!r})\nsys.stdout.flush()\n{after}\nsys.exit({code})\n"
        )
        program.chmod(0o755)

    def step(self, driver="soda", words=("verify",), files=()):
        name = {"soda": "soda", "great_expectations": "gx"}[driver]
        block = Block(
            kind=PluginKind.UTILITY,
            name=name,
            variant="headwater",
            namespace=driver,
            native=None,
            argv=(),
            env={"PATH": "/usr/bin:/bin"},
            config={},
            secrets=("hunter22",),
        )
        return Invoke(
            name=f"{name}:{words[0]}",
            block=block,
            command=words[0],
            argv=(str(self.root / "python"), *words),
            cwd=str(self.root),
            checker=Checker(driver=driver, folder=str(self.root / name), files=tuple(map(str, files))),
        )

    def run(self, step):
        self.events.clear()
        plan = Plan(run_id="r", root=str(self.root), home=str(self.root), environment=None, steps=(step,))
        return runner.execute(plan, {Invoke: checkers.execute}, emit=self.hear, cancel=self.cancel)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def outcomes(self):
        return {event.check: str(event.outcome) for event in self.of(Checked)}

    @property
    def problem(self):
        return self.events[-2].problem


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)

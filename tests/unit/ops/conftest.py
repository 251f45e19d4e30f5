from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from headwater.base.errors import HeadwaterError
from headwater.cli.problems import error_text
from headwater.ops.workspace import find
from headwater.run.cancel import Cancel

FIXTURES = Path(__file__).parents[2] / "fixtures"


class Lab:
    """A project in a folder of its own; `workspace()` loads it anew."""

    def __init__(self, root):
        self.root = root
        self.events = []
        self.emit = self.events.append
        self.cancel = Cancel()

    def workspace(self, **choices):
        return find(self.root, **choices)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name):
        text = (FIXTURES / f"{name}.py").read_text()
        self.write(f"bin/{name}", f"#!{sys.executable} -S\n{text}").chmod(0o755)

    def text(self, name="headwater.yml"):
        return (self.root / name).read_text()

    def refusal(self, verb, *args, **more):
        with pytest.raises(HeadwaterError) as caught:
            verb(*args, **more)
        return error_text(caught.value).replace(str(self.root), ".")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("HEADWATER", "MELTANO", "TAP_", "TARGET_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HEADWATER_HUB_OFFLINE", "1")  # no test asks the real one


@pytest.fixture
def lab(tmp_path):
    """`lab(text)` makes a project with that project file."""

    def make(text="plugins: {}\n"):
        made = Lab(tmp_path)
        made.write("headwater.yml", text)
        return made

    return make

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from headwater.cli.main import run

FIXTURES = Path(__file__).parents[2] / "fixtures"
PROJECT = """\
default_environment: dev
environments:
- name: dev
- name: prod
plugins:
  extractors:
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings:
    - {name: upto, kind: integer, value: 3}
    - {name: die_after, kind: integer}
    - {name: pause, kind: decimal}
    - {name: secret, sensitive: true}
  - name: tap-files
    variant: headwater
    config: {path: data/*.csv}
  loaders:
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
    settings:
    - {name: die_after, kind: integer}
  - name: target-duckdb
    variant: headwater
  utilities:
  - name: say
    namespace: say
    executable: echo
    commands:
      hi: {args: hi there, description: Says hi}
jobs:
- name: daily
  tasks: [tap-numbers target-lines, "say:hi"]
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        return self.err[self.err.index("error: ") :]


class Cli:
    """The command line, called as a function, in a project folder."""

    def __init__(self, root, capsys):
        self.root = root
        self._capsys = capsys

    def __call__(self, *words):
        self._capsys.readouterr()
        code = run(["--cwd", str(self.root), *map(str, words)])
        return Done(code, *self._capsys.readouterr())

    def ok(self, *words):
        done = self(*words)
        assert done.code == 0, done.err
        return done

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("HEADWATER", "MELTANO", "TAP_", "TARGET_", "FORCE_COLOR", "NO_COLOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HEADWATER_HUB_OFFLINE", "1")  # no test asks the real one


@pytest.fixture
def empty(tmp_path, capsys):
    """The command line in a folder that is no project."""
    root = tmp_path / "my project"
    root.mkdir()
    return Cli(root, capsys)


@pytest.fixture
def hw(empty):
    """The command line in a project with real small plugins."""
    empty.write("headwater.yml", PROJECT)
    empty.write("data/people.csv", "id,name\n1,Ada\n2,Bo\n")
    for name in ("tap_numbers", "target_lines"):
        program = empty.write(f"bin/{name}", f"#!{sys.executable} -S\n{(FIXTURES / f'{name}.py').read_text()}")
        program.chmod(0o755)
    return empty

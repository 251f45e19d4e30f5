"""A planted password must be nowhere but in `.env`, in the plugin's private config file and in its environment."""

from __future__ import annotations

import base64
import stat
import urllib.parse
from pathlib import Path

import pytest

CANARY = 'canary/7Zq+"9&x'

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings:
    - {name: secret, kind: password}
    - {name: upto, kind: integer}
    - {name: pause}
    - {name: die_after, kind: integer}
    - {name: chatter, kind: boolean}
    config: {password: $TAP_NUMBERS_SECRET}
  loaders:
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
  - name: target-duckdb
    variant: headwater
"""

FORMS = [
    form.encode()
    for form in (
        CANARY,
        CANARY.replace('"', '\\"'),
        urllib.parse.quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode(),
        "7Zq+",
    )
]


@pytest.fixture
def careless(project):
    """A project whose tap logs its password."""
    hw = project(PROJECT)
    hw.script("tap_numbers")
    hw.script("target_lines")
    hw.write(".env", f"TAP_NUMBERS_SECRET='{CANARY}'\n")
    return hw


def told(data):
    return [form for form in FORMS if form in (data if isinstance(data, bytes) else data.encode())]


def holders(root: Path):
    """Files below that hold the password."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and told(path.read_bytes()))


def test_a_run_tells_the_password_to_nobody(careless):
    for command in (
        ("run", "tap-numbers", "target-lines"),
        ("run", "tap-numbers", "target-duckdb"),
        ("--log-level", "debug", "run", "--full-refresh", "tap-numbers", "target-duckdb"),
        ("--log-format", "json", "run", "--full-refresh", "tap-numbers", "target-lines"),
    ):
        done = careless.ok(*command)
        assert "connecting with (redacted)" in done.err
        assert (told(done.out), told(done.err)) == ([], [])
    assert holders(careless.root) == [".env"]
    assert holders(Path(careless.environ["HOME"])) == []


def test_a_failing_run_does_not_either(careless):
    for failure in ({"TAP_NUMBERS_DIE_AFTER": 3}, {"TAP_NUMBERS_CHATTER": "true"}):
        for loader in ("target-lines", "target-duckdb"):
            done = careless("run", "tap-numbers", loader, **failure)
            assert done.code == 1
            assert (told(done.out), told(done.err)) == ([], [])
    assert holders(careless.root) == [".env"]


@pytest.mark.parametrize(
    "command",
    [
        ("config", "list", "tap-numbers"),
        ("config", "list", "tap-numbers", "--all"),
        ("config", "list", "tap-numbers", "--json"),
        ("config", "print", "tap-numbers"),
        ("config", "print", "tap-numbers", "--format", "env"),
        ("run", "--dry-run", "tap-numbers", "target-duckdb"),
        ("doctor", "--json"),
        ("plugin", "list", "--json"),
    ],
    ids=" ".join,
)
def test_no_command_shows_the_password(careless, command):
    done = careless.ok(*command)
    assert (told(done.out), told(done.err)) == ([], [])


def test_the_history_does_not_hold_it(careless):
    careless("run", "tap-numbers", "target-lines", TAP_NUMBERS_DIE_AFTER=3)
    for command in (("logs", "show", "last"), ("logs", "show", "last", "--json")):
        done = careless.ok(*command)
        assert "(redacted)" in done.out
        assert told(done.out) == []


def test_a_wrong_value_is_not_repeated_when_it_is_a_secret(careless):
    careless.write(".env", f"TAP_NUMBERS_UPTO='{CANARY}'\n")
    done = careless("run", "tap-numbers", "target-lines")
    assert done.code == 2  # `upto` is no secret: its value may be shown
    careless.write("headwater.yml", PROJECT.replace("kind: password", "kind: integer, sensitive: true"))
    careless.write(".env", f"TAP_NUMBERS_SECRET='{CANARY}'\n")
    done = careless("run", "tap-numbers", "target-lines")
    assert done.code == 2
    assert told(done.err) == []


def test_a_secret_that_is_set_goes_to_the_env_file_and_not_to_the_screen(careless):
    (careless.root / ".env").unlink()
    done = careless.ok("config", "set", "tap-numbers", "secret", CANARY)
    assert (told(done.out), told(done.err)) == ([], [])
    assert holders(careless.root) == [".env"]
    assert stat.S_IMODE((careless.root / ".env").stat().st_mode) == 0o600
    assert CANARY in careless.ok("config", "print", "tap-numbers", "--format", "env", "--unsafe").out


def test_while_it_runs_the_password_is_in_no_command_line_and_in_private_files_only(careless, group_members, until):
    process = careless.start("run", "tap-numbers", "target-lines", TAP_NUMBERS_UPTO=100_000, TAP_NUMBERS_PAUSE=0.01)
    until((careless.root / "loaded.jsonl").exists, what="rows")
    commands = group_members(careless.root)
    assert any("tap_numbers" in command for command in commands)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            assert told((folder / "cmdline").read_bytes()) == []
        except (FileNotFoundError, ProcessLookupError):
            continue
    held = [careless.root / name for name in holders(careless.root) if name != ".env"]
    assert held  # the plugin's config file
    for file in held:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert any(stat.S_IMODE(parent.stat().st_mode) == 0o700 for parent in file.parents)
    process.terminate()
    assert process.wait(60) == 143
    assert told(careless.stderr) == []
    assert holders(careless.root) == [".env"]


def test_a_real_tap_with_a_wrong_host_does_not_tell_its_password(hw, installed, postgres):
    hw.write("headwater.yml", "default_environment: dev\nenvironments: [{name: dev}]\n")
    installed(hw, "tap-postgres", "--variant", "meltanolabs")
    hw.ok("add", "target-duckdb")
    url = f"postgresql://postgres:{urllib.parse.quote(CANARY, safe='')}@127.0.0.1:1/nothing"
    hw.write(".env", f"TAP_POSTGRES_SQLALCHEMY_URL='{url}'\nTAP_POSTGRES_PASSWORD='{CANARY}'\n")
    done = hw("--log-level", "debug", "run", "tap-postgres", "target-duckdb")
    assert done.code == 1
    assert told(done.out + done.err) == []
    assert holders(hw.root) == [".env"]

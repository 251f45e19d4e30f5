"""A hub of our own, as a folder that any web server serves and as `hub serve`: both programs take plugins from it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop_in import MODE

HEADWATER = str(Path(sys.executable).parent / "headwater")
PROGRAMS = ["headwater", pytest.param("meltano", marks=pytest.mark.skipif(MODE == "", reason="answers are kept"))]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of definitions: a tap in a wheel, whose program says hello."""
    folder = tmp_path_factory.mktemp("company")
    wheel = folder / "tap_company-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "tap_company-1.0.dist-info"
        archive.writestr("tap_company.py", "def main():\n    print('hello')\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tap-company\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntap-company = tap_company:main\n")
        archive.writestr(f"{info}/RECORD", "")
    (folder / "hub" / "extractors").mkdir(parents=True)
    definition = {
        "name": "tap-company",
        "variant": "acme",
        "namespace": "tap_company",
        "pip_url": str(wheel),
        "capabilities": ["catalog", "discover"],
        "settings": [{"name": "token", "sensitive": True}, {"name": "since", "kind": "date_iso8601"}],
    }
    (folder / "hub" / "extractors" / "tap-company.yml").write_text(json.dumps(definition))
    return folder / "hub"


@contextlib.contextmanager
def line_of(*command: object) -> Iterator[str]:
    """The first line that a server prints; it runs meanwhile."""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline()
        finally:
            server.terminate()


@pytest.fixture(scope="module", params=["served", "exported"])
def address(
    request: pytest.FixtureRequest, definitions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "served":
        with line_of(HEADWATER, "hub", "serve", definitions, "--port", "0") as line:
            yield line.rpartition("=")[2].strip()
        return
    out = tmp_path_factory.mktemp("out")
    with line_of(sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", out) as line:
        url = line.partition("(")[2].partition(")")[0].rstrip("/")
        subprocess.run([HEADWATER, "hub", "build", out, "--from", definitions, "--url", url], check=True)
        yield url


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_plugin_is_added_locked_and_installed_from_it(
    request: pytest.FixtureRequest, tmp_path: Path, address: str, name: str
) -> None:
    program = HEADWATER if name == "headwater" else request.getfixturevalue("meltano")[0]
    (tmp_path / "meltano.yml").write_text("version: 1\ndefault_environment: dev\nenvironments: [{name: dev}]\n")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MELTANO_HUB_API_ROOT": f"{address}/meltano/api/v1",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
    }

    def run(*words: str) -> str:
        done = subprocess.run([program, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("hub", "ping")
    listed = json.loads(run("hub", "list", "--format", "json", "company"))
    assert listed == [{"type": "extractor", "name": "tap-company", "variant": "acme", "default": True}]
    run("add", "tap-company", "--no-install")
    lock = tmp_path / "plugins" / "extractors" / "tap-company--acme.lock"
    first = lock.read_text()
    lock.unlink()
    run("lock", "tap-company")
    assert lock.read_text() == first
    assert [setting["name"] for setting in json.loads(first)["settings"]] == ["token", "since"]
    run("lock", "--update", "tap-company")
    run("install", "tap-company")
    assert run("invoke", "tap-company", "--version") == "hello\n"

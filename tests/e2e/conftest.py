"""The program as its users meet it: a subprocess in a folder, plugins from PyPI, files and databases that are real."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"
# What the shell of the session knows and a plugin's installation needs; nothing else comes in.
PASSED_ON = re.compile(r"^(PATH|LANG|LC_\w+|TMPDIR|(UV|PIP|SSL)_\w+|\w+_CA_BUNDLE|\w+_proxy)$", re.IGNORECASE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error as it was printed, from `error:` on."""
        return self.err[self.err.index("error: ") :] if "error: " in self.err else self.err


class Cli:
    """The command line in one project folder."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        # The most that a file may grow to, None for no limit.
        self.file_bytes: int | None = None
        self.environ = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        self.environ |= {"HOME": str(home), "UV_CACHE_DIR": _uv_cache(), "HEADWATER_HUB_OFFLINE": "1"}

    def __call__(self, *args: object, stdin: str | bytes | None = None, timeout: float = 300, **env: object) -> Done:
        """Run `headwater ARGS` to its end. Further keywords are environment variables."""
        done = subprocess.run(
            self.argv(*args),
            cwd=self.root,
            env=self._env(env),
            input=stdin.encode() if isinstance(stdin, str) else stdin or b"",
            capture_output=True,
            timeout=timeout,
            check=False,
            preexec_fn=self._limit if self.file_bytes is not None else None,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *args: object, **options: Any) -> Done:
        """The same, for a command that has to end well."""
        done = self(*args, **options)
        assert done.code == 0, f"headwater {' '.join(map(str, args))} exited with {done.code}:\n{done.out}\n{done.err}"
        assert "Traceback" not in done.err
        return done

    def start(self, *args: object, **env: object) -> subprocess.Popen[str]:
        """Start it in a process group of its own; its stderr goes to `stderr.txt` in the project's parent."""
        with (self.root.parent / "stderr.txt").open("w") as err:
            return subprocess.Popen(
                self.argv(*args),
                cwd=self.root,
                env=self._env(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                process_group=0,
            )

    @property
    def stderr(self) -> str:
        return (self.root.parent / "stderr.txt").read_text()

    def argv(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "headwater", *map(str, args)]

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def script(self, name: str) -> str:
        """Put a script of tests/fixtures into the project as a program; answers its path there."""
        text = (FIXTURES / f"{name}.py").read_text()
        path = self.write(f"bin/{name}", f"#!{sys.executable} -S\n{text}")
        path.chmod(0o755)
        return f"./bin/{name}"

    def query(self, sql: str, file: str = "warehouse.duckdb") -> list[tuple]:
        """Rows of the warehouse, which must be in nobody's hands."""
        with duckdb.connect(str(self.root / file), read_only=True) as connection:
            return connection.sql(sql).fetchall()

    def state(self, state_id: str) -> Any:
        return json.loads(self.ok("state", "get", state_id).out)["singer_state"]

    def _limit(self) -> None:
        assert self.file_bytes is not None
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_bytes, self.file_bytes))

    def _env(self, env: dict[str, object]) -> dict[str, str]:
        return {**self.environ, **{name: str(value) for name, value in env.items() if value is not None}}


def _uv_cache() -> str:
    """The session's own cache: HOME is another one for the tests, and installs should stay warm."""
    return os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")


@pytest.fixture
def hw(tmp_path: Path) -> Cli:
    """The command line in an empty folder, with an empty home."""
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    return Cli(root, home)


@pytest.fixture
def project(hw: Cli) -> Callable[..., Cli]:
    """Makes the folder a project: `project(text)` writes headwater.yml."""

    def make(text: str, file: str = "headwater.yml") -> Cli:
        hw.write(file, text)
        return hw

    return make


class Shelf:
    """Plugins from PyPI, each installed once in a session through the command line."""

    def __init__(self, hw: Cli) -> None:
        self._hw = hw
        self._names: set[str] = set()
        hw.ok("init", ".")

    def __call__(self, hw: Cli, name: str, *options: str) -> None:
        """Add a plugin to a project, with its environment."""
        hw.ok("add", "--no-install", name, *options)
        self.copy(hw, name, *options)

    def copy(self, hw: Cli, name: str, *options: str) -> None:
        """The environment and the pins of a plugin that the project has already."""
        if name not in self._names:
            self._hw.ok("add", name, *options, timeout=300)
            self._names.add(name)
        for folder in (self._hw.root / ".headwater").glob(f"*/{name}"):
            link = hw.root / ".headwater" / folder.parent.name / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)
        for pins in (self._hw.root / "plugins").rglob(f"{name}*"):
            hw.write(str(pins.relative_to(self._hw.root)), pins.read_bytes())


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    place = tmp_path_factory.mktemp("plugins")
    (place / "home").mkdir()
    (place / "project").mkdir()
    return Shelf(Cli(place / "project", place / "home"))


def wait_until(check: Callable[[], Any], *, seconds: float = 120, what: str = "") -> Any:
    """What `check` answers, once it is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = check()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain{f' for {what}' if what else ''}")


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def group_members() -> Iterator[Callable[[Path], list[str]]]:
    """Command lines of the processes that work in a folder. What is left of them at the end is killed."""
    asked: set[Path] = set()

    def members(root: Path) -> list[str]:
        asked.add(root)
        return [command for _, command in _processes(root)]

    yield members
    for root in asked:
        for pid, _ in _processes(root):
            os.kill(pid, signal.SIGKILL)


def _processes(root: Path) -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").resolve() == root:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append((int(folder.name), command))
        except OSError:  # it has just gone
            continue
    return [(pid, command) for pid, command in found if command]


# Plugins of others, by the names they have in the test project, with what to install. Exact versions, for what they do
# wrong is asserted too.
THIRD_PARTY_TAPS = {
    "tap-postgres-ml": ("meltanolabs-tap-postgres==0.10.0", "tap-postgres", ["catalog", "discover", "state"]),
    "tap-postgres-pw": ("pipelinewise-tap-postgres==2.1.0", "tap-postgres", ["properties", "discover", "state"]),
    "tap-mysql-pw": ("pipelinewise-tap-mysql==1.6.0", "tap-mysql", ["properties", "discover", "state"]),
    "tap-mysql-si": ("tap-mysql==1.17.7", "tap-mysql", ["properties", "discover", "state"]),
    "tap-singer-jsonl": ("tap-singer-jsonl==0.1.0", "tap-singer-jsonl", []),
    "tap-s3-csv": ("pipelinewise-tap-s3-csv==3.0.1", "tap-s3-csv", ["properties", "discover", "state"]),
    "tap-rest-api": ("tap-rest-api-msdk==1.4.2", "tap-rest-api-msdk", ["catalog", "discover", "state"]),
    "tap-feed": ("tap-feed==1.1.1", "tap-feed", ["catalog", "discover", "state"]),
}
THIRD_PARTY_TARGETS = {
    "target-jsonl-th": ("target-jsonl==0.1.4", "target-jsonl"),
    "target-csv-ml": ("meltanolabs-target-csv==0.5.0", "target-csv"),
    "target-csv-si": ("target-csv==0.3.0", "target-csv"),
    "target-postgres-ml": ("meltanolabs-target-postgres==0.8.1", "target-postgres"),
    "target-postgres-pw": ("pipelinewise-target-postgres==2.1.2", "target-postgres"),
    "target-duckdb-jw": ("target-duckdb==0.8.0", "target-duckdb"),
    "target-sqlite": ("target-sqlite==0.2.0", "target-sqlite"),
    "target-singer-jsonl": ("target-singer-jsonl==0.1.0", "target-singer-jsonl"),
}


@pytest.fixture(scope="session")
def third_parties(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A project with all of them, installed at once, beside the native `tap-files` and `target-duckdb`."""
    place = tmp_path_factory.mktemp("third-parties")
    (place / "home").mkdir()
    (place / "project").mkdir()
    hw = Cli(place / "project", place / "home")
    taps = [
        {"name": name, "namespace": name.replace("-", "_"), "pip_url": url, "executable": program, "capabilities": can}
        for name, (url, program, can) in THIRD_PARTY_TAPS.items()
    ]
    targets = [
        {"name": name, "namespace": name.replace("-", "_"), "pip_url": url, "executable": program}
        for name, (url, program) in THIRD_PARTY_TARGETS.items()
    ]
    project = {
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "plugins": {
            "extractors": [{"name": "tap-files", "variant": "headwater"}, *taps],
            "loaders": [{"name": "target-duckdb", "variant": "headwater"}, *targets],
        },
    }
    hw.write("headwater.yml", json.dumps(project))
    hw.ok("install", timeout=600)
    return hw

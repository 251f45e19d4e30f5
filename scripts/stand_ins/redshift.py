"""A stand-in for Redshift: a PostgreSQL from a wheel, behind a door that takes what only Redshift knows out of the
first message of a session. Prints where it listens, and ends with its input.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pgserver

KNOWN = (b"user", b"database", b"application_name", b"client_encoding")

# What dbt's adapter asks for and PostgreSQL has not.
FUNCTIONS = """
create function getdate() returns timestamp language sql as $$ select now() at time zone 'UTC' $$;
create function pg_get_late_binding_view_cols() returns setof record language sql as
$$ select null::name, null::name, null::name, null::varchar, null::int where false $$;
set allow_system_table_mods = on;
create table pg_catalog.svv_external_columns (
  schemaname text, tablename text, columnname text, external_type text, columnnum int
);
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="redshift-", dir="/tmp") as folder:  # sockets have short paths
        server = pgserver.get_server(Path(folder) / "data")
        server.psql("create database shop")
        server.psql(f"\\c shop\n{FUNCTIONS}")
        (path,) = Path(server.pgdata).glob(".s.PGSQL.*[0-9]")
        door = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=accept, args=(door, str(path)), daemon=True).start()
        print(json.dumps({"host": "127.0.0.1", "port": door.getsockname()[1]}), flush=True)
        sys.stdin.read()
        server.cleanup()


def accept(door: socket.socket, path: str) -> None:
    while True:
        theirs, _ = door.accept()
        threading.Thread(target=session, args=(theirs, path), daemon=True).start()


def session(theirs: socket.socket, path: str) -> None:
    ours = socket.socket(socket.AF_UNIX)
    ours.connect(path)
    ours.sendall(plain(first(theirs)))
    threading.Thread(target=pump, args=(theirs, ours), daemon=True).start()
    pump(ours, theirs)


def first(connection: socket.socket) -> bytes:
    """The parameters of the first message, behind its version."""
    size = int.from_bytes(exactly(connection, 4), "big")
    return exactly(connection, size - 4)[4:]


def plain(parameters: bytes) -> bytes:
    words = parameters.rstrip(b"\0").split(b"\0")
    kept = b"".join(
        name + b"\0" + value + b"\0" for name, value in zip(words[::2], words[1::2], strict=False) if name in KNOWN
    )
    message = (196608).to_bytes(4, "big") + kept + b"\0"
    return (len(message) + 4).to_bytes(4, "big") + message


def exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += connection.recv(size - len(found))
    return found


def pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(1 << 16):
            other.sendall(data)
    except OSError:
        pass
    finally:
        other.close()


if __name__ == "__main__":
    main()

"""An SFTP server within the process of the tests: a folder, one user, one key."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import paramiko

USER, PASSWORD = "reader", "sftp-canary-7hD2vQx"


class Sftp(NamedTuple):
    """A running server. `known_hosts` is a file with its key."""

    port: int
    root: Path
    known_hosts: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"sftp_password": PASSWORD, "sftp_known_hosts": str(self.known_hosts)}

    @property
    def address(self) -> str:
        return f"sftp://{USER}@127.0.0.1:{self.port}"


@contextmanager
def running(folder: Path) -> Iterator[Sftp]:
    root = folder / "root"
    root.mkdir(parents=True)
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        threading.Thread(target=_accept, args=(listening, key, root), daemon=True).start()
        yield Sftp(port, root, known_hosts)


def _accept(listening: socket.socket, key: paramiko.PKey, root: Path) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Folder, root)
        transport.start_server(event=threading.Event(), server=_Door())


class _Door(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        is_right = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password"


class _Folder(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, root: Path) -> None:
        super().__init__(server)
        self._root = root

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        try:
            found = sorted(os.scandir(self._at(path)), key=lambda entry: entry.name)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return [paramiko.SFTPAttributes.from_stat(entry.stat(), filename=entry.name) for entry in found]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._at(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        try:
            file = self._at(path).open("rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = file
        return handle

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")

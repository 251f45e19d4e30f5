"""A way to a database that only another host can reach: the system's `ssh` forwards a port of this machine.

`ssh` and no library: the user's own configuration, agent and known hosts work as they do at the prompt, and the host's
key is checked.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from headwater.base import process
from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.files import private_folder, write_atomic
from headwater.connect.destinations.postgres.address import Address

_CONNECT_SECONDS = 30.0
_GRACE_SECONDS = 2.0
_ATTEMPTS = 3  # somebody else may take the port before ssh does
_LOCAL = "127.0.0.1"
_OPTIONS = {
    "ExitOnForwardFailure": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    # Said once the port is open.
    "PermitLocalCommand": "yes",
    "LocalCommand": "echo open",
}


class SshTunnel(Struct, frozen=True, kw_only=True):
    """Named as the settings `ssh_tunnel.*` of MeltanoLabs' tap-postgres; `known_hosts` is our own. A key and known
    hosts are paths, or what such a file holds."""

    enable: bool = False
    host: str | None = None
    port: int = 22
    username: str | None = None
    private_key: str | None = None
    private_key_password: str | None = None
    known_hosts: str | None = None

    def __repr__(self) -> str:
        return f"SshTunnel(enable={self.enable}, host={self.host!r}, port={self.port}, …)"


@contextlib.contextmanager
def opened(tunnel: SshTunnel, address: Address, folder: Path, env: Mapping[str, str]) -> Iterator[Address]:
    """The same database by way of the tunnel, for as long as the tunnel is open; `address` itself when there is none.
    Files with keys are put below `folder`, which is private. Raises InputError, EnvironmentProblemError."""
    if not tunnel.enable:
        yield address
        return
    if not tunnel.host or tunnel.host.startswith("-"):
        raise InputError(
            "missing-setting",
            "`ssh_tunnel.enable` asks for a tunnel, and `ssh_tunnel.host` does not say to which host",
            hint=f"headwater config set {address.plugin} ssh_tunnel.host HOST",
        )
    argv = _argv(tunnel, folder)
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        forward = f"{_LOCAL}:{port}:{_bracketed(address.host)}:{address.port}"
        with _running([*argv, "-L", forward, "--", tunnel.host], env) as (child, is_open):
            if is_open:
                yield address.by_way_of(_LOCAL, port)
                return
            child.wait(_GRACE_SECONDS)  # for its last words
            if attempt < _ATTEMPTS and any("already in use" in line.lower() for line in child.tail):
                continue
            raise _failed(tunnel, address.plugin, child)


@contextlib.contextmanager
def _running(argv: list[str], env: Mapping[str, str]) -> Iterator[tuple[process.Child, bool]]:
    reader, writer = process.pipe()
    try:
        try:
            child = process.Child(argv, name="ssh", env=env, stdout=writer, on_line=lambda _line: None)
        finally:
            os.close(writer)
        try:
            yield child, _is_open(reader)
        finally:
            child.terminate(_GRACE_SECONDS)
    finally:
        os.close(reader)


def _is_open(reader: int) -> bool:
    """Waits until ssh says so, has ended, or has had its time."""
    until = monotonic() + _CONNECT_SECONDS
    said = b""
    while b"\n" not in said and (left := until - monotonic()) > 0:
        if process.is_readable(reader, left):
            data = os.read(reader, 100)
            if not data:
                return False
            said += data
    return b"open" in said


def _argv(tunnel: SshTunnel, folder: Path) -> list[str]:
    options = dict(_OPTIONS)
    argv = ["ssh", "-N", "-T", "-a", "-x", "-p", str(tunnel.port)]
    if tunnel.username:
        argv += ["-l", tunnel.username]
    if tunnel.known_hosts:
        options["UserKnownHostsFile"] = _file(tunnel.known_hosts, folder / "known_hosts", "ssh-")
    if tunnel.private_key:
        argv += ["-i", _file(tunnel.private_key, folder / "key", "-----BEGIN")]
        options |= {"IdentitiesOnly": "yes"}
    if tunnel.private_key_password:
        argv = [*_asking(tunnel.private_key_password, folder), *argv]
        options |= {"NumberOfPasswordPrompts": "1", "PreferredAuthentications": "publickey"}
    else:
        options["BatchMode"] = "yes"
    return [*argv, *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


def _asking(password: str, folder: Path) -> list[str]:
    """What has ssh ask a program of ours for the key's password: on a command line everybody could read it."""
    private_folder(folder)
    secret, program = folder / "key-password", folder / "ask"
    write_atomic(secret, password.encode() + b"\n", mode=0o600)
    write_atomic(program, f"#!/bin/sh\nexec cat '{secret}'\n".encode(), mode=0o700)
    return ["/usr/bin/env", f"SSH_ASKPASS={program}", "SSH_ASKPASS_REQUIRE=force"]


def _file(given: str, place: Path, mark: str) -> str:
    """The path that was given, or `place` with what was."""
    if mark not in given:
        return str(Path(given).expanduser())
    private_folder(place.parent)
    write_atomic(place, given.strip().encode() + b"\n", mode=0o600)
    return str(place)


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind((_LOCAL, 0))
        return int(asked.getsockname()[1])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _failed(tunnel: SshTunnel, plugin: str, child: process.Child) -> EnvironmentProblemError:
    said = [line for line in child.tail if line.strip(" @")]
    text = " ".join(said[-3:]) or f"no answer in {_CONNECT_SECONDS:.0f} seconds"
    place = f"{tunnel.host}:{tunnel.port}"
    if "host key verification failed" in text.lower():
        return EnvironmentProblemError(
            "unknown-host-key",
            f"the key of the SSH host {place} is not known, or is another one",
            why=text,
            hint=f"compare what ssh-keyscan -p {tunnel.port} {tunnel.host} says with what its owner says, then "
            f"headwater config set {plugin} ssh_tunnel.known_hosts LINE",
        )
    if "permission denied" in text.lower():
        return EnvironmentProblemError(
            "ssh-refused",
            f"the SSH host {place} does not let `{tunnel.username or 'you'}` in",
            why=text,
            hint=f"headwater config set {plugin} ssh_tunnel.private_key PATH, and ssh_tunnel.username",
        )
    return EnvironmentProblemError(
        "no-ssh-tunnel",
        f"cannot open a tunnel by way of the SSH host {place}",
        why=text,
        hint=f"try it yourself: ssh -v -p {tunnel.port} {tunnel.host}",
    )

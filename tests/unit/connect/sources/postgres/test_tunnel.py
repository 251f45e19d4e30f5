"""Tunnels through a real SSH server of this machine, and certificates that a real PostgreSQL shows."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.connect.sources.postgres.tunnel import SshTunnel


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    """Skips where OpenSSH's server is not installed, but never in CI, which installs it."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("there is no SSH server: apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("ssh")
    for name, password in (("host", ""), ("key", ""), ("locked", "key-canary")):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", password, "-f", folder / name]
        subprocess.run(made, check=True)
    keys = [(folder / f"{name}.pub").read_text() for name in ("key", "locked")]
    (folder / "authorized_keys").write_text("".join(keys))
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
    }
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    server = subprocess.Popen([program, "-D", "-e", "-f", "/dev/null", *given], stderr=subprocess.DEVNULL)
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    yield Bastion(folder, port)
    server.terminate()
    server.wait(10)


class Bastion:
    def __init__(self, folder, port):
        self.folder, self.port = folder, port

    def tunnel(self, **more):
        host_key = (self.folder / "host.pub").read_text()
        given = {
            "host": "127.0.0.1",
            "username": getpass.getuser(),
            "private_key": str(self.folder / "key"),
            "known_hosts": f"[127.0.0.1]:{self.port} {host_key}",
        }
        return SshTunnel(enable=True, port=self.port, **{**given, **more})


def refused(shop, tunnel):
    with pytest.raises((InputError, EnvironmentProblemError)) as caught:
        shop.catalog(ssh_tunnel=tunnel)
    return caught.value


@pytest.mark.parametrize("key", ["path", "text", "with a password"])
def test_a_database_is_read_by_way_of_another_host(shop, bastion, key):
    shop.sql("create table t (id int primary key); insert into t values (1)")
    more = {
        "path": {},
        "text": {"private_key": (bastion.folder / "key").read_text().strip()},
        "with a password": {"private_key": str(bastion.folder / "locked"), "private_key_password": "key-canary"},
    }[key]
    assert shop.read(ssh_tunnel=bastion.tunnel(**more), default_replication_method="LOG_BASED").ids == [1]
    shop.drop_slots()


def test_no_ssh_is_left_behind(shop, bastion):
    shop.catalog(ssh_tunnel=bastion.tunnel())
    if sys.platform == "linux":
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
        assert not [line for line in lines if line.startswith(b"ssh\0") and str(bastion.port).encode() in line]


def test_a_host_whose_key_is_not_known_is_not_trusted(shop, bastion):
    error = refused(shop, bastion.tunnel(known_hosts=str(bastion.folder / "nothing")))
    assert error.reference == "unknown-host-key"
    assert f"ssh-keyscan -p {bastion.port} 127.0.0.1" in error.hint


def test_a_host_with_another_key_is_not_trusted(shop, bastion):
    other = f"[127.0.0.1]:{bastion.port} {(bastion.folder / 'key.pub').read_text()}"
    assert refused(shop, bastion.tunnel(known_hosts=other)).reference == "unknown-host-key"


def test_what_goes_wrong_with_a_tunnel_is_said(shop, bastion):
    assert refused(shop, SshTunnel(enable=True)).reference == "missing-setting"
    assert refused(shop, bastion.tunnel(private_key=str(bastion.folder / "host"))).reference == "ssh-refused"
    wrong = {"private_key": str(bastion.folder / "locked"), "private_key_password": "wrong-canary"}
    error = refused(shop, bastion.tunnel(**wrong))
    assert error.reference == "ssh-refused"
    assert "canary" not in f"{error.what}{error.why}{error.hint}"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = SshTunnel(enable=True, host="127.0.0.1", port=closed.getsockname()[1])
        assert refused(shop, nobody).reference == "no-ssh-tunnel"


def test_a_database_that_the_other_host_can_not_reach_is_told(shop, bastion):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(EnvironmentProblemError) as caught:
            shop.catalog(ssh_tunnel=bastion.tunnel(), port=closed.getsockname()[1])
        assert caught.value.what == f"cannot connect to PostgreSQL at 127.0.0.1:{closed.getsockname()[1]}"


def test_a_tunnel_that_is_not_enabled_changes_nothing(shop):
    assert shop.catalog(ssh_tunnel=SshTunnel(host="bastion")).streams == []

"""Certificates: a real server shows one, and asks for one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from headwater.base.errors import EnvironmentProblemError

from .conftest import NAME, Shop


class Authority:
    """Signs certificates; `openssl` does it."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self._openssl("req", "-x509", "-newkey", "ec", *CURVE, "-subj", f"/CN={name}", *self._out(name))

    def sign(self, name, *, host=None):
        extra = ["-addext", f"subjectAltName=DNS:{host}"] if host else []
        signer = ["-CA", self.path(self.name, "crt"), "-CAkey", self.path(self.name, "key")]
        given = ["-addext", "basicConstraints=critical,CA:FALSE", *extra, "-subj", f"/CN={name}"]
        self._openssl("req", "-x509", "-newkey", "ec", *CURVE, *signer, *given, *self._out(name))

    def path(self, name, kind):
        return str(self.folder / f"{self.name}-{name}.{kind}")

    def _out(self, name):
        return ["-nodes", "-days", "2", "-keyout", self.path(name, "key"), "-out", self.path(name, "crt")]

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


CURVE = ("-pkeyopt", "ec_paramgen_curve:prime256v1")


@pytest.fixture
def secured(older_postgres, tmp_path):
    """A server whose certificate is for `localhost`, and which lets `clerk` in by a certificate of the same authority
    only. It is as it was afterwards."""
    server = older_postgres
    authority = Authority(tmp_path, "ours")
    authority.sign("server", host="localhost")
    authority.sign("clerk")
    data = Path(server.sql("show data_directory")[0][0])
    for kind in ("crt", "key"):
        placed = shutil.copy(authority.path("server", kind), data / f"server.{kind}")
        Path(placed).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(placed, "nobody")
    shutil.copy(authority.path("ours", "crt"), data / "root.crt")
    (data / "root.crt").chmod(0o644)
    rules = data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"hostssl all clerk 127.0.0.1/32 cert\n{before}")
    server.sql(f"drop database if exists {NAME} with (force)")
    server.sql(f"create database {NAME}")
    server.sql("drop role if exists clerk")
    server.sql("create role clerk login")
    for setting, value in (("ssl", "on"), ("ssl_ca_file", "root.crt")):
        server.sql(f"alter system set {setting} = '{value}'")
    turn(server, "on")
    yield Shop(server, tmp_path), authority
    rules.write_text(before)
    server.sql("alter system reset all")
    turn(server, "off")


def turn(server, to):
    server.sql("select pg_reload_conf()")
    while server.sql("show ssl") != [(to,)]:
        time.sleep(0.05)


TLS = {"ssl_enable": True, "host": "localhost", "dialect_driver": "postgresql+psycopg"}


def test_a_server_is_trusted_by_its_authority_and_by_its_name(secured, tmp_path):
    shop, authority = secured
    shop.sql("create table t (id int primary key); insert into t values (1)")
    root = authority.path("ours", "crt")
    assert shop.read(**TLS, ssl_certificate_authority=root).ids == [1]
    assert shop.read(**TLS, ssl_certificate_authority=Path(root).read_text()).ids == [1]
    other = Authority(tmp_path, "theirs").path("theirs", "crt")
    for wrong in (
        TLS | {"ssl_certificate_authority": other},
        TLS,  # the authorities that this machine trusts
        TLS | {"ssl_certificate_authority": root, "host": "127.0.0.1"},
    ):
        with pytest.raises(EnvironmentProblemError) as caught:
            shop.read(**wrong)
        assert caught.value.reference == "tls-refused"
        assert caught.value.hint == "check the settings `ssl_mode` and `ssl_certificate_authority`"
    assert shop.read(**TLS | {"host": "127.0.0.1"}, ssl_certificate_authority=root, ssl_mode="verify-ca").ids == [1]


def test_who_shows_a_certificate_needs_no_password(secured):
    shop, authority = secured
    shop.sql("create table t (id int primary key); insert into t values (1); grant select on t to clerk")
    given = TLS | {"user": "clerk", "password": None, "ssl_certificate_authority": authority.path("ours", "crt")}
    with pytest.raises(EnvironmentProblemError) as caught:
        shop.catalog(**given)
    assert "requires a valid client certificate" in caught.value.why
    shown = {
        "ssl_client_certificate_enable": True,
        "ssl_client_certificate": Path(authority.path("clerk", "crt")).read_text(),
        "ssl_client_private_key": Path(authority.path("clerk", "key")).read_text(),
    }
    assert shop.read(**given, **shown).ids == [1]


def test_a_server_without_certificates_is_not_spoken_to_in_the_clear(shop):
    with pytest.raises(EnvironmentProblemError) as caught:
        shop.catalog(ssl_enable=True, ssl_mode="require")
    assert caught.value.reference == "tls-refused"


def test_a_server_that_speaks_no_tls_is_told_from_one_whose_certificate_is_wrong(shop):
    with pytest.raises(EnvironmentProblemError, match="cannot connect to PostgreSQL") as caught:
        shop.catalog(ssl_enable=True)
    assert caught.value.reference == "tls-refused"
    assert caught.value.hint == (
        "have the server speak TLS, or do without: headwater config set tap-postgres ssl_enable false"
    )

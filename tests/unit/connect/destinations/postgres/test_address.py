"""Settings to connection parameters."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.connect.destinations.postgres import Settings
from headwater.connect.destinations.postgres.address import address

GIVEN = {"host": "db", "user": "ada", "password": "canary-1", "database": "shop"}


def parameters(folder, **settings):
    return address(Settings(**settings), folder).parameters


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_a_url_of_any_driver_goes_before_the_other_settings(tmp_path, scheme):
    url = f"{scheme}://bob:p%40ss@other:6543/books?sslmode=require"
    found = parameters(tmp_path, **GIVEN, sqlalchemy_url=url)
    expected = {"host": "other", "port": "6543", "user": "bob", "password": "p@ss", "dbname": "books"}
    assert {name: found[name] for name in expected} == expected
    assert found["sslmode"] == "require"


@pytest.mark.parametrize("url", ["mysql://a:canary-1@b/c", "canary-1", "postgresql://a:canary-1@b:x/c?d=%zz"])
def test_a_url_that_is_none_is_refused_without_a_word_of_it(tmp_path, url):
    with pytest.raises(InputError) as caught:
        parameters(tmp_path, sqlalchemy_url=url)
    error = caught.value
    assert error.reference == "bad-url"
    assert "canary" not in f"{error.what} {error.why} {error.hint} {error.__cause__}"


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError) as caught:
        parameters(tmp_path, host="db")
    assert caught.value.what == "`target-postgres` needs `user`, `database`, or `sqlalchemy_url`"


def test_tls_checks_everything_unless_told_otherwise(tmp_path):
    found = parameters(tmp_path, **GIVEN, ssl_enable=True)
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "system")
    assert "sslmode" not in parameters(tmp_path, **GIVEN)


def test_certificates_given_as_text_are_put_into_private_files(tmp_path):
    text = "-----BEGIN CERTIFICATE-----"
    found = parameters(
        tmp_path / "tls",
        **GIVEN,
        ssl_enable=True,
        ssl_certificate_authority="/etc/ca.pem",
        ssl_client_certificate_enable=True,
        ssl_client_certificate=text,
        ssl_client_private_key=text,
    )
    assert found["sslrootcert"] == "/etc/ca.pem"
    key = tmp_path / "tls" / "client.key"
    assert found["sslkey"] == str(key)
    assert key.read_text() == text
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_password_is_in_no_repr(tmp_path):
    settings = Settings(**GIVEN, sqlalchemy_url="postgresql://a:canary-2@b/c")
    assert "canary" not in repr(settings) + repr(address(settings, tmp_path))

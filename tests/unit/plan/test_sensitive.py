from __future__ import annotations

import pytest

from headwater.model.setting import Setting
from headwater.plan.sensitive import looks_secret, secret_texts


@pytest.mark.parametrize(
    "name",
    [
        "password", "db.password", "client_secret", "auth_token", "refreshToken", "api_key", "apikey", "private_key",
        "aws_secret_access_key", "private_key_passphrase", "connection_string", "sqlalchemy_url", "credentials_json",
    ],
)  # fmt: skip
def test_names_of_secrets(name):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["user", "token_url", "password_policy", "credentials_path", "primary_key", "tokens_per_minute", "keyword"]
)
def test_names_of_no_secrets(name):
    assert not looks_secret(name)


def test_of_an_object_only_what_is_named_like_a_secret():
    value = {"type": "service", "users": [{"name": "me", "password": "p1"}], "token": {"a": "t1", "b": 2}}
    assert list(secret_texts(Setting(name="auth"), value)) == ["p1", "t1", "2"]


@pytest.mark.parametrize("setting", [Setting(name="url", sensitive=True), Setting(name="url")])
def test_of_an_address_its_password_too(setting):
    address = "postgresql://me:hunter%4022@there/shop"
    assert list(secret_texts(setting, address)) == [address, "hunter%4022", "hunter@22"]


def test_of_a_secret_everything_and_each_line():
    key = "-----BEGIN KEY-----\nabcdefghij\nxy\n"
    texts = list(secret_texts(Setting(name="s", sensitive=True), {"k": key, "n": 12345, "on": True}))
    assert texts == [key, "-----BEGIN KEY-----", "abcdefghij", "12345"]

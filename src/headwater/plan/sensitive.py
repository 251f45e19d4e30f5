"""Which settings are secrets. A definition says so; where it is silent, the name does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from headwater.model.setting import Setting, SettingKind
from headwater.plan.nested import split

# The end of a name: `client_secret` is one, `token_url`, `credentials_path` and `password_policy` are not.
_NAME = re.compile(
    r"(^|[^a-z])(password|passwd|pwd|passphrase|secret|token|credentials?(_json)?|api_?key|private_?key|"
    r"access_?key|secret_?key|account_?key|auth_?key|encryption_?key|connection_?string|sqlalchemy_?url|dsn|jwt)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# A switch, a number of seconds or a date is no secret, whatever its name ends in.
_PLAIN = (SettingKind.BOOLEAN, SettingKind.INTEGER, SettingKind.DECIMAL, SettingKind.DATE, SettingKind.OPTIONS)

# Objects whose keys are columns: a column named `password` is no password.
_COLUMNS = ("_metadata", "_schema", "stream_maps")

# The password in `scheme://user:password@host`.
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")


@lru_cache(maxsize=4096)  # the same names come back with every plugin of a project
def looks_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret, as far as a name can tell (`client_secret`, `auth.apiKey`)."""
    last = _CAMEL.sub("_", split(name)[-1]).lower()
    return _NAME.search(last) is not None


def is_named_secret(setting: Setting) -> bool:
    """Whether every value of the setting is a secret."""
    return setting.is_secret or (setting.kind not in _PLAIN and looks_secret(setting.name))


def is_secret(setting: Setting, value: Any) -> bool:
    """Whether this value of the setting is a secret, or an object with a secret in it."""
    return is_named_secret(setting) or next(secret_texts(setting, value), None) is not None


def secret_texts(setting: Setting, value: Any) -> Iterator[str]:
    """The secrets in a setting's value: all of it, or what stands under keys that are named like secrets."""
    if is_named_secret(setting):
        return texts(value)
    return iter(()) if split(setting.name)[0] in _COLUMNS else named_secrets(value)


def named_secrets(value: Any) -> Iterator[str]:
    """The texts of an object that stand under a key named like a secret, and addresses with a password in them."""
    if isinstance(value, str):
        if _PASSWORD.search(value):
            yield from texts(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item) if looks_secret(str(key)) else named_secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from named_secrets(item)


def texts(value: Any) -> Iterator[str]:
    """Every text and number in `value`. Of a text of many lines, such as a private key, each line too:
    a log shows it line by line. And the password of an address by itself, as it stands there and as it is meant."""
    if isinstance(value, str):
        yield value
        for found in _PASSWORD.findall(value):
            yield from dict.fromkeys((found, unquote(found)))
        lines = value.splitlines()
        if len(lines) > 1:
            yield from (line.strip() for line in lines if len(line.strip()) > 7)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)

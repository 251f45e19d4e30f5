"""What a plugin that is dbt connects to: its adapter, and the loader's settings as those of the adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from headwater.model.plugin import Resolved

# dbt itself, and the program that Meltano's extension for dbt puts in front of it.
PROGRAM = "dbt"
_PROGRAMS = (PROGRAM, "dbt_invoker")
_ADAPTER = re.compile(r"(?<![\w/-])dbt-(?!core\b|common\b|adapters\b|ext\b|extractor\b)([a-z0-9_]+)")

# For each setting of an adapter the loader's settings that mean the same, the first that is set counts.
_SERVER = {
    "host": ("host",),
    "port": ("port",),
    "user": ("user", "username"),
    "password": ("password",),
    "dbname": ("database", "dbname"),
}
CONNECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "duckdb": {"path": ("filepath", "path", "database")},
    "postgres": {**_SERVER, "sslmode": ("sslmode",)},
    "redshift": {**_SERVER, "sslmode": ("sslmode",)},
    "snowflake": {
        "account": ("account",),
        "user": ("user",),
        "password": ("password",),
        "authenticator": ("authenticator",),
        "private_key": ("private_key",),
        "private_key_path": ("private_key_path",),
        "private_key_passphrase": ("private_key_passphrase",),
        "role": ("role",),
        "warehouse": ("warehouse",),
        "database": ("database",),
    },
    "bigquery": {"project": ("project",), "keyfile": ("credentials_path",), "location": ("location",)},
    # What is a database there is a schema of dbt, which makes it.
    "clickhouse": {
        **{setting: keys for setting, keys in _SERVER.items() if setting != "dbname"},
        "secure": ("secure",),
    },
}


def is_dbt(argv: tuple[str, ...]) -> bool:
    return bool(argv) and PurePath(argv[0]).name in _PROGRAMS


def is_file(path: Any) -> bool:
    """Whether a DuckDB path is that of a file, rather than of a database in memory or in a cloud."""
    return isinstance(path, str) and "://" not in path and not path.startswith((":memory:", "md:", "motherduck:"))


def adapters(resolved: Resolved) -> tuple[str, ...]:
    """The adapters that a plugin is named after (`dbt-duckdb`), then those among its packages."""
    names = (*(entry.name for entry in resolved.chain), resolved.definition.name, resolved.definition.pip_url or "")
    return tuple(dict.fromkeys(found[1] for name in names for found in _ADAPTER.finditer(name)))


def adapter(resolved: Resolved) -> str | None:
    """The first of its adapters."""
    return next(iter(adapters(resolved)), None)


def connection(name: str, loader: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the adapter `name` that a loader's `config` answers; what it leaves open is left out."""
    known = {**loader, **_from_url(str(loader.get("sqlalchemy_url") or "")), **_tls(loader)}
    given = {
        setting: next((known[key] for key in keys if known.get(key) not in (None, "")), None)
        for setting, keys in CONNECTIONS.get(name, {}).items()
    }
    return {setting: value for setting, value in given.items() if value is not None}


def _from_url(url: str) -> dict[str, Any]:
    """The parts of `postgresql://user:password@host:port/database?sslmode=…`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the loader itself will say what is wrong with it
        return {}
    found: dict[str, Any] = {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.lstrip("/")),
        **{key: value for key, value in parse_qsl(parts.query) if key in ("sslmode", "host", "user", "password")},
    }
    return {key: value for key, value in found.items() if value} if parts.scheme else {}


def _tls(loader: Mapping[str, Any]) -> dict[str, Any]:
    return {"sslmode": loader.get("ssl_mode")} if loader.get("ssl_enable") else {}

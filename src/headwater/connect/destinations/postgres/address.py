"""Where the database is: from settings to the words of libpq."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from headwater.base.errors import InputError
from headwater.base.files import private_folder, write_atomic
from headwater.base.redact import Redactor

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")


class Address:
    """Connection parameters. Shows itself without the password, and takes it out of other texts. `plugin` is whose
    settings it was made of, `way` the port of this machine that leads to it, where one does."""

    def __init__(self, parameters: dict[str, Any], plugin: str, *, way: tuple[str, int] | None = None) -> None:
        self._given = parameters
        self.plugin = plugin
        # The certificate is still that of the host by its own name.
        self.parameters = parameters if way is None else parameters | {"hostaddr": way[0], "port": way[1]}
        self.without_secrets = Redactor([str(parameters[name]) for name in _SECRETS if parameters.get(name)])

    @property
    def user(self) -> str:
        return str(self.parameters["user"])

    @property
    def database(self) -> str:
        return str(self.parameters["dbname"])

    @property
    def host(self) -> str:
        return str(self._given["host"])

    @property
    def port(self) -> int:
        return int(self._given["port"])

    @property
    def server(self) -> str:
        return f"{self.host}:{self.port}"

    def by_way_of(self, host: str, port: int) -> Address:
        """The same database, behind a port that is forwarded to it."""
        return Address(self._given, self.plugin, way=(host, port))

    def __repr__(self) -> str:
        return f"Address({self.user}@{self.server}/{self.database})"


_SECRETS = ("password", "sslpassword")


class Settings(Protocol):
    """The settings that say where a database is, of whatever connector."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def user(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...
    @property
    def database(self) -> str | None: ...
    @property
    def sqlalchemy_url(self) -> str | None: ...
    @property
    def dialect_driver(self) -> str: ...
    @property
    def ssl_enable(self) -> bool: ...
    @property
    def ssl_mode(self) -> str: ...
    @property
    def ssl_certificate_authority(self) -> str | None: ...
    @property
    def ssl_client_certificate_enable(self) -> bool: ...
    @property
    def ssl_client_certificate(self) -> str | None: ...
    @property
    def ssl_client_private_key(self) -> str | None: ...


def address(settings: Settings, folder: Path, *, plugin: str = "target-postgres") -> Address:
    """The address that the settings give; `sqlalchemy_url` goes before all others. Certificates that are given as
    text are put into files in `folder`, which is private.

    Raises InputError (`bad-url`, `missing-setting`).
    """
    if settings.sqlalchemy_url:
        return Address(_defaults() | _of_url(settings.sqlalchemy_url, plugin), plugin)
    if not _SCHEME.match(f"{settings.dialect_driver}://"):
        raise InputError(
            "bad-url",
            f"`{settings.dialect_driver}` is not a PostgreSQL driver",
            hint=f"headwater config unset {plugin} dialect+driver",
        )
    missing = [name for name in ("user", "database") if not getattr(settings, name)]
    if missing:
        raise InputError(
            "missing-setting",
            f"`{plugin}` needs {', '.join(f'`{name}`' for name in missing)}, or `sqlalchemy_url`",
            hint=f"headwater config set {plugin} {missing[0]} <value>",
        )
    given: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "dbname": settings.database,
    }
    if settings.password is not None:
        given["password"] = settings.password
    return Address(_defaults() | given | _tls(settings, folder), plugin)


def _defaults() -> dict[str, Any]:
    """A dead peer is noticed within two minutes, also by a connection that waits for a slow source."""
    return {
        "host": "localhost",
        "port": 5432,
        "user": "postgres",
        "dbname": "postgres",
        "connect_timeout": 10,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 15,
        "keepalives_count": 4,
        "tcp_user_timeout": 120_000,
    }


def _of_url(url: str, plugin: str) -> dict[str, Any]:
    try:
        found = conninfo_to_dict(_SCHEME.sub("postgresql://", url, count=1))
    except psycopg.ProgrammingError:
        found = {}
    if not _SCHEME.match(url) or not found:
        # Not a word of the URL, nor of the error, which quotes it: there is a password in it.
        raise InputError(
            "bad-url",
            "`sqlalchemy_url` is not the URL of a PostgreSQL database",
            why="its form is postgresql://user:password@host:port/database, with % codes for special characters",
            hint=f"headwater config set {plugin} sqlalchemy_url <url>",
        ) from None
    return {name: value for name, value in found.items() if value is not None}


def _tls(settings: Settings, folder: Path) -> dict[str, Any]:
    if not settings.ssl_enable:
        return {}
    given: dict[str, Any] = {"sslmode": settings.ssl_mode}
    if settings.ssl_certificate_authority:
        given["sslrootcert"] = _file(settings.ssl_certificate_authority, folder / "root.crt")
    elif settings.ssl_mode == "verify-full":
        given["sslrootcert"] = "system"
    if settings.ssl_client_certificate_enable:
        given["sslcert"] = _file(settings.ssl_client_certificate or "", folder / "client.crt")
        given["sslkey"] = _file(settings.ssl_client_private_key or "", folder / "client.key")
    return given


def _file(given: str, place: Path) -> str:
    """The path that was given, or `place` with the certificate that was."""
    if "-----BEGIN" not in given:
        return str(Path(given).expanduser())
    private_folder(place.parent)
    write_atomic(place, given.encode(), mode=0o600)
    return str(place)

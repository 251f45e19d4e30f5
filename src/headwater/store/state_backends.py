"""Which state backend a project has. Each one and its library is loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.redact import without_credentials
from headwater.store.state_folder import FolderStates
from headwater.store.state_system_db import SystemDbStates
from headwater.store.states import StateBackend
from headwater.store.system_db import SystemDb

Warn = Callable[[str], None]
OWN_SCHEMES = ("systemdb", "file", "s3", "gs", "azure")


class Place(Struct, frozen=True, kw_only=True):
    """Where states are kept. `settings` are all of `state_backend` by the rest of their names (`s3.endpoint_url`),
    `secrets` what must not be shown of them; `environ` is where stores look for keys of the machine.

    `home` is the folder of the database when no `database_uri` says otherwise; a relative one begins at `root`.
    """

    home: Path
    root: Path = Path()
    uri: str = "systemdb"
    database_uri: str | None = None
    database_tries: int = 3
    database_pause: float = 5
    settings: Mapping[str, Any] = {}
    secrets: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}


def open_backend(place: Place, db: SystemDb, *, warn: Warn = lambda _text: None) -> StateBackend:
    """`db` is the one in `place.home`. `warn` hears of damaged states that an older generation stood in for.

    Raises InputError: `unknown-state-backend`, `bad-state-backend`; EnvironmentProblemError when it can't be opened.
    """
    if place.uri == "systemdb":
        return _database(place, db, warn)
    parts = urlsplit(place.uri)
    if parts.scheme == "file" and parts.path:
        return FolderStates(Path(unquote(parts.netloc + parts.path)), warn)
    if parts.scheme in OWN_SCHEMES and parts.scheme != "file":
        return _objects(place, parts, warn)
    from headwater.store import state_addons  # noqa: PLC0415 - it looks through all packages

    if parts.scheme not in state_addons.schemes():
        raise state_addons.unknown(without_credentials(place.uri), OWN_SCHEMES)
    given = {"uri": place.uri, **_settings(place, parts.scheme)}
    given |= {name: value for name, value in place.settings.items() if "." not in name}
    return state_addons.AddonStates(parts.scheme, given, place.secrets)


def database_file(place: Place) -> Path | None:
    """Where our file is when `database_uri` names one of Meltano's: beside it, so that it lives as long. None for
    the usual place in `home`."""
    theirs = sqlite_file(place.database_uri) if place.database_uri else None
    if theirs is None or theirs.parent.name == ".meltano":
        return None
    return place.root / theirs.with_name(f"{theirs.stem}.headwater.db")


def sqlite_file(uri: str) -> Path | None:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; None for one in memory."""
    path = unquote(uri.partition("://")[2].partition("?")[0]).removeprefix("/")
    return None if path in ("", ":memory:") else Path(path)


def is_postgres(uri: str | None) -> bool:
    return (uri or "").partition("://")[0].partition("+")[0] in ("postgresql", "postgres")


def _database(place: Place, db: SystemDb, warn: Warn) -> StateBackend:
    uri = place.database_uri
    if uri is None or uri.startswith("sqlite"):
        path = database_file(place)
        return (
            SystemDbStates(db, warn) if path is None else SystemDbStates(SystemDb(path.parent, path), warn, owns=True)
        )
    if not is_postgres(uri):
        raise InputError(
            "unknown-state-backend",
            f"states can't be kept in the database `{without_credentials(uri).partition('?')[0]}`",
            why="`database_uri` may name SQLite or PostgreSQL",
            hint="headwater config set meltano state_backend.uri file:///a/folder (or s3://, gs://, azure://)",
        )
    from headwater.store import state_postgres  # noqa: PLC0415 - with its driver

    address = state_postgres.Address(uri, tries=place.database_tries, pause=place.database_pause)
    return state_postgres.PostgresStates(address, warn)


def _objects(place: Place, parts: SplitResult, warn: Warn) -> StateBackend:
    from headwater.store import state_objects, state_places  # noqa: PLC0415 - with their library

    find = {"s3": state_places.s3, "gs": state_places.gcs, "azure": state_places.azure}[parts.scheme]
    found = find(parts, _settings(place, "gcs" if parts.scheme == "gs" else parts.scheme), place.environ)
    prefix = unquote(parts.path).strip("/")
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{prefix}".rstrip("/")
    secrets = (*place.secrets, *found.secrets)
    return state_objects.ObjectStates(found.store, address, prefix, warn, secrets=secrets)


def _settings(place: Place, scheme: str) -> dict[str, Any]:
    start = f"{scheme}."
    return {name.removeprefix(start): value for name, value in place.settings.items() if name.startswith(start)}

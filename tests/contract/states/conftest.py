"""Every place that states can be kept in: servers, and stand-ins that really answer."""

from __future__ import annotations

import contextlib
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater.store.state_backends import Place, open_backend
from headwater.store.states import StateBackend
from headwater.store.system_db import SystemDb

PLACES = ("systemdb", "elsewhere", "postgres", "folder", "s3", "gs", "azure", "addon")
OBJECTS = ("s3", "gs", "azure")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Place]:
    """Where one of `PLACES` is for this test alone."""

    def place(kind: str) -> Place:
        home, name = tmp_path / "home", uuid.uuid4().hex
        match kind:
            case "elsewhere":
                return Place(home=home, database_uri=f"sqlite:///{tmp_path}/shared/meltano.db")
            case "postgres":
                server = request.getfixturevalue("postgres")
                server.sql(f'create database "{name}"')
                user = f"{server.user}:{server.password}"
                return Place(home=home, database_uri=f"postgresql+psycopg://{user}@{server.host}:{server.port}/{name}")
            case "folder":
                return Place(home=home, uri=f"file://{tmp_path}/states")
            case "s3":
                s3 = request.getfixturevalue("s3")
                keys = {"s3.aws_access_key_id": "me", "s3.aws_secret_access_key": s3.secret}
                return Place(home=home, uri=f"s3://lake/{name}/", settings={**keys, "s3.endpoint_url": s3.endpoint})
            case "gs":
                environ = {"STORAGE_EMULATOR_HOST": request.getfixturevalue("google")}
                return Place(home=home, uri=f"gs://lake/{name}", environ=environ)
            case "azure":
                settings = {"azure.connection_string": request.getfixturevalue("azurite").connection_string}
                return Place(home=home, uri=f"azure://lake/{name}", settings=settings)
            case "addon":
                offer(tmp_path, monkeypatch)
                return Place(home=home, uri=f"attic://{tmp_path}/attic", settings={"attic.key": "k"})
            case _:
                return Place(home=home)

    return place


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., StateBackend]]:
    """A backend on a place, as a process of its own would have it."""
    with contextlib.ExitStack() as held:

        def opened(place: Place, said: list[str] | None = None) -> StateBackend:
            db = held.enter_context(contextlib.closing(SystemDb(place.home)))
            said = [] if said is None else said
            return held.enter_context(contextlib.closing(open_backend(place, db, warn=said.append)))

        yield opened


@pytest.fixture(params=PLACES)
def everywhere(request: pytest.FixtureRequest, place: Callable[[str], Place]) -> Place:
    return place(request.param)


@pytest.fixture
def backend(everywhere: Place, opened: Callable[..., StateBackend]) -> StateBackend:
    return opened(everywhere)


def offer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers the scheme `attic`."""
    package = folder / "packages"
    info = package / "attic-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: attic\nVersion: 1.0\n")
    points = "[meltano.state_backends]\nattic = attic:Attic\n[meltano.settings]\nkey = attic:KEY\n"
    (info / "entry_points.txt").write_text(points)
    shutil.copy(Path(__file__).parent / "attic.py", package)
    monkeypatch.syspath_prepend(str(package))
    sys.modules.pop("attic", None)

"""Every place that states can be kept in: servers, and stand-ins that really answer."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from headwater.store.state_backends import Place, open_backend
from headwater.store.states import StateBackend
from headwater.store.system_db import SystemDb

AZURITE = "azurite@3.35.0"
ACCOUNT = "devstoreaccount1"
# The public key of every emulator.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PLACES = ("systemdb", "elsewhere", "postgres", "folder", "s3", "gs", "azure", "addon")
OBJECTS = ("s3", "gs", "azure")


@pytest.fixture(scope="session")
def google() -> Iterator[str]:
    """The address of a stand-in for Google Cloud Storage with a bucket `lake`."""
    command = [sys.executable, Path(__file__).parent / "google_stand_in.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of Microsoft's emulator with a container `lake`. Skips where there is no npm to get it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "headwater-tests" / AZURITE
    program = folder / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        if shutil.which("npm") is None:
            pytest.skip("there is no npm to install Azurite with")
        folder.mkdir(parents=True, exist_ok=True)
        installed = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, AZURITE], check=False
        )
        if installed.returncode != 0:
            pytest.skip("npm can't install Azurite")
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    command = [program, "--inMemoryPersistence", "--blobPort", str(port), "--skipApiVersionCheck", "--silent"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError):
                    _make_container(port)
                    break
                time.sleep(0.1)
            endpoint = f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"
            yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{endpoint};"
        finally:
            process.terminate()


def _make_container(port: int) -> None:
    date = formatdate(usegmt=True)
    headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06"
    signed = f"PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n/{ACCOUNT}/{ACCOUNT}/lake\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    given = {
        "x-ms-date": date,
        "x-ms-version": "2021-08-06",
        "Content-Length": "0",
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
    address = f"http://127.0.0.1:{port}/{ACCOUNT}/lake?restype=container"
    urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=given), timeout=10).close()


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
                settings = {"azure.connection_string": request.getfixturevalue("azurite")}
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

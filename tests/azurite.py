"""Microsoft's emulator of Azure Blob Storage, from npm."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "azurite@3.35.0"
ACCOUNT = "devstoreaccount1"
# The public key of every emulator.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite(NamedTuple):
    """A running emulator with a container `lake`."""

    endpoint: str

    @property
    def connection_string(self) -> str:
        at = f"BlobEndpoint={self.endpoint}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{at};"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "azure_storage_account": ACCOUNT,
            "azure_storage_key": KEY,
            "azure_endpoint_url": self.endpoint,
        }


def running() -> Iterator[Azurite]:
    """Skips where there is no npm to get it, but never in CI, which has it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "headwater-tests" / PACKAGE
    program = folder / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        if shutil.which("npm") is None:
            say("there is no npm to install Azurite with")
        folder.mkdir(parents=True, exist_ok=True)
        asked = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=4", "--prefix", folder, PACKAGE]
        if subprocess.run(asked, check=False, env={**_authorities(), **os.environ}).returncode != 0:
            say("npm can't install Azurite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--inMemoryPersistence", "--blobPort", str(port), "--skipApiVersionCheck", "--silent"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError):
                    _make_container(port)
                    break
                time.sleep(0.1)
            yield Azurite(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _authorities() -> dict[str, str]:
    """Node trusts no authority of the machine that it did not bring along, unless it is told to."""
    places = (os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt")
    found = [place for place in places if place and Path(place).is_file()]
    return {"NODE_EXTRA_CA_CERTS": found[0]} if found else {}


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

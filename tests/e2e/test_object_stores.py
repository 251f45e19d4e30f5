"""The command line into object stores: stand-ins for S3, Google Cloud Storage and Azure that really answer."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from uv import find_uv_bin

from headwater.connect.objects import Access, Bucket

pytestmark = pytest.mark.e2e

EMULATOR = "gcp-storage-emulator==2026.7.19"
PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config:
      streams: [{name: orders, path: "orders*.jsonl", keys: [id]}]
  loaders:
  - name: target-parquet
    variant: headwater
    config: {partition_by: [country]}
"""


@pytest.fixture(scope="session")
def gcs() -> Iterator[str]:
    """The address of a stand-in with a bucket `lake`."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    command = [find_uv_bin(), "tool", "run", "--from", EMULATOR, "gcp-storage-emulator", "start"]
    command += ["--host=127.0.0.1", f"--port={port}", "--in-memory", "--default-bucket=lake"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def loaded(project):
    """Two runs, the second with one more file; answers the rows that a reader of the bucket finds."""

    def loaded(address, **settings):
        hw = project(PROJECT)
        hw.ok("config", "set", "target-parquet", "destination_path", address)
        for name, value in settings.items():
            secret = ("--store", "dotenv") if "secret" in name or "key" in name else ()
            hw.ok("config", "set", "target-parquet", name, value, *secret)
        for number, country in enumerate(["DE", "FR"]):
            hw.write(f"orders-{number}.jsonl", json.dumps({"id": number, "country": country}) + "\n")
            hw.ok("run", "tap-files", "target-parquet")
        bucket = Bucket(Access(destination_path=address, **settings))
        assert bucket.names("_staged") == []
        paths = bucket.names("orders")
        tables = [pq.ParquetFile(pa.BufferReader(bucket.read(path))).read() for path in paths]
        return [
            (path.split("/")[1], row["id"]) for path, one in zip(paths, tables, strict=True) for row in one.to_pylist()
        ]

    return loaded


def test_s3(loaded, s3):
    assert loaded("s3://lake/shop", **s3.settings) == [("country=DE", 0), ("country=FR", 1)]


def test_google_cloud_storage(loaded, gcs):
    assert loaded("gs://lake/shop", gcs_endpoint_url=gcs) == [("country=DE", 0), ("country=FR", 1)]


def test_azure_blob_storage(loaded, azurite):
    assert loaded("az://lake/shop", **azurite.settings) == [("country=DE", 0), ("country=FR", 1)]


def test_a_store_that_nobody_answers_for_is_the_environments_fault(project, s3):
    hw = project(PROJECT)
    hw.write("orders.jsonl", '{"id": 1, "country": "DE"}\n')
    hw.ok("config", "set", "target-parquet", "destination_path", "s3://lake/nowhere")
    for name, value in {**s3.settings, "aws_endpoint_url": "http://127.0.0.1:1"}.items():
        hw.ok("config", "set", "target-parquet", name, value, *(["--store", "dotenv"] if "secret" in name else []))
    done = hw("run", "tap-files", "target-parquet")
    assert done.code == 3
    assert "error: `s3://lake/nowhere` can't be reached [store-unreachable]" in done.error
    assert "hint: check network, region and endpoint, then run it again" in done.error
    assert s3.secret not in done.out + done.err

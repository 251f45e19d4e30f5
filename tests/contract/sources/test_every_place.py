"""What every place of files promises: object stores, web servers, SFTP servers."""

from __future__ import annotations

import io
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows
from headwater.connect.sources import files
from headwater.connect.sources.files.places import Places
from headwater.connect.sources.files.settings import Settings, StreamSettings

PLACES = ("s3", "azure", "gs", "http", "sftp")


class Shelf(NamedTuple):
    """A folder of a place that is this test's alone. `secret` must never be seen; `wrong` are credentials that are
    refused."""

    address: str
    settings: dict[str, Any]
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]
    secret: str
    wrong: dict[str, Any] | None
    has_patterns: bool = True

    def source(self, name: str, **more: Any) -> Settings:
        return Settings(path=f"{self.address}/{name}", **self.settings, **more)


def _store(store: Any, prefix: str, **given: Any) -> Shelf:
    return Shelf(
        put=lambda name, data: obstore.put(store, f"{prefix}/{name}", data),
        remove=lambda name: obstore.delete(store, f"{prefix}/{name}"),
        **given,
    )


@pytest.fixture(params=PLACES)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    prefix, options = uuid.uuid4().hex, {"allow_http": True}
    match request.param:
        case "s3":
            s3 = request.getfixturevalue("s3")
            given = {
                "access_key_id": "me",
                "secret_access_key": s3.secret,
                "region": "us-east-1",
                "endpoint": s3.endpoint,
            }
            store: Any = S3Store("lake", **given, client_options=options)
            yield _store(
                store, prefix, address=f"s3://lake/{prefix}", settings=s3.settings, secret=s3.secret, wrong=None
            )
        case "azure":
            azurite = request.getfixturevalue("azurite")
            account, key = azurite.settings["azure_storage_account"], azurite.settings["azure_storage_key"]
            endpoint = f"{azurite.endpoint}/{account}"
            store = AzureStore("lake", account_name=account, account_key=key, endpoint=endpoint, client_options=options)
            yield _store(
                store,
                prefix,
                address=f"az://lake/{prefix}",
                settings=azurite.settings,
                secret=key,
                wrong={"azure_storage_key": "d3Jvbmcga2V5IGNhbmFyeQ=="},
            )
        case "gs":
            google = request.getfixturevalue("google")
            nobody = '{"client_email":"","private_key":"","private_key_id":"","disable_oauth":true,"gcs_base_url":"%s"}'
            store = GCSStore("lake", service_account_key=nobody % google, client_options=options)
            settings = {"gcs_endpoint_url": google}
            yield _store(store, prefix, address=f"gs://lake/{prefix}", settings=settings, secret="-", wrong=None)
        case "http":
            yield _web(request.getfixturevalue("api"))
        case _:
            server = request.getfixturevalue("sftp")
            (server.root / "in").mkdir()
            yield Shelf(
                address=f"{server.address}/in",
                settings=server.settings,
                put=lambda name, data: _written(server.root / "in" / name, data),
                remove=lambda name: (server.root / "in" / name).unlink(),
                secret=server.settings["sftp_password"],
                wrong={"sftp_password": "wrong-canary"},
            )


_CLOCK = iter(range(1_700_000_000, 1_800_000_000))


def _written(path: Path, data: bytes) -> None:
    """With a time of change of its own: SFTP tells whole seconds."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    now = next(_CLOCK)
    os.utime(path, (now, now))


def _web(api: Any) -> Shelf:
    token = "Bearer web-canary-4nB8sKe"
    held: dict[str, tuple[bytes, str]] = {}

    def answer(asked: Any) -> Any:
        if asked.headers.get("authorization") != token:
            return api.reply(b"", status=403)
        found = held.get(asked.path.removeprefix("/in/"))
        return api.reply(b"", status=404) if found is None else api.reply(found[0], headers={"etag": found[1]})

    api.answer = answer
    return Shelf(
        address=f"{api.url}/in",
        settings={"http_headers": {"Authorization": token}},
        put=lambda name, data: held.update({name: (data, f'"{uuid.uuid4().hex}"')}),
        remove=held.pop,
        secret=token,
        wrong={"http_headers": {"Authorization": "Bearer wrong"}},
        has_patterns=False,
    )


class Run(NamedTuple):
    rows: list[dict[str, Any]]
    state: bytes


def run(settings: Settings, folder: Path, state: bytes | None = None, stop_after: int = 10_000) -> Run:
    asked = iter(range(10_001))
    request = ReadRequest(
        catalog=files.discover(settings),
        state=state,
        folder=folder / "scratch",
        batch_bytes=4096,
        should_stop=lambda: next(asked) >= stop_after,
    )
    rows: list[dict[str, Any]] = []
    taken: list[dict[str, Any]] = []
    for message in files.read(settings, request):
        if isinstance(message, Rows):
            rows += message.batch.to_pylist()
        elif isinstance(message, Checkpoint):
            taken, last = [*rows], message.state
    return Run(taken, last)


def ids(found: Run) -> list[int]:
    return [row["id"] for row in found.rows]


def test_a_file_is_read_once_and_again_when_it_is_replaced(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("a.csv", b"id\n1\n2\n")
    first = run(shelf.source("a.csv"), tmp_path)
    assert ids(first) == [1, 2]
    assert run(shelf.source("a.csv"), tmp_path, first.state) == ([], first.state)
    shelf.put("a.csv", b"id\n1\n3\n")
    assert ids(run(shelf.source("a.csv"), tmp_path, first.state)) == [1, 3]


def test_a_pattern_finds_what_it_names_and_what_is_new(shelf: Shelf, tmp_path: Path) -> None:
    if not shelf.has_patterns:
        pytest.skip("web servers list nothing")
    for number, name in enumerate(("a-1.csv", "a-2.csv", "b.csv", "deep/a-3.csv")):
        shelf.put(name, f"id\n{number}\n".encode())
    assert sorted(ids(run(shelf.source("**/a-*.csv"), tmp_path))) == [0, 1, 3]
    settings = Settings(streams=[StreamSettings(name="s", path=f"{shelf.address}/a-*.csv")], **shelf.settings)
    first = run(settings, tmp_path)
    assert ids(first) == [0, 1]
    shelf.put("a-4.csv", b"id\n4\n")
    shelf.remove("a-1.csv")
    second = run(settings, tmp_path, first.state)
    assert ids(second) == [4]
    assert run(settings, tmp_path, second.state) == ([], second.state)


def test_it_goes_on_where_it_was_stopped(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("a.csv", b"id\n" + b"".join(b"%d\n" % n for n in range(5000)))
    first = run(shelf.source("a.csv"), tmp_path, stop_after=3)
    assert 0 < len(first.rows) < 5000
    assert ids(first) + ids(run(shelf.source("a.csv"), tmp_path, first.state)) == list(range(5000))


def test_archives_parquet_and_sheets_are_read_too(shelf: Shelf, tmp_path: Path, workbook: Callable[..., None]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.csv", "id\n1\n")
        archive.writestr("y.csv", "id\n2\n")
    shelf.put("a.zip", packed.getvalue())
    table = io.BytesIO()
    pq.write_table(pa.table({"id": [3]}), table)
    shelf.put("a.parquet", table.getvalue())
    workbook(tmp_path / "a.xlsx", [["id"], [4]])
    shelf.put("a.xlsx", (tmp_path / "a.xlsx").read_bytes())
    names = ("a.zip", "a.parquet", "a.xlsx")
    settings = Settings(paths=[f"{shelf.address}/{name}" for name in names], **shelf.settings)
    assert sorted(ids(run(settings, tmp_path))) == [1, 2, 3, 4]
    assert not list((tmp_path / "scratch").glob("*/*"))


def test_what_is_not_there_is_said(shelf: Shelf) -> None:
    with pytest.raises(InputError, match=r"no file matches `.*nope\.csv`"):
        files.discover(shelf.source("nope.csv"))
    assert files.discover(shelf.source("nope.csv", optional=True)).streams == []


def test_a_file_that_is_another_by_now_is_not_taken_for_the_one_that_was_found(shelf: Shelf) -> None:
    shelf.put("a.csv", b"id\n1\n")
    with Places(shelf.source("a.csv")) as places:
        (remote,) = places.find(f"{shelf.address}/a.csv")
        assert remote.place.open(remote.found).read() == b"id\n1\n"
        shelf.put("a.csv", b"id\n2\n")
        with pytest.raises(RunFailedError, match="was replaced or removed while it was read"):
            remote.place.open(remote.found)
        shelf.remove("a.csv")
        with pytest.raises(RunFailedError, match="was replaced or removed while it was read"):
            remote.place.open(remote.found)


def test_wrong_credentials_are_told_without_any_secret(shelf: Shelf) -> None:
    if shelf.wrong is None:
        pytest.skip("the stand-in lets everybody in")
    shelf.put("a.csv", b"id\n1\n")
    settings = Settings(path=f"{shelf.address}/a.csv", **{**shelf.settings, **shelf.wrong})
    with pytest.raises(EnvironmentProblemError) as caught:
        files.discover(settings)
    assert caught.value.reference == "store-refused"
    assert shelf.secret not in said(caught.value)
    assert "wrong" not in said(caught.value)


def said(error: HeadwaterError) -> str:
    return f"{error.what} {error.why} {error.hint} {error.where}"

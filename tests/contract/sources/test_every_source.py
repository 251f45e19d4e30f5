"""What every native source promises. Each case below is a source with data of its own; add a row for a new one."""

from __future__ import annotations

import gzip
import os
import sqlite3
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast

import duckdb as duckdb_engine
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema
from headwater.connect.singer.schema import json_schema
from headwater.connect.sources import airbyte, duckdb, files, git, mysql, postgres, python, rest, sql, sqlite
from headwater.connect.sources.files.settings import Position, StreamSettings
from headwater.connect.sources.git.columns import SCHEMAS
from headwater.connect.types import is_json
from headwater.model.catalog import Catalog, Metadata

ROWS = 5000
CANONICAL = {"bool", "int64", "double", "string", "binary", "date32[day]", "time64[us]", "timestamp[us, tz=UTC]"}


class Source(NamedTuple):
    """`stream` has ROWS rows with `id`, `name` and `amount`; `empty` has none but the same columns. `is_inclusive` says
    that a read which goes on begins with the last row of the one before, for others may have come beside it."""

    module: Any
    settings: Any
    stream: str = "orders"
    empty: str = "nothing"
    is_inclusive: bool = False
    number: str = "id"
    columns: tuple[str, ...] = ("id", "name", "amount")
    left_out: str = "name"
    first: tuple[dict[str, Any], ...] = (
        {"id": 0, "name": "name, 0", "amount": 0.0},
        {"id": 1, "name": "name, 1", "amount": 0.25},
    )
    batch_bytes: int = 20_000

    def ids(self, messages: list[Message]) -> list[int]:
        """The numbers of the rows that came."""
        rows = (m.batch for m in messages if isinstance(m, Rows) and m.stream == self.stream)
        return [int(value) for batch in rows for value in batch[self.number].to_pylist()]

    def is_whole(self, rows: list[int], *, reads: int) -> bool:
        """Whether so many reads together brought every row, and no row twice but where one of them began."""
        again = Counter(rows) - Counter(range(ROWS))
        return set(rows) == set(range(ROWS)) and again.total() <= (reads - 1 if self.is_inclusive else 0)


def _csv(rows: int, delimiter: str = ",") -> bytes:
    lines = [f'{n}{delimiter}"name, {n}"{delimiter}{n / 4}' for n in range(rows)]
    return "\n".join([delimiter.join(["id", "name", "amount"]), *lines, ""]).encode()


def _files(root: Path, suffix: str, write: Callable[[Path, int], object]) -> Source:
    write(root / f"orders.{suffix}", ROWS)
    write(root / f"nothing.{suffix}", 0)
    return Source(files, files.Settings(path=f"*.{suffix}", root=str(root)))


def _zipped(path: Path, rows: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.csv", _csv(rows))


def _parquet(path: Path, rows: int) -> None:
    columns = {"id": pa.array(range(rows), pa.int64()), "name": pa.array([f"name, {n}" for n in range(rows)], "string")}
    pq.write_table(pa.table(columns | {"amount": pa.array([n / 4 for n in range(rows)], "double")}), path)


def _several(root: Path) -> Source:
    for part in range(5):
        lines = _csv(ROWS).splitlines(keepends=True)
        body = lines[1 + part * 1000 : 1 + (part + 1) * 1000]
        (root / f"orders-{part}.csv").write_bytes(lines[0] + b"".join(body))
    (root / "nothing.csv").write_bytes(_csv(0))
    streams = [
        StreamSettings(name="orders", path="orders-*.csv", keys=["id"]),
        StreamSettings(name="nothing", path="nothing.csv"),
    ]
    return Source(files, files.Settings(streams=streams, root=str(root)))


def _jsonl(path: Path, rows: int) -> None:
    record = '{{"id":{0},"name":"name, {0}","amount":{1}}}\n'
    path.write_text("".join(record.format(n, n / 4) for n in range(rows)))


def _json(path: Path, rows: int) -> None:
    record = '{{"id":{0},"name":"name, {0}","amount":{1}}}'
    path.write_text("[" + ",\n".join(record.format(n, n / 4) for n in range(rows)) + "]")


def _xml(root: Path) -> Source:
    record = '<order id="{0}"><name>name, {0}</name><amount>{1}</amount></order>\n'
    for name, rows in (("orders", ROWS), ("nothing", 0)):
        body = "".join(record.format(n, n / 4) for n in range(rows))
        (root / f"{name}.xml").write_text(f"<orders>{body}</orders>")
    return Source(files, files.Settings(path="*.xml", records="orders/order", root=str(root)))


def _excel(root: Path, workbook: Any) -> Source:
    for name, rows in (("orders", ROWS), ("nothing", 0)):
        cells = [[n, f"name, {n}", n / 4] for n in range(rows)]
        workbook(root / f"{name}.xlsx", [["id", "name", "amount"], *cells])
    return Source(files, files.Settings(path="*.xlsx", root=str(root)))


def _fixed(root: Path) -> Source:
    for name, rows in (("orders", ROWS), ("nothing", 0)):
        lines = (f"{n:6}{f'name, {n}':<12}{n / 4:>10}\n" for n in range(rows))
        (root / f"{name}.txt").write_text("".join(lines))
    places = [("id", 1, 6), ("name", 7, 12), ("amount", 19, 10)]
    positions = [Position(name=name, start=start, width=width) for name, start, width in places]
    return Source(files, files.Settings(path="*.txt", format="fixed", positions=positions, root=str(root)))


def _packed(root: Path) -> Source:
    for name, rows in (("orders", ROWS), ("nothing", 0)):
        with pa.CompressedOutputStream(str(root / f"{name}.csv.zst"), "zstd") as packed:
            packed.write(_csv(rows))
    return Source(files, files.Settings(path="*.zst", root=str(root)))


def _postgres(server: Any) -> Source:
    server.sql("drop database if exists contract with (force)")
    server.sql("create database contract")
    columns = "id int primary key, name text, amount float8"
    server.sql(f"create table orders ({columns}); create table nothing ({columns})", "contract")
    server.sql(f"insert into orders select n, 'name, ' || n, n / 4.0 from generate_series(0, {ROWS - 1}) n", "contract")
    settings = postgres.Settings(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database="contract",
        replication_keys={"public-orders": "id"},
    )
    return Source(postgres, settings, stream="public-orders", empty="public-nothing", is_inclusive=True)


def _mysql(server: Any) -> Source:
    server.sql("drop database if exists contract")
    server.sql("create database contract")
    for name in ("orders", "nothing"):
        server.sql(f"create table {name} (id int primary key, name text, amount double)", "contract")
    server.sql(f"insert into orders select seq, concat('name, ', seq), seq / 4 from seq_0_to_{ROWS - 1}", "contract")
    settings = mysql.Settings(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database="contract",
        replication_keys={"contract-orders": "id"},
    )
    return Source(mysql, settings, stream="contract-orders", empty="contract-nothing", is_inclusive=True)


_OWN_CODE = """
from headwater.sources import stream

@stream(keys="id", cursor="id", ordered=True)
def orders(rows: int, bookmark: int = 0):
    for n in range(bookmark, rows):
        yield {"id": n, "name": f"name, {n}", "amount": n / 4}

@stream(keys="id", cursor="id", ordered=True, schema={"id": int, "name": str, "amount": float})
def nothing(bookmark: int = 0):
    return []
"""


def _own(root: Path) -> Source:
    (root / "own.py").write_text(_OWN_CODE)
    settings = python.Settings(source="own.py", root=str(root), given={"rows": ROWS})
    return Source(python, settings, is_inclusive=True)


_CONNECTOR = """\
#!{python} -SI
import json, sys

given = {{name: json.load(open(path)) for name, path in zip(sys.argv[2::2], sys.argv[3::2])}}


def say(kind, **body):
    print(json.dumps({{"type": kind, **body}}))


if sys.argv[1] == "discover":
    types = {{"id": "integer", "name": "string", "amount": "number"}}
    schema = {{"type": "object", "properties": {{name: {{"type": ["null", kind]}} for name, kind in types.items()}}}}
    about = {{"supported_sync_modes": ["incremental"], "source_defined_cursor": True, "default_cursor_field": ["id"]}}
    about |= {{"json_schema": schema, "source_defined_primary_key": [["id"]]}}
    say("CATALOG", catalog={{"streams": [{{"name": name, **about}} for name in ("orders", "nothing")]}})
    sys.exit()
names = [one["stream"]["name"] for one in given["--catalog"]["streams"]]
states = {{one["stream"]["stream_descriptor"]["name"]: one["stream"] for one in given.get("--state", [])}}
first = states["orders"]["stream_state"]["next"] if "orders" in states else 0
for n in range(first, given["--config"]["rows"] if "orders" in names else 0):
    data = {{"id": n, "name": f"name, {{n}}", "amount": n / 4}}
    say("RECORD", record={{"stream": "orders", "data": data, "emitted_at": 0}})
    if n % 250 == 249:
        state = {{"stream_descriptor": {{"name": "orders"}}, "stream_state": {{"next": n + 1}}}}
        say("STATE", state={{"type": "STREAM", "stream": state}})
"""


def _airbyte(root: Path) -> Source:
    programs = root / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").touch()
    (programs / "source-shop").write_text(_CONNECTOR.format(python=sys.executable))
    (programs / "source-shop").chmod(0o755)
    source, venv = "airbyte:airbyte-source-shop", str(root / "venv")
    return Source(airbyte, airbyte.Settings(source=source, root=str(root), venv=venv, given={"rows": ROWS}))


_REST = """
base_url: {url}
pagination: {{type: page, size: 500}}
streams:
  orders:
    path: /orders
    records: data
    keys: id
    parameters: {{after: "{{{{ start }}}}"}}
    incremental: {{cursor: id, ordered: true, start: 0}}
  nothing:
    path: /nothing
    records: data
"""


def _rest(root: Path, api: Any) -> Source:
    def answer(asked: Any) -> dict[str, Any]:
        first = int(asked.query.get("after", 0)) + (int(asked.query["page"]) - 1) * 500
        numbers = range(first, min(ROWS, first + 500)) if asked.path == "/orders" else ()
        return {"data": [{"id": n, "name": f"name, {n}", "amount": n / 4} for n in numbers]}

    api.answer = answer
    (root / "shop.yml").write_text(_REST.format(url=api.url))
    return Source(rest, rest.Settings(source="shop.yml", root=str(root)), is_inclusive=True)


def _git(root: Path, imported: Callable[[Path, bytes], None]) -> Source:
    commit = (
        "commit refs/heads/main\nmark :{0}\ncommitter Ann <ann@example.com> {1} +0200\ndata {2}\n{3}\n"
        "M 100644 inline file\ndata {2}\n{3}\n\n"
    )
    commits = [commit.format(n + 1, 1_700_000_000 + n, len(str(n)), n) for n in range(ROWS)]
    imported(root, "".join(commits).encode())
    return Source(
        git,
        git.Settings(repository=str(root)),
        stream="commits",
        empty="tags",
        number="subject",
        columns=tuple(SCHEMAS["commits"].names),
        left_out="author_name",
        first=({"subject": "0", "additions": 1, "deletions": 0}, {"subject": "1", "additions": 1, "deletions": 1}),
        batch_bytes=300_000,
    )


def _duckdb(root: Path) -> Source:
    with duckdb_engine.connect(str(root / "shop.duckdb")) as connection:
        for name, rows in (("orders", ROWS), ("nothing", 0)):
            connection.execute(f"create table {name} (id int primary key, name text, amount double)")
            connection.execute(f"insert into {name} select n, 'name, ' || n, n / 4 from range({rows}) r(n)")
    settings = duckdb.Settings(path=str(root / "shop.duckdb"), replication_keys={"main-orders": "id"})
    return Source(duckdb, settings, stream="main-orders", empty="main-nothing", is_inclusive=True)


def _sqlite_file(root: Path) -> Path:
    with closing(sqlite3.connect(root / "shop.db")) as connection:
        for name, rows in (("orders", ROWS), ("nothing", 0)):
            connection.execute(f'create table "{name}" (id integer primary key, name text, amount double)')
            values = ((n, f"name, {n}", n / 4) for n in range(rows))
            connection.executemany(f'insert into "{name}" values (?, ?, ?)', values)
        connection.commit()
    return root / "shop.db"


def _sqlite(root: Path) -> Source:
    settings = sqlite.Settings(database=str(_sqlite_file(root)), replication_keys={"main-orders": "id"})
    return Source(sqlite, settings, stream="main-orders", empty="main-nothing", is_inclusive=True)


def _sql(root: Path, url: str, schema: str = "") -> Source:
    """Of a road without schemas, by default."""
    stream, empty = f"{schema}orders", f"{schema}nothing"
    settings = sql.Settings(url=url.format(_sqlite_file(root)), replication_keys={stream: "id"})
    return Source(sql, settings, stream=stream, empty=empty, is_inclusive=True)


def _odbc(root: Path) -> Source:
    driver = next(Path("/usr/lib").glob("*/odbc/libsqlite3odbc.so"), None)
    if driver is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("there is no ODBC driver for SQLite: apt-get install libsqliteodbc")
    return _sql(root, f"odbc:DRIVER={driver};Database={{}}")


SOURCES: dict[str, Callable[[Path], Source]] = {
    "csv": lambda root: _files(root, "csv", lambda path, rows: path.write_bytes(_csv(rows))),
    "tsv": lambda root: _files(root, "tsv", lambda path, rows: path.write_bytes(_csv(rows, "\t"))),
    "csv.gz": lambda root: _files(root, "csv.gz", lambda path, rows: path.write_bytes(gzip.compress(_csv(rows)))),
    "csv.zip": lambda root: _files(root, "csv.zip", _zipped),
    "parquet": lambda root: _files(root, "parquet", _parquet),
    "jsonl": lambda root: _files(root, "jsonl", _jsonl),
    "json": lambda root: _files(root, "json", _json),
    "xml": _xml,
    "fixed": _fixed,
    "csv.zst": _packed,
    "several files": _several,
    "own code": _own,
    "airbyte": _airbyte,
    "duckdb": _duckdb,
    "sqlite": _sqlite,
    "sqlalchemy": lambda root: _sql(root, "sqlite:///{}", schema="main-"),
    "adbc": lambda root: _sql(root, "adbc:sqlite:{}"),
    "odbc": _odbc,
}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, imported: Callable[[Path, bytes], None]) -> Source:
    return _git(tmp_path_factory.mktemp("history"), imported)


@pytest.fixture(params=[*SOURCES, "excel", "git", "mysql", "postgres", "rest"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    if request.param == "postgres":
        return _postgres(request.getfixturevalue("postgres"))
    if request.param == "mysql":
        return _mysql(request.getfixturevalue("mariadb"))
    root = tmp_path / "data"
    root.mkdir()
    if request.param == "excel":
        return _excel(root, request.getfixturevalue("workbook"))
    if request.param == "git":
        return cast("Source", request.getfixturevalue("history"))
    if request.param == "rest":
        return _rest(root, request.getfixturevalue("api"))
    return SOURCES[request.param](root)


def _read(
    source: Source, catalog: Catalog, state: bytes | None = None, stop_after: int | None = None
) -> Iterator[Message]:
    asked = iter(range(10_000))
    request = ReadRequest(
        catalog=catalog,
        state=state,
        folder=Path("/nonexistent"),
        batch_bytes=source.batch_bytes,
        should_stop=lambda: stop_after is not None and next(asked) >= stop_after,
    )
    return iter(source.module.read(source.settings, request))


def _covered(source: Source, messages: list[Message]) -> tuple[list[int], bytes | None]:
    """What a destination would hold that commits at checkpoints only, and the state it keeps."""
    last = max((i for i, m in enumerate(messages) if isinstance(m, Checkpoint)), default=-1)
    kept = messages[: last + 1]
    return source.ids(kept), kept[-1].state if kept else None


def test_discovery_says_the_same_twice(source: Source) -> None:
    once, again = (msgspec.json.encode(source.module.discover(source.settings)) for _ in range(2))
    assert once == again


def test_discovery_names_every_column_in_schema_and_metadata(source: Source) -> None:
    stream = next(s for s in source.module.discover(source.settings).streams if s.name == source.stream)
    assert tuple(stream.schema["properties"]) == source.columns
    assert [entry.breadcrumb for entry in stream.metadata] == [[], *(["properties", n] for n in source.columns)]


def test_every_row_comes_once_and_in_order(source: Source) -> None:
    messages = list(_read(source, source.module.discover(source.settings)))
    assert source.ids(messages) == list(range(ROWS))
    assert sum(isinstance(m, Rows) for m in messages) > 1


def test_the_schema_comes_first_and_tells_the_truth(source: Source) -> None:
    catalog = source.module.discover(source.settings)
    said = {stream.name: stream.schema for stream in catalog.streams}
    schemas: dict[str, Schema] = {}
    for message in _read(source, catalog):
        if isinstance(message, Schema):
            schemas[message.stream] = message
            assert all(str(c.type) in CANONICAL or pa.types.is_decimal(c.type) or is_json(c) for c in message.columns)
            assert json_schema(message.columns) == said[message.stream]
        elif isinstance(message, Rows):
            assert message.batch.schema == schemas[message.stream].columns
            message.batch.validate(full=True)
            assert message.missing is None or len(message.missing) == message.batch.num_rows


def test_values_are_exact(source: Source) -> None:
    first = next(m for m in _read(source, source.module.discover(source.settings)) if isinstance(m, Rows))
    assert first.batch.slice(0, 2).select(list(source.first[0])).to_pylist() == list(source.first)


def test_the_last_message_is_a_checkpoint(source: Source) -> None:
    *_, last = _read(source, source.module.discover(source.settings))
    assert isinstance(last, Checkpoint)


def test_an_empty_stream_has_no_rows(source: Source) -> None:
    messages = list(_read(source, source.module.discover(source.settings)))
    assert not [m for m in messages if isinstance(m, Rows) and m.stream == source.empty]


def test_a_second_read_has_no_rows_and_the_same_state(source: Source) -> None:
    catalog = source.module.discover(source.settings)
    _, state = _covered(source, list(_read(source, catalog)))
    again, same = _covered(source, list(_read(source, catalog, state)))
    assert again == ([ROWS - 1] if source.is_inclusive else [])
    assert same == state


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 5, 8])
def test_stopped_anywhere_it_goes_on_without_loss_or_duplicate(source: Source, stop_after: int) -> None:
    catalog = source.module.discover(source.settings)
    first, state = _covered(source, list(_read(source, catalog, stop_after=stop_after)))
    rest, _ = _covered(source, list(_read(source, catalog, state)))
    assert source.is_whole(first + rest, reads=2)


def test_stopped_again_and_again_it_still_arrives(source: Source) -> None:
    catalog = source.module.discover(source.settings)
    got: list[int] = []
    state: bytes | None = None
    for attempt in range(100):
        rows, noted = _covered(source, list(_read(source, catalog, state, stop_after=2 + attempt % 7)))
        got += rows
        # A read that is stopped before it noted anything leaves the state as it was.
        state = state if noted is None else noted
        if set(got) == set(range(ROWS)):
            break
    assert source.is_whole(got, reads=100)
    assert got == sorted(got)


def test_killed_anywhere_the_last_checkpoint_covers_what_came_before_it(source: Source) -> None:
    catalog = source.module.discover(source.settings)
    for cut in range(0, len(list(_read(source, catalog))), 3):
        first, state = _covered(source, list(_read(source, catalog))[:cut])
        rest, _ = _covered(source, list(_read(source, catalog, state)))
        assert source.is_whole(first + rest, reads=2)


def test_only_selected_columns_come(source: Source) -> None:
    catalog = source.module.discover(source.settings)
    for stream in catalog.streams:
        stream.metadata.append(Metadata(breadcrumb=["properties", source.left_out], metadata={"selected": False}))
    messages = list(_read(source, catalog))
    came = {tuple(m.batch.schema.names) for m in messages if isinstance(m, Rows) and m.stream == source.stream}
    assert came == {tuple(column for column in source.columns if column != source.left_out)}
    assert len(source.ids(messages)) == ROWS


def test_a_stream_that_is_not_selected_does_not_come(source: Source) -> None:
    catalog = source.module.discover(source.settings)
    for stream in catalog.streams:
        stream.metadata[0].metadata["selected"] = stream.name != source.stream
    assert not [m for m in _read(source, catalog) if isinstance(m, Rows | Schema) and m.stream == source.stream]

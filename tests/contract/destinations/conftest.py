"""The destinations that the suite runs against, each with a way to see what a reader of it would see."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from headwater.connect import warehouse
from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import csv, duckdb, jsonl, manifest, mysql, parquet, postgres
from headwater.connect.objects import Bucket
from headwater.connect.storage import LocalFolder

OURS = ("__loaded_at", "__version")


class Place:
    """A destination in a temporary folder. `rows` and `shape` answer in the source's names; a column's shape is its
    name at the source, its name there and its type there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.opened = []

    @property
    def kind(self):
        """The destination's name: `duckdb`, `postgres`, `mysql`, `parquet`, `jsonl`, `csv`."""
        return self.module.__name__.rpartition(".")[2]

    def can(self, *capabilities):
        return set(capabilities) <= self.module.CAPABILITIES

    def need(self, *capabilities):
        if not self.can(*capabilities):
            pytest.skip(f"has no {' or '.join(capabilities)}")

    def open(self, run_id="run-1", pipeline="dev:shop", *, memory_bytes=64 << 20, on_bad_row="fail", **settings):
        request = OpenRequest(
            pipeline=pipeline,
            run_id=run_id,
            source="shop",
            folder=self.folder / f"scratch-{len(self.opened)}",
            memory_bytes=memory_bytes,
            on_bad_row=on_bad_row,
        )
        session = self.module.open(self.settings(**settings), request)
        self.opened.append(session)
        return session


class DuckDBPlace(Place):
    module = duckdb

    @property
    def path(self):
        return self.folder / "w.duckdb"

    def settings(self, **more):
        return duckdb.Settings(**{"filepath": str(self.path), "hard_delete": True, **more})

    def execute(self, statement):
        with warehouse.writing(self.path, who="test") as connection:
            connection.execute(statement)

    def rejects(self):
        with warehouse.reading(self.path, who="test") as connection:
            return connection.execute("select record, reason from _headwater.rejects").fetchall()

    def shape(self, stream):
        with warehouse.reading(self.path, who="test") as connection:
            return [
                tuple(row)
                for row in connection.execute(
                    "select source_name, column_name, data_type from _headwater.tables "
                    "join _headwater.columns using (schema_name, table_name) "
                    "join duckdb_columns() using (schema_name, table_name, column_name) "
                    "where stream = ? order by column_index",
                    [stream],
                ).fetchall()
            ]

    def rows(self, stream):
        if not self.path.exists():
            return None
        with warehouse.reading(self.path, who="test") as connection:
            if not connection.execute("from duckdb_schemas() where schema_name = '_headwater'").fetchall():
                return None
            found = connection.execute(
                "select t.table_name from _headwater.tables t join duckdb_tables() d using (schema_name, table_name) "
                "where stream = ?",
                [stream],
            ).fetchone()
            if found is None:
                return None
            back = dict(
                connection.execute(
                    "select column_name, source_name from _headwater.columns where table_name = ?", [found[0]]
                ).fetchall()
            )
            table = '"' + found[0].replace('"', '""') + '"'
            return plain(connection.sql(f"from shop.{table}").to_arrow_table().to_pylist(), back)


class PostgresPlace(Place):
    module = postgres
    server = None

    def open(self, run_id="run-1", pipeline="dev:shop", **settings):
        """A pipeline's former session ends first: two at once are refused."""
        for session in self.opened:
            if session.pipeline == pipeline:
                session.close()
        session = super().open(run_id, pipeline, **settings)
        session.pipeline = pipeline
        return session

    def settings(self, **more):
        at = self.server
        return postgres.Settings(
            **{
                "host": at.host,
                "port": at.port,
                "user": at.user,
                "password": at.password,
                "database": "contract",
                "hard_delete": True,
                **more,
            }
        )

    def sql(self, statement):
        return self.server.sql(statement, "contract")

    def execute(self, statement):
        self.sql(statement)

    def rejects(self):
        return self.sql("select record, reason from _headwater.rejects")

    def shape(self, stream):
        with self.server.connect("contract") as connection:
            found = connection.execute(
                "select source_name, column_name, format_type(atttypid, atttypmod) from _headwater.tables t "
                "join _headwater.columns c using (schema_name, table_name) "
                "join pg_attribute on attname = column_name "
                "and attrelid = (quote_ident(t.schema_name) || '.' || quote_ident(t.table_name))::regclass "
                "where stream = %s order by attnum",
                [postgres.books.written(stream)],
            ).fetchall()
            return [(unwritten(source), name, sql) for source, name, sql in found]

    def rows(self, stream):
        stream = "'" + postgres.books.written(stream).replace("'", "''") + "'"
        if not self.sql("select 1 from pg_namespace where nspname = '_headwater'"):
            return None
        found = self.sql(f"select table_name from _headwater.tables where stream = {stream} and schema_name = 'shop'")
        if not found:
            return None
        at = "'" + found[0][0].replace("'", "''") + "'"
        back = dict(self.sql(f"select column_name, source_name from _headwater.columns where table_name = {at}"))
        table = '"' + found[0][0].replace('"', '""') + '"'
        with self.server.connect("contract") as connection:
            cursor = connection.execute(f"select * from shop.{table}")
            names = [column.name for column in cursor.description]
            back = {column: unwritten(source) for column, source in back.items()}
            return plain([dict(zip(names, row, strict=True)) for row in cursor], back)


class OlderPostgresPlace(PostgresPlace):
    """The same on the system's server, which is some releases older."""


class MariaDBPlace(Place):
    module = mysql
    server = None

    def open(self, run_id="run-1", pipeline="dev:shop", **settings):
        """A pipeline's former session ends first: two at once are refused."""
        for session in self.opened:
            if session.pipeline == pipeline:
                session.close()
        session = super().open(run_id, pipeline, **settings)
        session.pipeline = pipeline
        return session

    def settings(self, **more):
        at = self.server
        given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "hard_delete": True}
        return mysql.Settings(**{**given, "database": "shop", **more})

    def execute(self, statement):
        self.server.sql(statement)

    def rejects(self):
        return self.server.sql("select record, reason from shop._headwater_rejects")

    def shape(self, stream):
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "select source_name, c.column_name, column_type from shop._headwater_tables t "
                "join shop._headwater_columns c using (table_name) join information_schema.columns i "
                "on i.table_schema = 'shop' and i.table_name = t.table_name and i.column_name = c.column_name "
                "where stream = %s order by ordinal_position",
                [stream],
            )
            return [(source, name, mysql.sql_types.normal(sql)) for source, name, sql in cursor.fetchall()]

    def rows(self, stream):
        with self.server.connect() as connection, connection.cursor() as cursor:
            if not cursor.execute("show databases like 'shop'"):
                return None
            if not cursor.execute("select table_name from shop._headwater_tables where stream = %s", [stream]):
                return None
            ((table,),) = cursor.fetchall()
            cursor.execute(
                "select column_name, source_name from shop._headwater_columns where table_name = %s", [table]
            )
            back = dict(cursor.fetchall())
            cursor.execute(f"select * from shop.`{table.replace('`', '``')}`".replace("%", "%%"), [])
            names = [column[0] for column in cursor.description]
            return plain([dict(zip(names, map(as_arrow, row), strict=True)) for row in cursor.fetchall()], back)


def unwritten(name):
    r"""A source's name from PostgreSQL's books: `\0` is NUL there."""
    return re.sub(r"\\([\\0])", lambda match: "\0" if match[1] == "0" else "\\", name) if "\\0" in name else name


def as_arrow(value):
    """MariaDB's times have no zone, those of a day may be longer than a day."""
    match value:
        case dt.datetime():
            return value.replace(tzinfo=dt.UTC)
        case dt.timedelta():
            return (dt.datetime(1, 1, 1, tzinfo=dt.UTC) + value).time()
    return value


class FolderPlace(Place):
    def settings(self, **more):
        return self.module.Settings(**{"destination_path": str(self.folder / "out"), **more})

    @property
    def storage(self):
        return LocalFolder(str(self.folder / "out"))

    def manifests(self):
        """Of each pipeline the one that counts, by its path."""
        heads = {
            path.rsplit("/", 1)[0] if path.count("/") > 1 else path: path for path in self.storage.names("_manifests")
        }
        paths = [path for path in heads.values() if path.endswith(".json")]
        return [manifest.decoded(self.storage.read(path), path) for path in paths]

    def entries(self, stream):
        return [one.streams[stream] for one in self.manifests() if stream in one.streams]

    def shape(self, stream):
        (entry,) = self.entries(stream)
        return [(source, column.name, column.type) for source, column in entry.columns.items()]

    def rows(self, stream):
        entries = self.entries(stream)
        if not entries:
            return None
        listed = sorted(file.path for entry in entries for file in entry.files)
        assert listed == self.storage.names(entries[0].folder)
        back = {column.name: source for source, column in entries[0].columns.items()}
        names = [column.name for column in entries[0].columns.values()]
        rows = [row for path in listed for row in self.read(self.storage.read(path), entries[0].columns.values())]
        return plain([dict.fromkeys(names) | row for row in rows], back)


class ParquetPlace(FolderPlace):
    module = parquet

    def read(self, data, _columns):
        return pq.read_table(pa.BufferReader(data)).to_pylist()


class S3Place(ParquetPlace):
    """The same in a bucket."""

    server = None

    def settings(self, **more):
        return super().settings(**{"destination_path": f"s3://lake/{self.folder.name}", **self.server.settings, **more})

    @property
    def storage(self):
        return Bucket(self.settings())


class JsonlPlace(FolderPlace):
    module = jsonl

    def read(self, data, _columns):
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()
        return [json.loads(line, parse_float=decimal.Decimal) for line in text.split("\n")[:-1]]


class CsvPlace(FolderPlace):
    """Read back by the types of the manifest: whatever is not its value's exact text shows."""

    module = csv

    def read(self, data, columns):
        kinds = {column.name: column.type for column in columns}
        head, *rows = csv_records(data.decode())
        names = [name for name, _ in head]
        return [
            {name: csv_value(kinds.get(name, "string"), *cell) for name, cell in zip(names, row, strict=True)}
            for row in rows
        ]


CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\n)')


def csv_records(text):
    """Rows of (text, was it quoted)."""
    rows, row, end = [], [], 0
    for cell in CELL.finditer(text):
        assert cell.start() == end
        end = cell.end()
        row.append((cell[2], False) if cell[1] is None else (cell[1].replace('""', '"'), True))
        if cell[3] == "\n":
            rows.append(row)
            row = []
    assert end == len(text)
    return rows


def csv_value(kind, text, is_quoted):
    if not text and not is_quoted:
        return None
    if kind.startswith("decimal"):
        return decimal.Decimal(text)
    match kind:
        case "bool":
            return {"true": True, "false": False}[text]
        case "int64":
            return int(text)
        case "double":
            return float(text)
        case "binary":
            return base64.b64decode(text, validate=True)
        case "date32[day]":
            return dt.date.fromisoformat(text)
        case "time64[us]":
            return dt.time.fromisoformat(text)
        case "timestamp[us, tz=UTC]" if "T" not in text:  # written when the column was a date
            return dt.date.fromisoformat(text)
        case "timestamp[us, tz=UTC]":
            assert text.endswith("Z")
            return dt.datetime.fromisoformat(text)
    return text


def plain(rows, back):
    return [{back.get(name, name): value for name, value in row.items() if name not in OURS} for row in rows]


@pytest.fixture(
    params=[DuckDBPlace, PostgresPlace, OlderPostgresPlace, MariaDBPlace, ParquetPlace, S3Place, JsonlPlace, CsvPlace],
    ids=["duckdb", "postgres", "older-postgres", "mariadb", "parquet", "s3", "jsonl", "csv"],
)
def place(request, tmp_path):
    place = request.param(tmp_path)
    if issubclass(request.param, PostgresPlace):
        place.server = request.getfixturevalue("postgres" if request.param is PostgresPlace else "older_postgres")
        place.server.sql("drop database if exists contract with (force)")
        place.server.sql("create database contract")
    if request.param is MariaDBPlace:
        place.server = request.getfixturevalue("mariadb")
        place.server.sql("drop database if exists shop")
    if request.param is S3Place:
        place.server = request.getfixturevalue("s3")
    yield place
    for session in place.opened:
        session.close()
        session.close()


USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])


@pytest.fixture
def send():
    """Prepare and stage rows given as dicts."""

    def send(session, rows, *, stream="users", columns=USERS, keys=(), replace=False, missing=None, version=None):
        session.prepare(Schema(stream=stream, columns=columns, keys=keys, replace=replace))
        batch = pa.RecordBatch.from_pylist(rows, schema=columns)
        absent = None if missing is None else pa.array(missing, pa.list_(pa.string()))
        session.stage(Rows(stream=stream, batch=batch, missing=absent, version=version, size=10))

    return send

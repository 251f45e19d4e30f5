"""Taps of others into a native destination: every row, its values, and where the next run goes on."""

from __future__ import annotations

import datetime as dt
import gzip
import http.server
import json
import threading
from decimal import Decimal
from types import MappingProxyType

import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer

# What each source holds at first, and what it gets before the second run.
PEOPLE = [
    (1, "Ada", Decimal("12.50"), dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)),
    (2, "Zoë, \"the\" 'second'\n", Decimal("-0.01"), dt.datetime(2024, 1, 2, 10, tzinfo=dt.UTC)),
    (3, "", None, dt.datetime(2024, 1, 3, 10, tzinfo=dt.UTC)),
]
NEW = (4, "日本 😈", Decimal("99999999.99"), dt.datetime(2024, 1, 4, 10, tzinfo=dt.UTC))
COLUMNS = "id int primary key, name text, amount numeric(10,2), updated_at"


INCREMENTAL = MappingProxyType(
    {"_metadata": {"*": {"replication-method": "INCREMENTAL", "replication-key": "updated_at"}}}
)


class Source:
    """`config` is the tap's, `add` puts rows into what it reads, `values` says what the table must hold of a row.
    `again` is how many rows the second run brings, `bookmark` what the state of it says."""

    stream = "people"
    extras = MappingProxyType({})
    again = 2  # the new one, and the one that ties with the bookmark
    bookmark = "2024-01-04"
    values = staticmethod(lambda row: row)
    columns = ("id", "name", "amount", "updated_at")


class Postgres(Source):
    def __init__(self, request, folder):
        self.server = request.getfixturevalue("postgres")
        self.server.sql("drop database if exists people with (force)")
        self.server.sql("create database people")
        self.server.sql(f"create table people ({COLUMNS} timestamptz)", "people")

    def add(self, rows):
        with self.server.connect("people") as connection, connection.cursor() as cursor:
            cursor.executemany("insert into people values (%s, %s, %s, %s)", rows)


class PostgresOfMeltanoLabs(Postgres):
    """It sends numeric as JSON numbers and announces no digits: doubles."""

    stream = "public-people"
    values = staticmethod(lambda row: (row[0], row[1], None if row[2] is None else float(row[2]), row[3]))
    extras = INCREMENTAL

    @property
    def config(self):
        at = self.server
        return {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "database": "people"} | {
            "filter_schemas": ["public"]
        }


class PostgresOfPipelineWise(Postgres):
    stream = "public-people"
    extras = INCREMENTAL

    @property
    def config(self):
        at = self.server
        return {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "dbname": "people"}


class MariaDB(Source):
    """The tap speaks MySQL's old `utf8`: the server gives it `?` for what that has not, and the tap takes it."""

    stream = "people-people"
    values = staticmethod(lambda row: (row[0], row[1].replace("😈", "?"), *row[2:]))
    extras = INCREMENTAL

    def __init__(self, request, folder):
        self.server = request.getfixturevalue("mariadb")
        self.server.sql("drop database if exists people")
        self.server.sql("create database people character set utf8mb4")
        self.server.sql(f"create table people.people ({COLUMNS} datetime)")

    @property
    def config(self):
        at = self.server
        return {"host": at.host, "port": str(at.port), "user": at.user, "password": at.password} | {
            "database": "people",
            "filter_dbs": "people",
        }

    def add(self, rows):
        with self.server.connect("people") as connection, connection.cursor() as cursor:
            cursor.executemany("insert into people values (%s, %s, %s, %s)", rows)


class MariaDBOfSingerIO(MariaDB):
    stream = "people"


class SingerJsonl(Source):
    """It sends its files' records again each time and knows no state."""

    again = 4
    bookmark = ""

    def __init__(self, request, folder):
        self.path = folder / "singer" / "people.singer.gz"
        self.path.parent.mkdir()
        schema = {"id": "integer", "name": "string", "amount": "number"}
        properties = {name: {"type": ["null", kind]} for name, kind in schema.items()}
        properties["updated_at"] = {"type": "string", "format": "date-time"}
        head = {"type": "SCHEMA", "stream": "people", "key_properties": ["id"]}
        self.lines = [{**head, "schema": {"type": "object", "properties": properties}}]

    @property
    def config(self):
        # Its own setting for single files does not work.
        return {"source": "local", "local": {"folders": [str(self.path.parent)]}, "add_record_metadata": False}

    def add(self, rows):
        for row in rows:
            record = dict(zip(self.columns, row, strict=True))
            record |= {"amount": None if row[2] is None else float(row[2]), "updated_at": row[3].isoformat()}
            self.lines.append({"type": "RECORD", "stream": "people", "record": record})
        self.path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in self.lines).encode()))

    values = staticmethod(lambda row: (row[0], row[1], None if row[2] is None else float(row[2]), row[3]))


class S3Csv(Source):
    """Text is all it has."""

    again = 1
    bookmark = "modified_since"
    columns = ("id", "name")
    values = staticmethod(lambda row: (str(row[0]), row[1]))

    def __init__(self, request, folder):
        self.server = ThreadedMotoServer("127.0.0.1", 0)
        self.server.start()
        request.addfinalizer(self.server.stop)
        host, port = self.server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.url, **keys)
        self.client.create_bucket(Bucket="people")

    @property
    def config(self):
        table = {"table_name": "people", "search_pattern": r".*\.csv", "key_properties": ["id"], "delimiter": ","}
        return {"bucket": "people", "start_date": "2000-01-01", "aws_endpoint_url": self.url, "tables": [table]} | {
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
        }

    def add(self, rows):
        text = "id,name\n" + "".join('{},"{}"\n'.format(row[0], row[1].replace('"', '""')) for row in rows)
        self.client.put_object(Bucket="people", Key=f"{rows[0][0]}.csv", Body=text.encode())


class Web(Source):
    """A server of the test that gives out `body`."""

    def __init__(self, request, folder):
        outer = self
        self.records = []

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = outer.body()
                self.send_response(200)
                self.send_header("Content-Type", outer.content)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        request.addfinalizer(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, rows):
        self.records += rows


class RestApi(Web):
    again = 4
    bookmark = "people"
    content = "application/json"
    columns = ("id", "name")
    values = staticmethod(lambda row: (row[0], row[1]))

    @property
    def config(self):
        stream = {"name": "people", "path": "/people", "primary_keys": ["id"], "records_path": "$.people[*]"}
        return {"api_url": self.url, "streams": [stream]}

    def body(self):
        return json.dumps({"people": [{"id": row[0], "name": row[1]} for row in self.records]}).encode()


class Feed(Web):
    again = 1
    content = "application/rss+xml"
    stream = "feed"
    columns = ("entry_id", "entry_title")
    values = staticmethod(lambda row: (str(row[0]), row[1].strip() or "none"))

    @property
    def config(self):
        return {
            "feed_urls": [f"{self.url}/feed"],
            "feed_fields": ["title"],
            "feed_entry_fields": ["id", "title", "published"],
            "feed_entry_replication_key": "published",
        }

    def body(self):
        items = "".join(
            f"<item><guid>{row[0]}</guid><title><![CDATA[{row[1].strip() or 'none'}]]></title>"
            f"<pubDate>{row[3]:%a, %d %b %Y %H:%M:%S} +0000</pubDate></item>"
            for row in self.records
        )
        return f'<rss version="2.0"><channel><title>People</title>{items}</channel></rss>'.encode()


SOURCES = {
    "tap-postgres-ml": PostgresOfMeltanoLabs,
    "tap-postgres-pw": PostgresOfPipelineWise,
    "tap-mysql-pw": MariaDB,
    "tap-mysql-si": MariaDBOfSingerIO,
    "tap-singer-jsonl": SingerJsonl,
    "tap-s3-csv": S3Csv,
    "tap-rest-api": RestApi,
    "tap-feed": Feed,
}


def filled(hw, name, request, folder):
    """A source with its first rows, and its tap set up to read them."""
    source = SOURCES[name](request, folder)
    source.add(PEOPLE)
    for setting, value in {**source.config, **source.extras}.items():
        text = value if isinstance(value, str) else json.dumps(value)
        where = ["--store", "dotenv"] if setting in ("password", "aws_secret_access_key") else []
        hw.ok("config", "set", name, setting, text, *where)
    return source


@pytest.mark.parametrize("name", SOURCES)
def test_a_tap_of_others_into_duckdb(third_parties, request, tmp_path, name):
    hw = third_parties
    source = filled(hw, name, request, tmp_path)
    hw.ok("config", "set", "target-duckdb", "filepath", f"{name}.duckdb")
    schema = name.replace("-", "_")

    def loaded():
        with duckdb.connect(str(hw.root / f"{name}.duckdb"), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            tables = connection.execute("select table_name from duckdb_tables() where schema_name = ?", [schema])
            ((table,),) = tables.fetchall()
            listed = ", ".join(f'"{column}"' for column in source.columns)
            found = connection.sql(f'select {listed} from {schema}."{table}" order by 1').to_arrow_table()
        assert table == source.stream
        return [tuple(row.values()) for row in found.to_pylist()]

    hw.ok("run", name, "target-duckdb")
    assert loaded() == sorted(map(source.values, PEOPLE))
    source.add([NEW])
    hw.ok("run", name, "target-duckdb")
    assert loaded() == sorted(map(source.values, [*PEOPLE, NEW]))
    last = "select sum(rows_in) from _headwater.ledger group by run_id order by min(committed_at) desc limit 1"
    assert hw.query(last, f"{name}.duckdb") == [(source.again,)]
    assert source.bookmark in hw("state", "get", f"dev:{name}-to-target-duckdb").out


@pytest.mark.parametrize(
    ("name", "failed"),
    [("tap-postgres-pw", []), ("tap-mysql-pw", []), ("tap-singer-jsonl", ["a second run sends nothing old"])],
)
def test_a_tap_of_others_is_held_to_the_contract(third_parties, request, tmp_path, name, failed):
    hw = third_parties
    filled(hw, name, request, tmp_path)
    report = json.loads(hw("tap", "test", name, "--json").out)
    assert [check["name"] for check in report["checks"] if check["outcome"] == "failed"] == failed

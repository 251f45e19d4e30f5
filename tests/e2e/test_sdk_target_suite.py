"""The target tests of the Singer SDK on every native destination, and what they leave out: what stands in the tables.

The suite only asks whether a target ends well, so a target that throws everything away passes it. Here each of its
streams is read back: names, types, values, nulls.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pymysql
import pytest
from pyarrow import parquet as pq

SUITE = [
    "array_data",
    "camelcase_complex_schema",
    "camelcase",
    "cli_prints",
    "duplicate_records",
    "encoded_string_data",
    "invalid_schema",
    "no_primary_keys",
    "optional_attributes",
    "pk_updates",
    "record_before_schema",
    "record_missing_fields",
    "record_missing_key_property",
    "schema_no_properties",
    "schema_updates",
    "special_chars_in_attributes",
]
# Files that the SDK ships and its suite does not run, in an order in which they build on each other.
UNUSED = [
    "no_primary_keys_append",
    "multiple_state_messages",
    "user_location_data",
    "user_location_upsert_data",
    "record_missing_required_property",
]
PLACES = ("duckdb", "postgres", "mysql", "parquet", "jsonl")
NUL = "Control Characters in string: \0 A \x01"

FORECAST = [
    *(("Id", "text"), ("IsDeleted", "bool"), ("CreatedDate", "moment"), ("CreatedById", "text")),
    *(("LastModifiedDate", "moment"), ("LastModifiedById", "text"), ("SystemModstamp", "moment")),
    *(("ForecastingTypeId", "text"), ("ForecastingItemCategory", "text"), ("DisplayPosition", "whole")),
    *(("IsAdjustable", "bool"), ("IsOwnerAdjustable", "bool"), ("age", "whole")),
    *(("NewCamelCasedAttribute", "text"), ("_attribute_startswith_underscore", "text")),
]
STRINGS = [
    "simple string 2837",
    "απλή συμβολοσειρά",
    "简单的字串",
    "chaîne simple",
    'quoted "string"',
    'various " \\ / \n escape sequences',
    "m",
    "ā",
    "ƙ",
]
OBJECT_NAMES = [
    *("simple", "greek", "chinese", "french", "quoted string", "escape sequences", "unicode", "unicode", "unicode"),
    *("Double quoting", "Control Characters in string"),
]
# Stream: columns with their kinds, and all rows by the first column.
TABLES = {
    "test_array_data": (
        [("id", "whole"), ("fruits", "json")],
        [
            (1, ["apple", "orange", "pear"]),
            (2, ["banana", "apple"]),
            (3, ["pear"]),
            (4, ["orange", "banana", "apple", "pear"]),
        ],
    ),
    "ForecastingTypeToCategory": (FORECAST, []),
    "TestCamelcase": (
        [("Id", "text"), ("clientName", "text")],
        [("1", "Gitter Windows Desktop App"), ("2", "Gitter iOS App")],
    ),
    "test_duplicate_records": ([("id", "whole"), ("metric", "whole")], [(1, 100), (2, 20)]),
    "test_strings": (
        [("id", "whole"), ("info", "text")],
        list(enumerate([*STRINGS, r"Double quoting: \u0000 \u0041 \u0001", NUL], 1)),
    ),
    "test_strings_in_objects": (
        [("id", "whole"), ("info__name", "text"), ("info__value", "text")],
        [
            (number, name, value)
            for number, (name, value) in enumerate(
                zip(OBJECT_NAMES, [*STRINGS, r" \u0000 \u0041 \u0001", "\0 A \x01"], strict=True), 1
            )
        ],
    ),
    "test_strings_in_arrays": (
        [("id", "whole"), ("strings", "json")],
        [
            (1, ["simple string", *STRINGS[1:3]]),
            (2, STRINGS[3:5]),
            (3, STRINGS[5:6]),
            (4, STRINGS[6:9]),
            (5, ["aaa", r"Double quoting: \u0000 \u0041 \u0001"]),
            (6, ["bbb", NUL]),
        ],
    ),
    # 3 rows of no_primary_keys, then 5 of no_primary_keys_append.
    "test_no_pk": (
        [("id", "whole"), ("metric", "whole")],
        [(1, 11), (1, 101), (2, 22), (2, 202), (3, 33), (3, 303), (4, 404), (5, 505)],
    ),
    "test_optional_attributes": (
        [("id", "whole"), ("optional", "text")],
        [(1, "This is optional"), (2, None), (3, "Also optional"), (4, None)],
    ),
    # The file has its keys in the wrong place, so the stream has none.
    "example_stream": (
        [("id", "whole"), ("name", "text"), ("email", "text")],
        [(1, "Alice", "alice@example.com"), (2, "Bob", "bob@example.com")],
    ),
    "record_missing_fields": ([("id", "whole"), ("optional", "text")], [(1, "now you see me"), (2, None)]),
    "test_object_schema_with_properties": (
        [("object_store__id", "whole"), ("object_store__metric", "whole")],
        [(1, 187), (2, 203)],
    ),
    "test_object_schema_no_properties": (
        [("object_store", "json")],
        [({"id": 1, "metric": 1},), ({"id": 2, "metric": 2},)],
    ),
    "test_schema_updates": (
        [
            *(("id", "whole"), ("a1", "float"), ("a2", "text"), ("a3", "bool"), ("a4__id", "whole")),
            *(("a4__value", "whole"), ("a5", "json"), ("a6", "whole")),
        ],
        [
            (1, 101.0, "string1", None, None, None, None, None),
            (2, 102.0, "string2", True, None, None, None, None),
            (3, 103.0, "string3", False, 1, 1, ["banana", "apple"], None),
            (4, 104.0, "string4", True, 2, 22, ["orange", "pear"], None),
            (5, 105.0, "string5", False, 3, 33, ["apple"], 985),
            (6, 106.0, "string6", True, 4, 444, ["banana", "orange"], 341),
        ],
    ),
    "test:SpecialChars!in?attributes": (
        [("_id", "text"), ("d__env", "text"), ("d__agent:type", "text"), ("d__agent:os:version", "text")],
        [("a2e98886", "prod", "desktop", "10.13.1")],
    ),
    "test_multiple_state_messages_a": (
        [("id", "whole"), ("metric", "whole")],
        [(number, number * 100) for number in range(1, 7)],
    ),
    "test_multiple_state_messages_b": (
        [("id", "whole"), ("metric", "whole")],
        [(number, number * 110) for number in range(1, 7)],
    ),
    "test_users": (
        [("id", "whole"), ("name", "text")],
        [
            *((1, "Johny"), (2, "George"), (3, "Jacob"), (4, "Josh"), (5, "Jim"), (8, "Thomas"), (12, "Paul")),
            (13, "Mary"),
        ],
    ),
    "test_locations": (
        [("id", "whole"), ("name", "text")],
        [(1, "Philly"), (2, "NY"), (3, "San Francisco"), (6, "Colorado"), (8, "Boston")],
    ),
    "test_user_in_location": (
        [
            *(("id", "whole"), ("user_id", "whole"), ("location_id", "whole")),
            *(("info__weather", "text"), ("info__mood", "text")),
        ],
        [
            (1, 1, 4, "rainy", "sad"),
            (2, 2, 3, "sunny", "satisfied"),
            (3, 1, 3, "sunny", "happy"),
            (6, 3, 2, "sunny", "happy"),
            (14, 4, 1, "cloudy", "ok"),
        ],
    ),
}
# Files only add rows, so what an upsert replaced is still there, in the order in which it came.
APPENDED = {
    "test_duplicate_records": [(1, 1), (1, 10), (1, 100), (2, 2), (2, 20)],
    "test_users": [
        *((1, "Yannis"), (1, "Johny"), (2, "Micael"), (2, "George"), (3, "Jacob"), (4, "Josh"), (5, "Thomas")),
        *((5, "Jim"), (8, "Thomas"), (12, "Paul"), (13, "Mary")),
    ],
    "test_locations": [
        *((1, "Philadelphia"), (1, "Philly"), (2, "NY"), (3, "SF"), (3, "San Francisco"), (6, "Colorado")),
        (8, "Boston"),
    ],
    "test_user_in_location": [
        *((1, 1, 1, "rainy", "sad"), (1, 1, 4, "rainy", "sad"), (2, 1, 2, "sunny", "satisfied")),
        *((2, 2, 3, "sunny", "satisfied"), (3, 1, 3, "sunny", "happy"), (6, 3, 2, "sunny", "happy")),
        (14, 4, 1, "cloudy", "ok"),
    ],
}
SQL_TYPES = {
    "duckdb": {
        "whole": "BIGINT",
        "float": "DOUBLE",
        "text": "VARCHAR",
        "bool": "BOOLEAN",
        "json": "JSON",
        "moment": "TIMESTAMP WITH TIME ZONE",
    },
    "postgres": {
        "whole": "bigint",
        "float": "double precision",
        "text": "text",
        "bool": "boolean",
        "json": "jsonb",
        "moment": "timestamp with time zone",
    },
    "mysql": {
        "whole": "bigint",
        "float": "double",
        "text": "longtext",
        "bool": "tinyint",
        "json": "longtext",
        "moment": "datetime",
    },
    "parquet": {
        "whole": "int64",
        "float": "double",
        "text": "string",
        "bool": "bool",
        "json": "string",
        "moment": "timestamp[us, tz=UTC]",
    },
}
# A text that is a key has a length to MariaDB.
KEY_TEXT = {("mysql", "TestCamelcase", "Id"), ("mysql", "ForecastingTypeToCategory", "Id")} | {
    ("mysql", "test:SpecialChars!in?attributes", "_id")
}


@pytest.fixture(scope="session")
def sdk(tmp_path_factory):
    """The Python of an environment with the newest SDK."""
    folder = tmp_path_factory.mktemp("sdk") / "venv"
    for command in (["venv", folder], ["pip", "install", "--python", folder / "bin/python", "singer-sdk[testing]"]):
        subprocess.run([sys.executable, "-m", "uv", "-q", *map(str, command)], check=True, timeout=300)
    return folder / "bin/python"


class Loaded:
    """What the suite left at a destination."""

    def __init__(self, name, folder, config):
        self.name, self.folder, self.config = name, folder, config
        self.outcomes = {}
        self.said = {}

    @property
    def program(self):
        (self.folder / "config.json").write_text(json.dumps(self.config))
        return [sys.executable, "-m", "headwater", "target", self.name, "-c", str(self.folder / "config.json")]

    def run_suite(self, python):
        script = self.folder / "test_suite.py"
        shutil.copy(Path(__file__).parents[1] / "fixtures" / "sdk_suite.py", script)
        done = subprocess.run(
            [
                *(python, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", self.folder),
                *(f"--junitxml={self.folder / 'report.xml'}", script),
            ],
            cwd=self.folder,
            env={**os.environ, "TARGET_PROGRAM": json.dumps(self.program)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (self.folder / "report.xml").exists(), done.stdout + done.stderr
        for case in ET.parse(self.folder / "report.xml").iter("testcase"):  # noqa: S314 - pytest wrote it just now
            said = [child.get("message") for child in case]
            self.outcomes[case.get("name").removeprefix("test_target_")] = said[0] if said else "passed"

    def run_file(self, path):
        done = subprocess.run(
            self.program, input=path.read_bytes(), cwd=self.folder, capture_output=True, timeout=60, check=False
        )
        self.said[path.stem] = (done.returncode, done.stdout.decode(), done.stderr.decode())

    def table(self, stream):
        """Columns with types (of ours none) and rows as tuples."""
        types, rows = getattr(self, f"_{self.name}")(stream)
        kept = [name for name in types if not name.startswith("__")]
        return {name: types[name] for name in kept}, [tuple(row[name] for name in kept) for row in rows]

    def _duckdb(self, stream):
        with duckdb.connect(self.config["filepath"], read_only=True) as connection:
            found = connection.execute(
                "select column_name, data_type from duckdb_columns() "
                "where schema_name = 'landing' and table_name = ? order by column_index",
                [stream],
            ).fetchall()
            return dict(found), connection.sql(f'from landing."{stream}"').to_arrow_table().to_pylist()

    def _postgres(self, stream):
        with self.server.connect("sdk") as connection:
            found = connection.execute(
                "select column_name, data_type from information_schema.columns "
                "where table_schema = 'landing' and table_name = %s order by ordinal_position",
                [stream],
            ).fetchall()
            cursor = connection.execute(f'select * from landing."{stream}"')
            return dict(found), [dict(zip(dict(found), row, strict=True)) for row in cursor]

    def _mysql(self, stream):
        with self.server.connect("sdk") as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(
                "select column_name as name, data_type as kind from information_schema.columns "
                "where table_schema = 'sdk' and table_name = %s order by ordinal_position",
                [stream],
            )
            types = {row["name"]: row["kind"] for row in cursor.fetchall()}
            cursor.execute(f"select * from `{stream}`")
            return types, list(cursor.fetchall())

    @property
    def manifest(self):
        (path,) = (Path(self.config["destination_path"]) / "_manifests").glob("*.json")
        return json.loads(path.read_bytes())["streams"]

    def _files(self, stream):
        return [Path(self.config["destination_path"]) / file["path"] for file in self.manifest[stream]["files"]]

    def _parquet(self, stream):
        types = {one["name"]: one["type"] for one in self.manifest[stream]["columns"].values()}
        tables = [pq.read_table(path) for path in self._files(stream)]
        for table in tables:
            assert {
                field.name: str(field.type) for field in table.schema if field.name in types
            }.items() <= types.items()
        whole = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
        return types, [dict.fromkeys(types) | row for row in whole.to_pylist()]

    def _jsonl(self, stream):
        types = {one["name"]: "json" for one in self.manifest[stream]["columns"].values()}
        lines = [line for path in self._files(stream) for line in path.read_text().split("\n")[:-1]]
        return types, [dict.fromkeys(types) | json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def loaded(request, sdk, tmp_path_factory):
    """Answers what the suite, and the files it leaves out, left at a destination."""

    @functools.cache
    def load(name):
        folder = tmp_path_factory.mktemp(f"sdk-{name}")
        place = Loaded(name, folder, {})
        if name == "duckdb":
            place.config = {"filepath": str(folder / "w.duckdb"), "default_target_schema": "landing"}
        elif name in ("postgres", "mysql"):
            place.server = at = request.getfixturevalue("postgres" if name == "postgres" else "mariadb")
            place.config = {"host": at.host, "port": at.port, "user": at.user, "password": at.password}
            place.config |= {"database": "sdk"}
            at.sql("drop database if exists sdk")
            at.sql("create database sdk")
            if name == "postgres":
                place.config["default_target_schema"] = "landing"
        else:
            place.config = {"destination_path": str(folder / "out")}
        place.run_suite(sdk)
        (streams,) = sdk.parents[1].glob("lib/*/site-packages/singer_sdk/testing/target_test_streams")
        place.shipped = sorted(path.stem for path in streams.glob("*.singer"))
        for file in UNUSED:
            place.run_file(streams / f"{file}.singer")
        return place

    return load


@pytest.fixture(params=PLACES)
def place(request, loaded):
    return loaded(request.param)


def test_every_test_of_the_suite_passes(place):
    assert place.outcomes == dict.fromkeys(SUITE, "passed")


def test_no_file_of_the_sdk_is_left_out(place):
    assert place.shipped == sorted({*SUITE, *UNUSED} - {"cli_prints"})


@pytest.mark.parametrize("stream", TABLES)
def test_what_stands_in_the_table(place, stream):
    columns, rows = TABLES[stream]
    if not rows and place.name in ("parquet", "jsonl"):  # what has no rows makes no file
        assert stream not in place.manifest
        return
    types, found = place.table(stream)
    assert list(types) == [name for name, _ in columns]
    kinds = dict(columns)
    if place.name in SQL_TYPES:
        key = {column: "varchar" for at, of, column in KEY_TEXT if (at, of) == (place.name, stream)}
        assert types == {name: key.get(name, SQL_TYPES[place.name][kind]) for name, kind in columns}
    if place.name in ("parquet", "jsonl"):
        rows = APPENDED.get(stream, rows)
    if place.name == "postgres":  # which can't store U+0000
        rows = [tuple(mended(value) for value in row) for row in rows]
    plain = [tuple(seen(value, kind) for value, kind in zip(row, kinds.values(), strict=True)) for row in found]
    assert in_order(plain) == in_order(rows)


def mended(value):
    if isinstance(value, list):
        return [mended(one) for one in value]
    return value.replace("\0", "�") if isinstance(value, str) else value


def seen(value, kind):
    """A value as the source sent it: JSON may come as text, true as 1, a time without its zone."""
    if kind == "json" and isinstance(value, str):
        return json.loads(value)
    if kind == "bool" and value is not None:
        return bool(value)
    if kind == "moment" and isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC)
    return value


def in_order(rows):
    return sorted(rows, key=lambda row: [str(value) for value in row])


ABSENT = (KeyError, duckdb.CatalogException, psycopg.errors.UndefinedTable, pymysql.err.ProgrammingError)


@pytest.mark.parametrize(
    "file",
    ["invalid_schema", "record_before_schema", "record_missing_key_property", "record_missing_required_property"],
)
def test_what_is_refused_leaves_no_table(place, file):
    with pytest.raises(ABSENT, match=f"test_{file}"):
        place.table(f"test_{file}")


def test_the_state_that_comes_out_is_the_last_one(place):
    assert {name: said[:2] for name, said in place.said.items() if name.startswith(("multiple", "user", "no_"))} == {
        "no_primary_keys_append": (0, '{"test_no_pk": 5}\n'),
        "multiple_state_messages": (
            0,
            '{"test_multiple_state_messages_a": 5, "test_multiple_state_messages_b": 6}\n',
        ),
        "user_location_data": (0, '{"test_users": 5, "test_locations": 3, "test_user_in_location": 3}\n'),
        "user_location_upsert_data": (0, '{"test_users": 13, "test_locations": 8, "test_user_in_location": 14}\n'),
    }


def test_a_missing_required_field_is_refused(place):
    code, out, err = place.said["record_missing_required_property"]
    assert (code, out) == (1, "")
    assert "line 2 of the tap's output" in err
    assert "the required field `id` is missing" in err

"""Stream maps beside the program they come from, and a project that maps within this process."""

from __future__ import annotations

import json
import subprocess
import sys

import duckdb
import pytest

from headwater.connect.contract import Rows, Schema
from headwater.connect.singer import parse
from headwater.connect.stages import mapper

PUBLIC = "meltano-map-transform==0.12.3"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "email": {"type": ["null", "string"]},
        "qty": {"type": ["null", "integer"]},
        "price": {"type": ["null", "number"]},
        "ok": {"type": ["null", "boolean"]},
        "created_at": {"type": ["null", "string"], "format": "date-time"},
        "address": {
            "type": ["object", "null"],
            "properties": {"city": {"type": ["null", "string"]}, "zip": {"type": ["null", "string"]}},
        },
        "tags": {"type": ["array", "null"], "items": {"type": "string"}},
    },
}
NAMES = ("id", "name", "email", "qty", "price", "ok", "created_at", "address", "tags")
VALUES = [
    (1, "Ann", "ann@example.com", 3, 1.5, True, "2024-05-01T10:00:00.000000Z", {"city": "Paris", "zip": "75"}, ["a"]),
    (2, " Bob ", "b@test.org", 0, 0.1, False, "2023-01-31T23:59:59.123456Z", {"city": "Lyon", "zip": "69"}, []),
    (3, "Zoë", "z@x", -7, 100.25, True, "2020-02-29T00:00:00.000000Z", {"city": "Köln", "zip": "5"}, ["c", "d"]),
]
MESSAGES = [
    {"type": "SCHEMA", "stream": "users", "schema": SCHEMA, "key_properties": ["id"]},
    {
        "type": "SCHEMA",
        "stream": "other",
        "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
        "key_properties": ["id"],
    },
    *({"type": "RECORD", "stream": "users", "record": dict(zip(NAMES, row, strict=True))} for row in VALUES),
    {"type": "RECORD", "stream": "other", "record": {"id": 9}},
    {"type": "STATE", "value": {"a": 1}},
]
LINES = "".join(json.dumps(message, separators=(",", ":")) + "\n" for message in MESSAGES)
FEW = {"id": "id", "__else__": None}
CASES = {
    "drop a stream": {"users": None},
    "drop a stream by word": {"other": "__NULL__"},
    "drop other streams": {"users": {}, "__else__": None},
    "drop a property": {"users": {"email": None}},
    "keep some": {"users": {"name": "name", **FEW}},
    "rename a property": {"users": {"mail": "email", "email": None}},
    "alias": {"users": {"__alias__": "people"}},
    "alias by expression": {"users": {"__alias__": "__stream_name__ + '_v2'"}},
    "copy": {"copies": {"__source__": "users", **FEW}},
    "filter": {"users": {"__filter__": "qty > 0"}},
    "filter by text": {"users": {"__filter__": "'example' in email"}},
    "filter by list": {"users": {"__filter__": "name in ['Ann', 'Zoë']"}},
    "filter by words": {"users": {"__filter__": "ok and qty > 0 or id == 2"}},
    "wildcard": {"u*": {"stream": "__stream_name__"}},
    "hashes": {"users": {"h": "md5(email)", "s": "sha256(name)"}},
    "types": {"users": {"i": "int(price)", "f": "float(qty)", "s": "str(qty)", "b": "bool(qty)", "p": "qty * 2"}},
    "overwrite": {"users": {"qty": "qty + 1", "name": "name.strip().upper()", "price": "price * 2"}},
    "record": {"users": {"a": "record['name']", "b": "record.get('nope', 'none')", "c": "_['email'].split('@')[1]"}},
    "nested": {"users": {"city": "record['address']['city']", "c2": "address.get('city')"}},
    "config": {"users": {"h": "md5(config['salt'] + name)"}},
    "self": {"users": {"name": "self.lower()"}},
    "conditional": {"users": {"size": "'big' if qty > 1 else 'small'", "t": "'t' if ok else 'f'"}},
    "f-strings": {"users": {"x": "f'{name}-{id}'", "y": "f'{price:.2f}'"}},
    "dates": {"users": {"d": "datetime.date.fromisoformat(created_at[:10])", "y": "int(created_at[:4])"}},
    "instants": {"users": {"d": "datetime.datetime.fromisoformat(created_at[:19])"}},
    "JSON": {"users": {"j": "json.dumps(tags)", "first": "tags[0] if tags else 'none'"}},
    "objects": {"users": {"o": "json.dumps({'id': id, 'tags': tags})"}},
    "keys": {"users": {"__key_properties__": ["email"]}},
    "no keys": {"users": {"__key_properties__": []}},
    "drop an object": {"users": {"address": None}},
    "a name keeps its type": {"users": {"amount": "price", "flag": "ok", "when": "created_at"}},
    "comprehension": {"users": {"t": "', '.join([t.upper() for t in tags])"}},
    "both": {"users": {**FEW, "__filter__": "id != 2", "__alias__": "few"}, "more": {"__source__": "users", **FEW}},
}
CONFIG = {"salt": "pepper"}


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", folder / "venv"], check=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "-p", folder / "venv/bin/python", PUBLIC]
    subprocess.run(install, check=True)

    def run(maps):
        config = folder / "config.json"
        config.write_text(json.dumps({"stream_maps": maps, "stream_map_config": CONFIG}))
        program = [folder / "venv/bin/meltano-map-transform", "--config", config]
        return subprocess.run(program, input=LINES.encode(), capture_output=True, check=True).stdout

    return run


def loaded(messages):
    """What a destination would get: keys, columns and rows of each stream that has any."""
    streams = {}
    for message in messages:
        if isinstance(message, Schema):
            columns = [(field.name, str(field.type)) for field in message.columns]
            streams.setdefault(message.stream, {"rows": []}).update(keys=message.keys, columns=columns)
        elif isinstance(message, Rows):
            streams[message.stream]["rows"] += message.batch.to_pylist()
    # The public mapper announces streams that it drops.
    return {name: stream for name, stream in streams.items() if stream["rows"]}


@pytest.mark.parametrize("name", CASES)
def test_the_public_mapper_gives_the_same(public, name):
    theirs = parse.messages([public(CASES[name])], parse.ParseOptions(), str)
    (stage,) = mapper.stages({"stream_maps": CASES[name], "stream_map_config": CONFIG}, owner="mapper `m`")
    given = parse.messages([LINES.encode()], parse.ParseOptions(), str)
    assert loaded(out for message in given for out in stage(message)) == loaded(theirs)


PROJECT = """\
version: 1
project_id: tidy
plugins:
  extractors:
  - name: tap-lines
    namespace: lines
    executable: ./tap
    capabilities: []
  mappers:
  - name: tidy
    inherit_from: meltano-map-transformer
    variant: headwater
    mappings:
    - name: clean
      config:
        stages:
          users:
          - rename: {id: user_id}
          - filter: qty >= 0
          - compute: {domain: "split_part(email, '@', 2)", year: "year(created_at)"}
          - drop: [tags]
          - rename_stream: people
    - name: broken
      config:
        stages:
          users:
          - filter: quantity > 0
  loaders:
  - name: target-duckdb
    variant: headwater
    config:
      filepath: out.duckdb
      default_target_schema: main
"""


@pytest.fixture
def tidy(project):
    hw = project(PROJECT)
    hw.write("lines", LINES)
    tap = hw.write("tap", '#!/bin/sh\ncat "$(dirname "$0")/lines"\n')
    tap.chmod(0o700)
    return hw


def test_a_native_mapper_in_a_project(tidy):
    tidy.ok("run", "tap-lines", "clean", "target-duckdb")
    with duckdb.connect(str(tidy.root / "out.duckdb")) as connection:
        rows = connection.sql("SELECT user_id, domain, year, address__city FROM people ORDER BY 1").fetchall()
    assert rows == [(1, "example.com", 2024, "Paris"), (2, "test.org", 2023, "Lyon")]


def test_what_is_wrong_with_a_stage_names_its_place(tidy):
    done = tidy("run", "tap-lines", "broken", "target-duckdb")
    assert done.code == 2
    assert "headwater.yml:13" in done.error
    assert "there is no column `quantity`" in done.error

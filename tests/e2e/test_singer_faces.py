"""Native connectors as Singer programs in a shell pipe, away from any project."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess

import pytest

TAP_CONFIG = {"streams": [{"name": "people", "path": "people*.csv", "keys": ["id"]}]}


@pytest.fixture
def shell(hw):
    """Runs a line of shell in which `headwater` is the program; answers stdout."""
    hw.write("people.csv", "id,name\n1,Ada\n2,Zoë\n")
    hw.write("tap.json", json.dumps(TAP_CONFIG))
    hw.write("target.json", json.dumps({"filepath": "out.duckdb", "default_target_schema": "landing"}))

    def run(line, code=0):
        program = shlex.join(hw.argv())
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", f'headwater() {{ {program} "$@"; }}; {line}'],
            cwd=hw.root,
            env=hw.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    run.hw = hw
    return run


def messages(text):
    return [json.loads(line) for line in text.splitlines()]


def test_discover_prints_a_catalog_that_names_keys_and_defaults(shell):
    (stream,) = json.loads(shell("headwater tap files -c tap.json --discover"))["streams"]
    assert (stream["tap_stream_id"], stream["schema"]["properties"]["id"]["type"]) == ("people", ["null", "integer"])
    (root,) = [entry["metadata"] for entry in stream["metadata"] if entry["breadcrumb"] == []]
    assert root["table-key-properties"] == ["id"]


def test_a_tap_writes_schema_before_records_and_a_state_after_them(shell):
    found = messages(shell("headwater tap files -c tap.json"))
    kinds = [message["type"] for message in found]
    assert kinds[0] == "SCHEMA"
    assert kinds[-1] == "STATE"
    schema = found[0]
    assert schema["stream"] == "people"
    assert schema["key_properties"] == ["id"]
    records = [message["record"] for message in found if message["type"] == "RECORD"]
    assert records == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Zoë"}]


def test_a_catalog_chooses_the_columns(shell):
    catalog = json.loads(shell("headwater tap files -c tap.json --discover"))
    for entry in catalog["streams"][0]["metadata"]:
        if entry["breadcrumb"] == ["properties", "name"]:
            entry["metadata"]["selected"] = False
    shell.hw.write("catalog.json", json.dumps(catalog))
    found = messages(shell("headwater tap files -c tap.json --catalog catalog.json"))
    assert [message["record"] for message in found if message["type"] == "RECORD"] == [{"id": 1}, {"id": 2}]


def test_a_state_that_is_given_back_leaves_nothing_to_do(shell):
    state = next(m for m in reversed(messages(shell("headwater tap files -c tap.json"))) if m["type"] == "STATE")
    shell.hw.write("state.json", json.dumps(state["value"]))
    again = messages(shell("headwater tap files -c tap.json --state state.json"))
    assert [message for message in again if message["type"] == "RECORD"] == []


def test_tap_and_target_in_a_shell_pipe_load_and_print_the_state(shell):
    load = "headwater tap files -c tap.json $STATE | headwater target duckdb -c target.json"
    (*_, state) = shell(load).splitlines()
    assert shell.hw.query("select id, name from landing.people order by id", "out.duckdb") == [(1, "Ada"), (2, "Zoë")]
    assert json.loads(state)

    shell.hw.write("state.json", state)
    shell.hw.write("people-2.csv", "id,name\n3,Linus\n")
    shell(load.replace("$STATE", "--state state.json"))
    assert shell.hw.query("select id from landing.people order by id", "out.duckdb") == [(1,), (2,), (3,)]


def test_a_target_prints_a_state_only_when_the_rows_before_it_are_safe(shell):
    shell.hw.write(
        "messages.jsonl",
        '{"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":["id"]}\n'
        '{"type":"RECORD","stream":"s","record":{"id":1}}\n'
        '{"type":"STATE","value":{"n":1}}\n'
        '{"type":"RECORD","stream":"s","record":{"id":"not a number"}}\n',
    )
    out = shell("headwater target duckdb -c target.json < messages.jsonl 2> err.txt", code=1)
    assert (out, shell.hw.query("select id from landing.s", "out.duckdb")) == ('{"n":1}\n', [(1,)])
    assert (shell.hw.root / "err.txt").read_text() == (
        "error: line 4 of the tap's output: a record of stream `s` cannot be loaded [bad-record]\n"
        "  column `id`: it is text, not a number\n"
        "hint: fix it at the source, or load the others: headwater config set TAP _on_bad_record quarantine\n"
    )


def test_a_tap_whose_reader_goes_away_ends_quietly(shell):
    shell.hw.write("people.csv", "id,name\n" + "".join(f"{n},name {n}\n" for n in range(50_000)))
    assert shell("set +o pipefail; headwater tap files -c tap.json 2> err.txt | head -n 1").startswith(
        '{"type":"SCHEMA"'
    )
    assert "Traceback" not in (shell.hw.root / "err.txt").read_text()


def test_about_lists_the_settings(shell):
    for line in ("headwater tap files --about", "headwater target duckdb --about"):
        about = json.loads(shell(line))
        assert {setting["name"] for setting in about["settings"]} & {"path", "filepath"}
    assert "files" in shell("headwater tap --list").split()
    assert {"duckdb", "jsonl", "parquet"} <= set(shell("headwater target --list").split())


def test_a_target_reads_batch_files_from_the_folder_that_its_settings_name(shell):
    root = shell.hw.root / "batches"
    root.mkdir()
    (root / "1.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n'))
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    encoding = {"format": "jsonl", "compression": "gzip"}
    sent = [
        {"type": "SCHEMA", "stream": "people", "key_properties": ["id"], "schema": schema},
        {"type": "BATCH", "stream": "people", "encoding": encoding, "manifest": [(root / "1.jsonl.gz").as_uri()]},
        {"type": "STATE", "value": {"n": 2}},
    ]
    shell.hw.write("sent.singer", "".join(json.dumps(message) + "\n" for message in sent))
    shell("headwater target duckdb -c target.json < sent.singer", code=1)
    config = {"filepath": "out.duckdb", "default_target_schema": "landing"}
    config["batch_config"] = {"encoding": encoding, "storage": {"root": "batches"}}
    shell.hw.write("target.json", json.dumps(config))
    assert messages(shell("headwater target duckdb -c target.json < sent.singer")) == [{"n": 2}]
    assert shell.hw.query("select id from landing.people order by id", "out.duckdb") == [(1,), (2,)]

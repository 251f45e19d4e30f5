"""An Airbyte connector as a source, from lines that real ones wrote (`source-faker`, `source-file`)."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import airbyte
from headwater.connect.sources.airbyte import catalog as catalogs

RECORDED = Path(__file__).parents[4] / "fixtures" / "airbyte"
# Answers with what was recorded, and notes what it was given.
CONNECTOR = """\
#!/bin/sh
command=$1
shift
echo "$command" >> "{noted}/commands.txt"
while [ $# -gt 0 ]; do cp "$2" "{noted}/${{1#--}}.json"; shift 2; done
cat "{answers}/$command.jsonl"
exit $(cat "{answers}/$command.code" 2>/dev/null || echo 0)
"""


class Lab:
    """A connector in an environment of its own, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[str] = []
        for name in ("venv/bin", "answers", "noted", "scratch"):
            (folder / name).mkdir(parents=True)
        (folder / "venv/bin/python").touch()
        program = folder / "venv/bin/source-faker"
        program.write_text(CONNECTOR.format(noted=folder / "noted", answers=folder / "answers"))
        program.chmod(0o755)
        for name in ("spec", "discover", "read"):
            self.answer(name, (RECORDED / f"{name}.jsonl").read_text())

    def answer(self, command: str, text: str, code: int = 0) -> None:
        (self.folder / f"answers/{command}.jsonl").write_text(text)
        (self.folder / f"answers/{command}.code").write_text(str(code))

    def given(self, name: str):
        path = self.folder / f"noted/{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def settings(self, source: str = "airbyte:airbyte-source-faker", **given: object) -> airbyte.Settings:
        venv, env = str(self.folder / "venv"), {"PATH": "/usr/bin:/bin"}
        return airbyte.Settings(
            source=source, root=str(self.folder), venv=venv, given=given, env=env, secrets=("hush-hush",)
        )

    def read(self, catalog, state: bytes | None = None, **more):
        request = ReadRequest(
            catalog=catalog, state=state, folder=self.folder / "scratch", on_line=self.heard.append, **more
        )
        return list(airbyte.read(self.settings(count=3), request))


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def lines(*messages: object) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


def record(stream: str, **data: object) -> dict:
    return {"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1}}


def catalog_of(*streams: dict):
    return catalogs.ours(msgspec.Raw(json.dumps({"streams": streams}).encode()))


def stream(name: str, **more: object) -> dict:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "x": {"type": ["null", "number"]}}}
    return {"name": name, "json_schema": schema, "supported_sync_modes": ["full_refresh"], **more}


def rows_of(messages) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for message in messages:
        if isinstance(message, Rows):
            found.setdefault(message.stream, []).extend(message.batch.to_pylist())
    return found


def test_what_it_discovers_are_streams_with_keys_and_cursors(lab):
    catalog = airbyte.discover(lab.settings(count=3))
    assert [(one.name, one.key_properties, one.replication_key, one.replication_method) for one in catalog.streams] == [
        ("products", ["id"], "updated_at", "INCREMENTAL"),
        ("users", ["id"], "updated_at", "INCREMENTAL"),
        ("purchases", ["id"], "updated_at", "INCREMENTAL"),
    ]
    assert lab.given("config") == {"count": 3}


def test_its_records_come_as_arrow_with_objects_flattened(lab):
    messages = lab.read(airbyte.discover(lab.settings()))
    found = rows_of(messages)
    assert {name: len(rows) for name, rows in found.items()} == {"products": 3, "users": 3, "purchases": 3}
    assert found["products"][0]["make"] == "Mazda"
    assert found["products"][0]["created_at"].isoformat() == "2024-04-08T18:07:20+00:00"
    assert "address__city" in found["users"][0]
    schemas = {message.stream: message for message in messages if isinstance(message, Schema)}
    assert (schemas["users"].keys, schemas["users"].cursor, schemas["users"].replace) == (("id",), "updated_at", False)


def test_its_last_state_is_the_checkpoint_and_told_back_to_it(lab):
    catalog = airbyte.discover(lab.settings())
    last = [one for one in lab.read(catalog) if isinstance(one, Checkpoint)][-1].state
    assert json.loads(last) == {
        "streams": {
            "products": {"seed": 1, "updated_at": "2026-11-21T20:00:43+00:00"},
            "users": {"seed": 1, "updated_at": "2026-11-21T20:00:43+00:00", "loop_offset": 200},
            "purchases": {"seed": 1, "updated_at": "2026-11-21T20:00:43+00:00", "loop_offset": 200},
        }
    }
    assert lab.given("state") is None
    lab.read(catalog, last)
    assert [(one["type"], one["stream"]["stream_descriptor"]["name"]) for one in lab.given("state")] == [
        ("STREAM", "products"),
        ("STREAM", "users"),
        ("STREAM", "purchases"),
    ]


def test_logs_are_lines_for_people_and_traces_are_not(lab):
    lab.read(airbyte.discover(lab.settings()))
    assert lab.heard[:2] == ["Starting syncing SourceFaker", "Marking stream products as STARTED"]
    assert not any("TRACE" in line or "ESTIMATE" in line for line in lab.heard)


def test_only_what_is_selected_is_asked_for(lab):
    catalog = airbyte.discover(lab.settings())
    for one in catalog.streams:
        one.metadata[0].metadata["selected"] = one.name == "products"
    lab.answer("read", lines(record("products", id=1, make="x")))
    assert list(rows_of(lab.read(catalog))) == ["products"]
    (asked,) = lab.given("catalog")["streams"]
    assert (asked["stream"]["name"], asked["sync_mode"], asked["primary_key"]) == ("products", "incremental", [["id"]])
    assert asked["stream"]["json_schema"]["properties"]["make"] == {"type": "string"}


def test_a_stream_that_knows_no_cursor_is_replaced_and_keeps_no_state(lab):
    state = {"type": "STATE", "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "a"}}}}
    state["state"]["stream"]["stream_state"] = {"done": True}
    lab.answer("read", lines(record("a", id=1), state))
    messages = lab.read(catalog_of(stream("a", source_defined_primary_key=[["id"]])))
    assert [one.replace for one in messages if isinstance(one, Schema)] == [True]
    assert [one.state for one in messages if isinstance(one, Checkpoint)] == [b"{}"]
    assert lab.given("catalog")["streams"][0]["sync_mode"] == "full_refresh"


def test_a_replaced_stream_without_rows_is_still_there(lab):
    lab.answer("read", "")
    assert [type(one).__name__ for one in lab.read(catalog_of(stream("a")))] == ["Schema", "Checkpoint"]


def test_a_shared_state_comes_back_whole(lab):
    incremental = stream("a", supported_sync_modes=["incremental"], source_defined_cursor=True, namespace="shop")
    said = {"type": "GLOBAL", "global": {"shared_state": {"lsn": 5}, "stream_states": []}}
    said["global"]["stream_states"] = [{"stream_descriptor": {"name": "a"}, "stream_state": {"at": 1}}]
    lab.answer("read", lines({"type": "STATE", "state": said}))
    last = lab.read(catalog_of(incremental))[-1]
    assert json.loads(last.state) == {"streams": {"a": {"at": 1}}, "shared": {"lsn": 5}}
    lab.read(catalog_of(incremental), last.state)
    said["global"]["stream_states"][0]["stream_descriptor"]["namespace"] = "shop"
    assert lab.given("state") == [said]


def test_a_state_of_the_first_protocol_is_one_object(lab):
    incremental = stream("a", supported_sync_modes=["incremental"], source_defined_cursor=True)
    lab.answer("read", lines({"type": "STATE", "state": {"data": {"a": {"at": 1}}}}))
    last = lab.read(catalog_of(incremental))[-1]
    assert json.loads(last.state) == {"legacy": {"a": {"at": 1}}}
    lab.read(catalog_of(incremental), last.state)
    assert lab.given("state") == {"a": {"at": 1}}


def test_a_connector_that_learned_of_streams_is_not_told_its_old_state_for_ever(lab):
    incremental = stream("a", supported_sync_modes=["incremental"], source_defined_cursor=True)
    newer = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "a"}, "stream_state": {"at": 2}}}
    lab.answer("read", lines({"type": "STATE", "state": newer}))
    last = lab.read(catalog_of(incremental), b'{"legacy": {"a": {"at": 1}}}')[-1]
    assert lab.given("state") == {"a": {"at": 1}}
    lab.read(catalog_of(incremental), last.state)
    assert lab.given("state") == [newer]


def test_half_a_key_is_none():
    nested = stream("a", source_defined_primary_key=[["id"], ["owner", "id"]])
    assert catalog_of(nested).streams[0].key_properties == []


def test_a_number_that_json_does_not_know_is_read(lab):
    lab.answer("read", '{"type": "RECORD", "record": {"stream": "a", "data": {"id": 1, "x": NaN}}}\n')
    messages = lab.read(catalog_of(stream("a")))
    assert math.isnan(rows_of(messages)["a"][0]["x"])


def test_text_among_the_messages_is_a_line_for_people(lab):
    lab.answer("read", "Downloading something\n" + lines(record("a", id=1)))
    assert rows_of(lab.read(catalog_of(stream("a")))) == {"a": [{"id": 1, "x": None}]}
    assert lab.heard == ["Downloading something"]


def test_a_cut_message_is_no_line_for_people(lab):
    lab.answer("read", lines(record("a", id=1)) + '{"type": "RECORD", "rec\n')
    with pytest.raises(RunFailedError, match="line 3 of the tap's output is not JSON"):
        lab.read(catalog_of(stream("a")))


def test_what_came_before_a_failure_is_delivered_with_its_checkpoint(lab):
    failure = {"message": "The token is wrong.", "failure_type": "config_error", "stream_descriptor": {"name": "users"}}
    said = lines({"type": "TRACE", "trace": {"type": "ERROR", "error": failure}})
    lab.answer("read", (RECORDED / "read.jsonl").read_text() + said, code=1)
    request = ReadRequest(catalog=airbyte.discover(lab.settings()), state=None, folder=lab.folder / "scratch")
    messages = []
    with pytest.raises(RunFailedError) as caught:
        messages.extend(airbyte.read(lab.settings(), request))
    assert sum(len(rows) for rows in rows_of(messages).values()) == 9
    assert isinstance(messages[-1], Checkpoint)
    assert caught.value.what == "`source-faker` failed in stream `users`: The token is wrong"
    assert caught.value.hint == "correct its settings: headwater config list EXTRACTOR"


def test_where_it_says_nothing_to_people_its_words_for_authors_are_told(lab):
    lab.answer("discover", (RECORDED / "failed.jsonl").read_text(), code=1)
    with pytest.raises(RunFailedError) as caught:
        airbyte.discover(lab.settings())
    assert caught.value.what == "`source-faker` failed: [Errno 2] No such file or directory: '/tmp/nonesuch.csv'"


def test_a_program_that_just_ends_is_told_with_its_last_lines(lab):
    lab.answer("discover", "no module hush-hush\n", code=3)
    with pytest.raises(RunFailedError) as caught:
        airbyte.discover(lab.settings())
    assert (caught.value.what, caught.value.why) == (
        "`source-faker discover` ended with exit code 3",
        "no module (redacted)",
    )


def test_an_end_without_an_answer_is_an_error(lab):
    lab.answer("discover", "")
    with pytest.raises(RunFailedError, match="ended without an answer"):
        airbyte.discover(lab.settings())


def test_a_package_without_the_program_is_no_connector(lab):
    with pytest.raises(InputError, match="the package `httpx` brings no program `httpx`"):
        airbyte.discover(lab.settings("airbyte:httpx"))
    with pytest.raises(EnvironmentProblemError, match="is not installed"):
        airbyte.discover(msgspec.structs.replace(lab.settings(), venv=None))


def test_it_ends_when_told_to(lab):
    lab.answer("read", lines(*(record("a", id=number) for number in range(10))))
    assert rows_of(lab.read(catalog_of(stream("a")), should_stop=lambda: True)) == {}


def test_a_catalog_with_two_streams_of_one_name_is_refused():
    with pytest.raises(RunFailedError, match="two streams `a`, in different namespaces"):
        catalog_of(stream("a"), stream("a", namespace="b"))


KILLED = """
import os, signal, sys
from pathlib import Path
from headwater.connect.contract import ReadRequest
from headwater.connect.sources import airbyte
folder = Path(sys.argv[1])
settings = airbyte.Settings(
    source="airbyte:airbyte-source-faker", root=sys.argv[1], venv=f"{folder}/venv", env={"PATH": "/usr/bin:/bin"}
)
die = lambda _text: os.kill(os.getpid(), signal.SIGKILL)
list(airbyte.read(settings, ReadRequest(catalog=airbyte.discover(settings), state=None, folder=folder, on_line=die)))
"""


def test_of_a_run_that_is_killed_no_settings_are_left(lab):
    program = lab.folder / "venv/bin/source-faker"
    program.write_text(program.read_text().replace("shift\n", 'shift; test "$command" = read && echo here >&2\n', 1))
    place = lab.folder / "tmp"
    place.mkdir()
    env = {**os.environ, "TMPDIR": str(place)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(lab.folder)], check=False, env=env)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(1200):  # its guard wipes them as soon as it is gone
        if not list(place.iterdir()):
            break
        time.sleep(0.05)
    assert list(place.iterdir()) == []

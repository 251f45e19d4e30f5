"""Native connectors under a foreign runner: what goes in, what comes out, and when."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.connect.contract import (
    ActivateVersion,
    OpenRequest,
    Receipt,
    Rejected,
    Rows,
    Schema,
)
from headwater.connect.destinations import jsonl
from headwater.connect.singer.faces import Flush, serve_tap, serve_target
from headwater.connect.sources import files


@pytest.fixture
def settings(tmp_path: Path) -> files.Settings:
    (tmp_path / "a.csv").write_text("id,v\n1,x\n2,\n")
    return files.Settings(path="*.csv", root=str(tmp_path))


def tap(settings: files.Settings, **asked: Any) -> list[dict[str, Any]]:
    out = io.BytesIO()
    given = {"discover": False, "catalog": None, "state": None, "folder": Path("/nonexistent")} | asked
    serve_tap(files, settings, out=out, **given)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def catalog_of(settings: files.Settings) -> dict[str, Any]:
    out = io.BytesIO()
    serve_tap(files, settings, discover=True, catalog=None, state=None, out=out, folder=Path("/nonexistent"))
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["type"] for line in lines]


def test_a_tap_discovers(settings: files.Settings) -> None:
    [stream] = catalog_of(settings)["streams"]
    assert stream["schema"] == {
        "type": "object",
        "properties": {"id": {"type": ["null", "integer"]}, "v": {"type": ["null", "string"]}},
    }
    assert stream["metadata"][0] == {
        "breadcrumb": [],
        "metadata": {"inclusion": "available", "selected-by-default": True, "table-key-properties": []},
    }


def test_without_a_catalog_everything_is_synced(settings: files.Settings) -> None:
    lines = tap(settings)
    assert kinds(lines)[:3] == ["SCHEMA", "RECORD", "RECORD"]
    assert [line["record"] for line in lines if line["type"] == "RECORD"] == [{"id": 1, "v": "x"}, {"id": 2, "v": None}]
    assert kinds(lines)[-1] == "STATE"


def test_with_a_catalog_only_what_is_selected(settings: files.Settings) -> None:
    catalog = catalog_of(settings)
    catalog["streams"][0]["metadata"][2]["metadata"]["selected"] = False
    assert [line["record"] for line in tap(settings, catalog=catalog) if line["type"] == "RECORD"] == [
        {"id": 1},
        {"id": 2},
    ]


@pytest.mark.parametrize("empty", [b"", b"{}", b"null\n"])
def test_an_empty_state_is_none(settings: files.Settings, empty: bytes) -> None:
    assert kinds(tap(settings, state=empty)).count("RECORD") == 2


def test_the_state_a_tap_wrote_is_the_one_it_goes_on_from(settings: files.Settings) -> None:
    state = json.dumps(tap(settings)[-1]["value"]).encode()
    assert kinds(tap(settings, state=state)).count("RECORD") == 0


def test_a_replaced_stream_is_a_new_table_version(settings: files.Settings, tmp_path: Path) -> None:
    first = tap(settings)
    (tmp_path / "a.csv").write_text("id,v\n7,new\n")
    lines = tap(settings, state=json.dumps(first[-1]["value"]).encode())
    record = next(line for line in lines if line["type"] == "RECORD")
    assert kinds(lines)[-2:] == ["ACTIVATE_VERSION", "STATE"]
    assert lines[-2] == {"type": "ACTIVATE_VERSION", "stream": "a", "version": record["version"]}
    assert record["version"] >= first[1]["version"]


def test_a_tap_that_was_stopped_activates_nothing(settings: files.Settings, tmp_path: Path) -> None:
    first = tap(settings)
    (tmp_path / "a.csv").write_text("id,v\n7,new\n")
    asked = iter([False, True, True])
    state = json.dumps(first[-1]["value"]).encode()
    lines = tap(settings, state=state, should_stop=lambda: next(asked))
    assert "ACTIVATE_VERSION" not in kinds(lines)
    assert lines[-1]["value"] == first[-1]["value"]


def test_a_catalog_that_is_none_is_refused(settings: files.Settings) -> None:
    with pytest.raises(HeadwaterError, match="not a Singer catalog"):
        tap(settings, catalog={"streams": 5})


def test_a_target_that_is_gone_is_named(settings: files.Settings) -> None:
    class Closed(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise BrokenPipeError

    with pytest.raises(RunFailedError) as caught:
        serve_tap(files, settings, discover=False, catalog=None, state=None, out=Closed(), folder=Path("/nonexistent"))
    assert caught.value.reference == "target-gone"


class Diary:
    """A destination that writes down what is asked of it, and what stood on the output at each commit."""

    Settings = type(None)

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.out = io.BytesIO()

    def open(self, _settings: Any, _request: OpenRequest) -> Diary:
        self.entries.append("open")
        return self

    def checkpoint(self) -> bytes | None:
        return None

    def prepare(self, schema: Schema) -> None:
        self.entries.append(f"prepare {schema.stream}")

    def stage(self, rows: Rows) -> None:
        self.entries.append(f"stage {rows.batch.num_rows}")

    def reject(self, _rejected: Rejected) -> None:
        self.entries.append("reject")

    def activate(self, version: ActivateVersion) -> None:
        self.entries.append(f"activate {version.version}")

    def staged_bytes(self) -> int:
        return 100

    def boundary(self) -> None:
        self.entries.append("boundary")

    def commit(self, checkpoint: bytes | None, *, final: bool = False, to_boundary: bool = False) -> Receipt:
        words = " final" * final + " to boundary" * to_boundary
        printed = len(self.out.getvalue().splitlines())
        self.entries.append(f"commit {checkpoint.decode() if checkpoint else None}{words}, {printed} printed")
        return Receipt(sequence=1, streams={})

    def close(self) -> None:
        self.entries.append("close")


SCHEMA = b'{"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":[]}\n'
RECORD = b'{"type":"RECORD","stream":"s","record":{"id":1}}\n'


def target(lines: list[bytes], **asked: Any) -> Diary:
    """Each of `lines` arrives on its own."""
    diary = Diary()
    arriving = iter([*lines, b""])
    request = OpenRequest(pipeline=None, run_id="1", source="s", folder=Path("/nonexistent"))
    try:
        serve_target(diary, None, read=lambda _size: next(arriving), out=diary.out, request=request, **asked)
    except HeadwaterError as error:
        diary.entries.append(error.reference)
    return diary


def test_no_input_opens_and_prints_nothing() -> None:
    diary = target([])
    assert (diary.entries, diary.out.getvalue()) == ([], b"")


def test_a_state_is_printed_after_the_commit_that_covers_it_byte_for_byte() -> None:
    diary = target([SCHEMA + RECORD + b'{"type":"STATE","value":{"n": 1.0,  "big":100000000000000000000}}\n'])
    state = '{"n": 1.0,  "big":100000000000000000000}'
    assert diary.entries[-2:] == [f"commit {state} final, 0 printed", "close"]
    assert diary.out.getvalue().decode() == state + "\n"


def test_a_full_batch_is_committed_at_the_next_state() -> None:
    states = [b'{"type":"STATE","value":%d}\n' % n for n in (1, 2)]
    diary = target([SCHEMA, RECORD + states[0], RECORD + states[1]], flush=Flush(size=50))
    assert [entry for entry in diary.entries if entry.startswith("commit")] == [
        "commit 1, 0 printed",
        "commit 2, 1 printed",
        "commit None final, 2 printed",
    ]
    assert diary.out.getvalue() == b"1\n2\n"


def test_an_old_batch_is_committed_at_the_next_state() -> None:
    diary = target([SCHEMA + RECORD + b'{"type":"STATE","value":1}\n'], flush=Flush(seconds=0))
    assert "commit 1, 0 printed" in diary.entries


def test_rows_behind_the_last_state_are_committed_without_a_new_state() -> None:
    diary = target([SCHEMA + RECORD])
    assert diary.entries == ["open", "prepare s", "stage 1", "commit None final, 0 printed", "close"]
    assert diary.out.getvalue() == b""


def test_broken_input_keeps_what_the_last_state_covers() -> None:
    diary = target([SCHEMA + RECORD + b'{"type":"STATE","value":1}\n', RECORD, b"{broken\n"])
    assert "commit 1 to boundary, 0 printed" in diary.entries
    assert not [entry for entry in diary.entries if "final" in entry]
    assert diary.entries[-2] == "close"
    assert diary.out.getvalue() == b"1\n"


def test_a_tap_and_a_target_of_ours_speak_singer_to_each_other(settings: files.Settings, tmp_path: Path) -> None:
    piped, printed = io.BytesIO(), io.BytesIO()
    serve_tap(files, settings, discover=False, catalog=None, state=None, out=piped, folder=tmp_path)
    request = OpenRequest(pipeline="p", run_id="r", source="main", folder=tmp_path / "scratch")
    request.folder.mkdir()
    piped.seek(0)
    serve_target(
        jsonl, jsonl.Settings(destination_path=str(tmp_path / "out")), read=piped, out=printed, request=request
    )
    [written] = [path for path in (tmp_path / "out").rglob("*.jsonl") if path.is_file()]
    assert [json.loads(line)["id"] for line in written.read_bytes().splitlines()] == [1, 2]
    assert json.loads(printed.getvalue().splitlines()[-1])["files"]["a"]["a.csv"]["size"] == 12

"""Which files are read when: new, changed, vanished, half read."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.base.errors import HeadwaterError, InputError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import files
from headwater.connect.sources.definitions import DEFINITIONS
from headwater.connect.sources.files.settings import Settings, StreamSettings
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.catalog import Catalog


class Run:
    """One read: its rows by stream, the schemas, and the state it ends with."""

    def __init__(self, settings: Settings, state: bytes | None = None, catalog: Catalog | None = None) -> None:
        request = ReadRequest(catalog=catalog or files.discover(settings), state=state, folder=Path("/nonexistent"))
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.schemas: dict[str, Schema] = {}
        self.states: list[bytes] = []
        self.missing: list[Any] = []
        for message in files.read(settings, request):
            if isinstance(message, Rows):
                self.rows.setdefault(message.stream, []).extend(message.batch.to_pylist())
                self.missing.append(message.missing and message.missing.to_pylist())
            elif isinstance(message, Schema):
                self.schemas[message.stream] = message
            elif isinstance(message, Checkpoint):
                self.states.append(message.state)
        self.state = self.states[-1]

    def types(self, stream: str) -> dict[str, str]:
        return {column.name: str(column.type) for column in self.schemas[stream].columns}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("id,v\n1,x\n2,y\n")
    return tmp_path


def with_keys(root: Path) -> Settings:
    return Settings(streams=[StreamSettings(name="s", path="*.csv", keys=["id"])], root=str(root))


def without_keys(root: Path) -> Settings:
    return Settings(streams=[StreamSettings(name="s", path="*.csv")], root=str(root))


def test_the_file_name_is_the_stream_name(root: Path) -> None:
    with zipfile.ZipFile(root / "flights.csv.zip", "w") as archive:
        archive.writestr("whatever.csv", "a\n1\n")
    assert [s.name for s in files.discover(Settings(path="*", root=str(root))).streams] == ["a", "flights"]


def test_each_member_of_a_zip_file_is_a_stream_unless_a_pattern_says_otherwise(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("in/x.csv", "a\n1\n")
        archive.writestr("in/y.csv", "a\n2\n")
        archive.writestr("__MACOSX/in/._x.csv", "junk")
    assert Run(Settings(path="*.zip", root=str(tmp_path))).rows == {"x": [{"a": 1}], "y": [{"a": 2}]}
    assert Run(Settings(path="*.zip", member="in/y*", root=str(tmp_path))).rows == {"all": [{"a": 2}]}


def test_package_paths_point_into_the_plugins_environment(tmp_path: Path) -> None:
    data = tmp_path / "venv/lib/python3.11/site-packages/nyc/data"
    data.mkdir(parents=True)
    (data / "a.csv").write_text("id\n1\n")
    run = Run(Settings(path="package://nyc/data/*.csv*", venv=str(tmp_path / "venv")))
    assert run.rows == {"a": [{"id": 1}]}
    assert list(json.loads(run.state)["files"]["a"]) == ["package://nyc/data/a.csv"]


def test_a_new_file_is_added_and_the_others_are_not_read_again(root: Path) -> None:
    first = Run(without_keys(root))
    (root / "b.csv").write_text("id,v\n3,z\n")
    second = Run(without_keys(root), first.state)
    assert second.rows == {"s": [{"id": 3, "v": "z"}]}
    assert not second.schemas["s"].replace


def test_a_touched_file_with_the_same_content_is_not_read_again(root: Path) -> None:
    first = Run(without_keys(root))
    os.utime(root / "a.csv", (1, 1))
    second = Run(without_keys(root), first.state)
    assert second.rows == {}
    assert json.loads(second.state)["files"]["s"]["a.csv"]["mtime_ns"] == 1_000_000_000


def test_a_changed_file_is_upserted_when_there_are_keys(root: Path) -> None:
    (root / "b.csv").write_text("id,v\n9,z\n")
    first = Run(with_keys(root))
    (root / "a.csv").write_text("id,v\n1,changed\n2,y\n")
    second = Run(with_keys(root), first.state)
    assert second.rows == {"s": [{"id": 1, "v": "changed"}, {"id": 2, "v": "y"}]}
    assert second.schemas["s"].keys == ("id",)
    assert not second.schemas["s"].replace


def test_a_changed_file_replaces_the_stream_when_there_are_no_keys(root: Path) -> None:
    (root / "b.csv").write_text("id,v\n9,z\n")
    first = Run(without_keys(root))
    (root / "a.csv").write_text("id,v\n1,changed\n")
    second = Run(without_keys(root), first.state)
    assert second.rows == {"s": [{"id": 1, "v": "changed"}, {"id": 9, "v": "z"}]}
    assert second.schemas["s"].replace


def test_a_replaced_stream_is_noted_by_the_last_checkpoint_only(root: Path) -> None:
    first = Run(without_keys(root))
    (root / "a.csv").write_text("id,v\n1,changed\n")
    second = Run(without_keys(root), first.state)
    assert len(second.states) > 1
    assert set(second.states[:-1]) == {first.state}
    assert Run(without_keys(root), second.states[-1]).rows == {}


def test_a_vanished_file_is_noted_and_comes_back_as_the_one_it_was(root: Path) -> None:
    first = Run(without_keys(root))
    (root / "a.csv").rename(root / "a.away")
    (root / "b.csv").write_text("id,v\n9,z\n")
    second = Run(without_keys(root), first.state)
    assert second.rows == {"s": [{"id": 9, "v": "z"}]}
    assert json.loads(second.state)["files"]["s"]["a.csv"]["vanished"] is True
    (root / "a.away").rename(root / "a.csv")
    assert Run(without_keys(root), second.state).rows == {}


def test_types_only_get_wider_from_run_to_run(root: Path) -> None:
    first = Run(without_keys(root))
    assert first.types("s") == {"id": "int64", "v": "string"}
    (root / "b.csv").write_text("id,v\n1.5,7\n")
    second = Run(without_keys(root), first.state)
    assert second.types("s") == {"id": "double", "v": "string"}
    (root / "c.csv").write_text("id,v\n3,7\n")
    third = Run(without_keys(root), second.state)
    assert third.types("s") == {"id": "double", "v": "string"}
    assert third.rows == {"s": [{"id": 3.0, "v": "7"}]}


def test_a_big_integer_is_not_squeezed_into_a_float_column_of_an_earlier_run(root: Path) -> None:
    (root / "a.csv").write_text("v\n1.5\n")
    first = Run(without_keys(root))
    (root / "b.csv").write_text("v\n9007199254740993\n")
    second = Run(without_keys(root), first.state)
    assert second.types("s") == {"v": "decimal128(17, 1)"}
    assert str(second.rows["s"][0]["v"]) == "9007199254740993.0"


def test_a_column_that_was_empty_stays_text(root: Path) -> None:
    (root / "a.csv").write_text("id,v\n1,\n")
    first = Run(without_keys(root))
    (root / "b.csv").write_text("id,v\n2,5\n")
    assert Run(without_keys(root), first.state).types("s") == {"id": "int64", "v": "string"}


def test_a_column_that_a_file_lacks_is_null_and_missing_where_there_are_keys(root: Path) -> None:
    (root / "b.csv").write_text("id\n3\n")
    run = Run(with_keys(root))
    assert run.rows["s"][-1] == {"id": 3, "v": None}
    assert run.missing == [[None, None, ["v"]]]
    assert Run(without_keys(root)).missing == [None]


def test_the_catalog_can_make_a_column_text(root: Path) -> None:
    catalog = files.discover(without_keys(root))
    catalog.streams[0].schema["properties"]["id"] = {"type": ["null", "string"]}
    assert Run(without_keys(root), catalog=catalog).rows["s"][0] == {"id": "1", "v": "x"}


def test_the_keys_of_the_catalog_outrank_the_settings(root: Path) -> None:
    catalog = files.discover(with_keys(root))
    catalog.streams[0].metadata[0].metadata["table-key-properties"] = ["v"]
    assert Run(with_keys(root), catalog=catalog).schemas["s"].keys == ("v",)


@pytest.mark.parametrize(
    ("settings", "what", "hint"),
    [
        (
            {},
            "the files source has no `path`, `paths` or `streams`",
            "headwater config set tap-files path 'data/*.csv'",
        ),
        ({"path": "nope/*.csv"}, "no file matches `nope/*.csv`", "ls nope/*.csv"),
        (
            {"path": "*.csv", "keys": {"b": ["id"]}},
            "`keys` names the stream `b`, which does not exist",
            "the streams are `a`",
        ),
        ({"path": "*.csv", "keys": {"a": ["idd"]}}, "the key `idd` is not a column of `a`", "did you mean `id`?"),
        ({"path": "*.csv", "format": "cvs"}, "`cvs` is not a file format", "did you mean `csv`?"),
        ({"path": "*.csv", "delimiter": "||"}, "`delimiter` is `||`; it must be one ASCII character", None),
        (
            {"path": "*.csv", "encoding": "utf-9"},
            "`utf-9` is not a text encoding",
            "try `utf-8`, `latin-1` or `cp1252`",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(root: Path, settings: dict[str, Any], what: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        files.discover(Settings(root=str(root), **settings))
    assert (caught.value.what, caught.value.hint) == (what, hint)


def test_a_package_path_without_an_environment_asks_for_an_install() -> None:
    with pytest.raises(HeadwaterError) as caught:
        files.discover(Settings(path="package://nyc/data/*.csv"))
    assert caught.value.hint == "headwater install"


def test_an_optional_pattern_may_match_nothing(root: Path) -> None:
    assert files.discover(Settings(path="nope/*.csv", optional=True, root=str(root))) == Catalog()


def test_a_state_of_something_else_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match="not one of the files source"):
        Run(without_keys(root), b'{"files": 5}')


def test_the_definition_lists_the_settings_with_their_defaults() -> None:
    # Stream maps are the run's to do: it makes a stage of them.
    own = [setting for setting in DEFINITIONS[0].settings if setting not in STREAM_MAPS]
    said = {setting.name: setting.value for setting in own}
    kept = {
        f.name: None if f.default in (msgspec.NODEFAULT, "") else f.default for f in msgspec.structs.fields(Settings)
    }
    assert said == kept


def test_a_stream_takes_every_setting_of_how_a_file_is_written() -> None:
    said = next(s.description for s in DEFINITIONS[0].settings if s.name == "streams") or ""
    assert all(f"`{name}`" in said for name in StreamSettings.__struct_fields__)


def test_a_renamed_file_is_not_read_again(root: Path) -> None:
    first = Run(without_keys(root))
    (root / "a.csv").rename(root / "renamed.csv")
    second = Run(without_keys(root), first.state)
    assert second.rows == {}
    assert list(json.loads(second.state)["files"]["s"]) == ["renamed.csv"]


def test_hashes_of_states_of_before_still_count(root: Path) -> None:
    state = json.loads(Run(without_keys(root)).state)
    ((name, entry),) = state["files"]["s"].items()
    assert entry["hash"] == f"sha256:{hashlib.sha256((root / name).read_bytes()).hexdigest()}"
    entry["hash"] = hashlib.blake2b((root / name).read_bytes(), digest_size=16).hexdigest()
    (root / "a.csv").rename(root / "renamed.csv")
    renamed = Run(without_keys(root), json.dumps(state).encode())
    assert renamed.rows == {}
    os.utime(root / "renamed.csv", ns=(1, 1))
    assert Run(without_keys(root), renamed.state).rows == {}


def test_a_file_with_another_delimiter_is_refused_unless_one_was_chosen(root: Path) -> None:
    (root / "a.csv").write_text("id;v\n1;x\n")
    with pytest.raises(InputError) as caught:
        files.discover(without_keys(root))
    assert caught.value.what == "`a.csv` has one column, `id;v`: its delimiter seems to be `;`"
    chosen = Settings(streams=[StreamSettings(name="s", path="*.csv", delimiter=",")], root=str(root))
    assert Run(chosen).rows == {"s": [{"id;v": "1;x"}]}


def test_the_signature_changes_with_files_and_settings_and_with_nothing_else(root: Path) -> None:
    first = files.signature(without_keys(root))
    assert files.signature(without_keys(root)) == first
    assert files.signature(with_keys(root)) != first
    (root / "a.csv").write_text("id,v\n1,x\n2,y\n3,z\n")
    assert files.signature(without_keys(root)) != first


def test_another_file_with_the_content_of_one_that_is_gone_is_new(root: Path) -> None:
    first = Run(without_keys(root))
    content = (root / "a.csv").read_bytes()
    (root / "a.csv").unlink()
    (root / "b.csv").write_bytes(content)
    os.utime(root / "b.csv", ns=(0, 1_700_000_000_000_000_000))
    assert len(Run(without_keys(root), first.state).rows["s"]) == 2


def test_a_state_of_another_source_is_refused(root: Path) -> None:
    with pytest.raises(InputError) as caught:
        Run(without_keys(root), b'{"bookmarks":{"x":1}}')
    assert caught.value.reference == "unreadable-state"


def test_a_discovery_looks_at_the_beginning_and_a_read_at_everything(root, monkeypatch):
    monkeypatch.setattr(files.delivery, "SAMPLE", 1000)
    monkeypatch.setattr(files, "_LEAST_SAMPLE", 1000)
    rows = [f"{n},,{n}" for n in range(1000)] + ["1000,7,n/a"]
    (root / "long.csv").write_text("id,late,code\n" + "\n".join(rows) + "\n")
    settings = Settings(path="long.csv", root=str(root))
    (stream,) = files.discover(settings).streams
    assert {name: column["type"] for name, column in stream.schema["properties"].items()} == {
        "id": ["null", "integer"],
        "late": ["null", "string"],  # no value was seen yet
        "code": ["null", "integer"],
    }
    request = ReadRequest(catalog=files.discover(settings), state=None, folder=root)
    schema = next(message for message in files.read(settings, request) if isinstance(message, Schema))
    assert [str(field.type) for field in schema.columns] == ["int64", "int64", "string"]


def eight_streams(root: Path) -> Settings:
    for name in "abcdefgh":
        lines = [f"{n},{name}{n}" for n in range(200)]
        (root / f"{name}.csv").write_text("\n".join(["id,v", *lines, ""]))
    return Settings(path="*.csv", root=str(root))


def request(settings: Settings, state: bytes | None = None) -> ReadRequest:
    catalog = files.discover(settings)
    return ReadRequest(catalog=catalog, state=state, folder=Path("/nonexistent"), jobs=3, batch_bytes=400)


def ids(message: Rows) -> list[tuple[str, int]]:
    return [(message.stream, row["id"]) for row in message.batch.to_pylist()]


def test_several_streams_come_at_a_time_and_each_is_complete(root: Path) -> None:
    settings = eight_streams(root)
    messages = list(files.read(settings, request(settings)))
    found = [one for message in messages if isinstance(message, Rows) for one in ids(message)]
    assert sorted(found) == [(name, n) for name in "abcdefgh" for n in range(200)]
    assert [n for name, n in found if name == "d"] == list(range(200))
    assert isinstance(messages[-1], Checkpoint)
    assert Run(settings, messages[-1].state).rows == {}


def test_a_checkpoint_covers_what_came_before_it_and_not_what_was_read_ahead(root: Path) -> None:
    settings = eight_streams(root)
    came: set[tuple[str, int]] = set()
    states: list[tuple[bytes, set[tuple[str, int]]]] = []
    for message in files.read(settings, request(settings)):
        if isinstance(message, Rows):
            came.update(ids(message))
        elif isinstance(message, Checkpoint):
            states.append((message.state, set(came)))
    for state, covered in states[:: len(states) // 7]:
        rest = {(name, row["id"]) for name, rows in Run(settings, state).rows.items() for row in rows}
        assert not rest & covered
        assert len(rest) + len(covered) == 1600


def test_a_broken_file_ends_the_streams_beside_it(root: Path) -> None:
    settings = eight_streams(root)
    asked = request(settings)
    (root / "c.csv").write_text("id,v\n1,x\n2\n")
    with pytest.raises(HeadwaterError, match=r"c\.csv"):
        list(files.read(settings, asked))
    assert [thread for thread in threading.enumerate() if thread.name == "ahead"] == []

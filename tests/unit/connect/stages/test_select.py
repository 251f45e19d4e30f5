from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from headwater.connect.contract import ActivateVersion, Checkpoint, Rejected, Rows, Schema
from headwater.connect.stages.select import Select, taken
from headwater.model.catalog import Catalog, CatalogStream, Metadata

PROPERTIES: dict[str, Any] = {
    "id": {"type": "integer"},
    "name": {"type": "string"},
    "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}},
}


def stream(marks: dict[str, dict[str, Any]], *, name: str = "s", keys: list[str] | None = None) -> CatalogStream:
    """`marks` are metadata by dotted property, `""` is the stream's own."""
    entries = [
        Metadata(
            breadcrumb=[word for part in path.split(".") for word in ("properties", part)] if path else [],
            metadata=mark,
        )
        for path, mark in marks.items()
    ]
    return CatalogStream(tap_stream_id=name, schema={"properties": PROPERTIES}, metadata=entries, key_properties=keys)


ALL = ["id", "name", "address", "address__street", "address__city"]


@pytest.mark.parametrize(
    ("marks", "columns"),
    [
        ({"": {"selected": True}}, ALL),
        ({"": {"selected-by-default": True}}, ALL),
        ({"": {"selected": True}, "name": {"selected": False}}, ["id", "address", "address__street", "address__city"]),
        (
            {"": {"selected": True}, "name": {"selected-by-default": False}},
            ["id", "address", "address__street", "address__city"],
        ),
        (
            {"": {"selected": True}, "name": {"inclusion": "unsupported", "selected": True}},
            ["id", "address", "address__street", "address__city"],
        ),
        ({"": {"selected": True}, "name": {"inclusion": "automatic", "selected": False}}, ALL),
        ({"": {"selected": True}, "address": {"selected": False}}, ["id", "name"]),
        ({"": {"selected": True}, "address.city": {"selected": False}}, ["id", "name", "address", "address__street"]),
    ],
)
def test_columns_follow_their_metadata(marks: dict[str, dict[str, Any]], columns: list[str]) -> None:
    selection = taken(stream(marks))
    assert selection is not None
    assert selection.columns == frozenset(columns)


@pytest.mark.parametrize("marks", [{}, {"": {"selected": False, "selected-by-default": True}}, {"": {}}])
def test_a_stream_is_selected_by_word_only(marks: dict[str, dict[str, Any]]) -> None:
    assert taken(stream(marks)) is None


def test_keys_stay_whatever_is_selected() -> None:
    selection = taken(stream({"": {"selected": True}, "id": {"selected": False}}, keys=["id"]))
    assert selection is not None
    assert selection.takes("id")


def test_a_column_nobody_knew_comes_along_only_when_all_are_taken() -> None:
    whole, part = (
        taken(stream({"": {"selected": True}})),
        taken(stream({"": {"selected": True}, "name": {"selected": False}})),
    )
    assert whole is not None
    assert whole.takes("new")
    assert part is not None
    assert not part.takes("new")


def test_rows_lose_the_columns_that_are_left_out() -> None:
    stage = Select(Catalog(streams=[stream({"": {"selected": True}, "name": {"selected": False}})]))
    columns = pa.schema([("id", pa.int64()), ("name", pa.string()), ("address__city", pa.string())])
    [schema] = stage(Schema(stream="s", columns=columns, keys=("id",), cursor="name"))
    assert isinstance(schema, Schema)
    assert (schema.columns.names, schema.cursor) == (["id", "address__city"], None)
    batch = pa.record_batch([[1, 2, 3], ["a", None, None], [None, None, "x"]], schema=columns)
    missing = pa.array([None, ["name"], ["name", "address__city"]], pa.list_(pa.string()))
    [rows] = stage(Rows(stream="s", batch=batch, missing=missing, repaired={"name": 1, "id": 2}, size=9))
    assert isinstance(rows, Rows)
    assert rows.batch.schema == schema.columns
    assert rows.batch["id"].to_pylist() == [1, 2, 3]
    assert rows.missing is not None
    assert rows.missing.to_pylist() == [None, [], ["address__city"]]
    assert (rows.repaired, rows.size, stage.filtered) == ({"id": 2}, 9, {})


def test_streams_that_are_left_out_are_counted_and_everything_else_passes() -> None:
    stage = Select(Catalog(streams=[stream({}, name="off"), stream({"": {"selected": True}}, name="on")]))
    batch = pa.record_batch({"id": [1, 2]})
    assert stage(Schema(stream="off", columns=batch.schema)) == ()
    assert stage(Rows(stream="off", batch=batch)) == ()
    assert stage(Rejected(stream="off", record=b"{}", reason="bad")) == ()
    assert stage(ActivateVersion(stream="off", version=1)) == ()
    assert stage.filtered == {"off": 3}
    for message in (
        Checkpoint(state=b"{}"),
        ActivateVersion(stream="on", version=1),
        Rejected(stream="on", record=b"", reason=""),
        Rows(stream="renamed by the tap", batch=batch),
    ):
        assert stage(message) == (message,)


def test_rows_without_any_column_left_still_count() -> None:
    marks = {
        "": {"selected": True},
        "id": {"selected": False},
        "name": {"selected": False},
        "address": {"selected": False},
    }
    stage = Select(Catalog(streams=[stream(marks)]))
    batch = pa.record_batch({"id": [1, 2]})
    stage(Schema(stream="s", columns=batch.schema))
    [rows] = stage(Rows(stream="s", batch=batch))
    assert isinstance(rows, Rows)
    assert (rows.batch.num_rows, rows.batch.num_columns) == (2, 0)


def test_a_column_the_tap_adds_comes_through() -> None:
    stage = Select(Catalog(streams=[stream({"": {"selected": True}, "name": {"selected": False}})]))
    batch = pa.record_batch({"id": [1], "name": ["a"], "added": [True]})
    [schema] = stage(Schema(stream="s", columns=batch.schema))
    assert isinstance(schema, Schema)
    assert schema.columns.names == ["id", "added"]

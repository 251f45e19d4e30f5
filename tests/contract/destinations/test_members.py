"""Fields that the schema does not know: an upsert merges them member by member, on every database alike."""

from __future__ import annotations

import itertools
import json
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect import members
from headwater.connect.contract import JSON_FIELD

COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("name", pa.string()),
        pa.field("_extra", pa.string(), metadata=members.FIELD),
    ]
)


@pytest.fixture
def load(place, send):
    """One run with one commit a list of rows; what the table then holds of each `id`."""
    runs = itertools.count(1)

    def load(*batches, columns=COLUMNS, settings=None, final=True, **more):
        session = place.open(f"run-{next(runs)}", **(settings or {}))
        try:
            for number, rows in enumerate(batches, 1):
                send(session, rows, columns=columns, **{"keys": ("id",), **more})
                session.commit(None, final=final and number == len(batches))
        finally:
            session.close()
        return stored(place)

    return load


def stored(place):
    rows = sorted(place.rows("users"), key=lambda row: row["id"])
    return [
        (row["id"], *([row["name"]] if row.get("name") else []), read(row["_extra"]))
        for row in rows
        if row.get("__valid_to") is None
    ]


def read(text):
    """The value, its numbers exact; psycopg has read it already."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal) if isinstance(text, str) else text


def row(number, extra, name=None):
    return {
        "id": number,
        "name": name,
        "_extra": extra if extra is None else extra if isinstance(extra, str) else json.dumps(extra),
    }


def test_a_member_that_comes_takes_the_old_ones_place_and_the_others_stay(place, load):
    place.need("upsert")
    load([row(1, {"a": 1, "b": {"x": 1, "y": 2}}), row(2, {"a": 1})])
    assert load([row(1, {"b": {"x": 3}, "c": [1]}), row(3, {"d": None})]) == [
        (1, {"a": 1, "b": {"x": 3}, "c": [1]}),
        (2, {"a": 1}),
        (3, {"d": None}),
    ]


def test_a_null_is_a_value(place, load):
    place.need("upsert")
    load([row(1, {"a": 1, "b": None, "c": {"d": None}})])
    assert load([row(1, {"a": None})]) == [(1, {"a": None, "b": None, "c": {"d": None}})]
    assert load([row(1, {"b": 2, "c": None})]) == [(1, {"a": None, "b": 2, "c": None})]


def test_a_record_without_such_fields_leaves_them(place, load):
    place.need("upsert")
    load([row(1, {"a": 1}), row(2, None)])
    assert load([row(1, None), row(2, {"b": 1})]) == [(1, {"a": 1}), (2, {"b": 1})]
    assert load([row(1, None)], missing=[["_extra"]]) == [(1, {"a": 1}), (2, {"b": 1})]


def test_records_of_one_key_are_merged_in_the_order_they_came(place, load):
    place.need("upsert")
    first = [row(1, {"a": 1, "b": 1}), row(2, {"z": 0}), row(1, None), row(1, {"b": 2, "c": 2}), row(1, {"c": None})]
    assert load(first) == [(1, {"a": 1, "b": 2, "c": None}), (2, {"z": 0})]
    assert load([row(1, {"a": 5}), row(3, {}), row(1, {"d": 6}), row(1, {"a": 7, "e": {}})]) == [
        (1, {"a": 7, "b": 2, "c": None, "d": 6, "e": {}}),
        (2, {"z": 0}),
        (3, {}),
    ]


def test_rows_of_several_commits_and_batches_are_merged(place, load):
    place.need("upsert")
    assert load([row(1, {"a": 1})], [row(1, {"b": 2})], [row(1, {"a": 3})]) == [(1, {"a": 3, "b": 2})]


def test_fields_and_members_that_were_not_sent_stay_together(place, load):
    place.need("upsert")
    load([row(1, {"a": 1}, "x"), row(2, {"a": 1}, "y")])
    load([row(1, {"b": 2}), row(2, {"b": 2})], missing=[["name"], None])
    assert stored(place) == [(1, "x", {"a": 1, "b": 2}), (2, {"a": 1, "b": 2})]


def test_values_and_names_come_through_exactly(place, load):
    place.need("upsert")
    names = ["", "a", "A", "a ", "é", "e\u0301", '"', "\\", "\n", "$", "$.a", "a.b", "[0]", "😈", "x" * 300, "__sent"]
    held = {name: f"old {name}" for name in names}
    load([row(1, held)])
    for name in names:
        held[name] = {"new": [name]}
        assert load([row(1, {name: held[name]})]) == [(1, held)]


def test_numbers_of_any_length_come_through_exactly(place, load):
    place.need("upsert")
    load([row(1, '{"n":1.10,"big":123456789012345678901234567890,"small":0.12345678901234567890123}')])
    load([row(1, '{"m":12345678901234567890.5}')])
    text = place.sql("select _extra::text from shop.users")[0][0] if hasattr(place, "sql") else one(place)["_extra"]
    assert read(text) == {
        "n": Decimal("1.10"),
        "big": Decimal(123456789012345678901234567890),
        "small": Decimal("0.12345678901234567890123"),
        "m": Decimal("12345678901234567890.5"),
    }


def one(place):
    (row,) = place.rows("users")
    return row


def test_a_value_that_is_no_object_is_replaced(place, load):
    place.need("upsert")
    load([row(1, "[1]"), row(2, '{"a": 1}')])
    assert load([row(1, '{"a":1}'), row(2, "5")]) == [(1, {"a": 1}), (2, 5)]


def test_values_of_many_levels_are_kept(place, load):
    place.need("upsert")
    deep = '{"deep":' + "[" * 60 + "]" * 60 + "}"
    load([row(1, deep), row(2, {"a": 1}), row(3, deep)])
    assert load([row(1, {"a": 1}), row(2, deep), row(3, deep)]) == [
        (1, read(deep) | {"a": 1}),
        (2, read(deep) | {"a": 1}),
        (3, read(deep)),
    ]


def test_other_json_is_replaced_whole(place, load):
    place.need("upsert")
    columns = COLUMNS.set(2, pa.field("_extra", pa.string(), metadata=JSON_FIELD))
    load([row(1, {"a": 1})], columns=columns)
    assert load([row(1, {"b": 2})], columns=columns) == [(1, {"b": 2})]


def test_a_replaced_stream_forgets_the_old_members(place, load):
    place.need("upsert")
    load([row(1, {"a": 1}), row(2, {"a": 1})])
    found = load([row(1, {"b": 1})], [row(1, {"c": 2}), row(3, {"d": 1}), row(3, {"e": 1})], replace=True)
    assert found == [(1, {"b": 1, "c": 2}), (3, {"d": 1, "e": 1})]


def test_rows_without_keys_are_not_merged(place, load):
    load([row(1, {"a": 1}), row(1, {"b": 1})], keys=())
    assert stored(place) == [(1, {"a": 1}), (1, {"b": 1})]


def test_keys_of_any_length_find_their_members(place, send):
    place.need("upsert")
    columns = pa.schema([pa.field("id", pa.string()), *list(COLUMNS)[1:]])
    keys = ["x" * 5000, "x" * 4999 + "y"]
    for number in range(2):
        session = place.open(f"run-{number}")
        rows = [row(key, {f"{number}": key[-1]}) for key in keys] + [row(keys[0], {"again": number})]
        send(session, rows, columns=columns, keys=("id",))
        session.commit(None, final=True)
        session.close()
    assert stored(place) == [(keys[0], {"0": "x", "1": "x", "again": 1}), (keys[1], {"0": "y", "1": "y"})]


HISTORY = {"load_method": "history"}


def versions(place):
    rows = sorted(place.rows("users"), key=lambda one: (one["id"], one["__valid_from"]))
    return [(one["id"], read(one["_extra"]), one["__valid_to"] is None) for one in rows]


def test_a_new_version_has_the_members_of_the_one_before(place, load):
    place.need("history")
    load([row(1, {"a": 1, "b": 1})], settings=HISTORY)
    load([row(1, {"b": 2}), row(1, {"c": None})], settings=HISTORY)
    assert versions(place) == [(1, {"a": 1, "b": 1}, False), (1, {"a": 1, "b": 2, "c": None}, True)]


def test_members_that_stand_there_make_no_version(place, load):
    place.need("history")
    load([row(1, {"b": 1, "a": [1, 2]})], settings=HISTORY)
    for extra in ({"a": [1, 2]}, {"b": 1}, {"a": [1, 2], "b": 1}, {}, None):
        load([row(1, extra)], settings=HISTORY)
    load([row(1, {"a": [1, 2]}), row(1, {"a": [1, 2], "b": 1})], settings=HISTORY)
    assert versions(place) == [(1, {"b": 1, "a": [1, 2]}, True)]
    load([row(1, {"a": [2, 1]})], settings=HISTORY)
    assert versions(place)[1:] == [(1, {"b": 1, "a": [2, 1]}, True)]


def test_a_snapshot_that_keeps_history_merges_members(place, load):
    place.need("history")
    load([row(1, {"a": 1}), row(2, {"a": 1})], settings=HISTORY)
    load([row(1, {"b": 1})], [row(1, {"c": 1}), row(3, {"d": 1})], settings=HISTORY, replace=True)
    assert versions(place) == [
        (1, {"a": 1}, False),
        (1, {"a": 1, "b": 1, "c": 1}, True),
        (2, {"a": 1}, False),
        (3, {"d": 1}, True),
    ]


@pytest.mark.parametrize("settings", [{}, HISTORY], ids=["upsert", "history"])
def test_any_records_in_any_order_end_as_in_memory(place, load, monkeypatch, settings):
    monkeypatch.setattr(members, "_PAGE_BYTES", 200)
    place.need("upsert", *(["history"] if settings else []))
    chance = random.Random(7)  # noqa: S311 - it has to be made again
    wanted = {}
    for _ in range(6):
        batches = []
        for _ in range(chance.randint(1, 3)):
            rows = []
            for _ in range(chance.randint(0, 30)):
                extra = {name: chance.choice([None, 1, "x", [], {"n": None}]) for name in chance.sample("abcdef", 2)}
                rows.append(row(chance.randint(1, 12), chance.choice([extra, extra, None, {}])))
            for one in rows:
                held = wanted.setdefault(one["id"], None)
                if one["_extra"] is not None:
                    wanted[one["id"]] = {**(held or {}), **read(one["_extra"])}
            batches.append(rows)
        load(*batches, settings=settings)
        assert stored(place) == sorted(wanted.items())


def test_servers_that_take_no_files_get_merged_members(place, load):
    if place.kind != "mysql":
        pytest.skip("takes its rows one way")
    place.server.sql("set global local_infile = 0")
    try:
        load([row(1, {"a'": 1}), row(1, {"b\\": 2}), row(2, {"a": 1})])
        assert load([row(1, {"a'": 2}), row(2, {"a": "\t"})]) == [(1, {"a'": 2, "b\\": 2}), (2, {"a": "\t"})]
    finally:
        place.server.sql("set global local_infile = 1")


def test_keys_may_be_called_as_anything(place, send):
    place.need("upsert")
    columns = pa.schema([("c1", pa.int64()), ("c0_2", pa.int64()), ("s2", pa.string()), ("number", pa.string())])
    columns = columns.append(COLUMNS.field("_extra"))
    for number in range(2):
        session = place.open(f"run-{number}")
        rows = [{"c1": 1, "c0_2": 1, "s2": sign, "number": sign, "_extra": json.dumps({sign: number})} for sign in "ab"]
        missing = [["s2"], ["number"]]
        send(session, rows, columns=columns, keys=("c1", "c0_2"), missing=missing)
        session.commit(None, final=True)
        session.close()
    (found,) = place.rows("users")
    assert found | {"_extra": read(found["_extra"])} == {
        "c1": 1,
        "c0_2": 1,
        "s2": "b",
        "number": "a",
        "_extra": {"a": 1, "b": 1},
    }

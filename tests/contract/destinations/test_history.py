"""`load_method: history`: every version of a row is kept, with the time when it was valid."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import JSON_FIELD, ActivateVersion, Schema

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}
USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])


@pytest.fixture
def run(place, send):
    """One run with one commit a list of rows; its last receipt."""
    place.need("history")
    runs = itertools.count(1)

    def run(*batches, keys=("id",), activates=None, final=True, settings=None, **more):
        session = place.open(f"run-{next(runs)}", **{"load_method": "history", **(settings or {})})
        try:
            for number, rows in enumerate(batches, 1):
                send(session, rows, keys=keys, **more)
                if activates and number == len(batches):
                    session.activate(ActivateVersion(stream="users", version=activates))
                receipt = session.commit(None, final=final and number == len(batches))
        finally:
            session.close()
        return receipt

    return run


def versions(place, *columns):
    """The values of each version in order, and whether it is the current one."""
    rows = sorted(place.rows("users"), key=lambda row: (row["id"], row["__valid_from"]))
    for of_key in (list(found) for _, found in itertools.groupby(rows, key=lambda row: row["id"])):
        for row in of_key:
            assert row["__valid_to"] is None or row["__valid_to"] > row["__valid_from"]
        for before, after in itertools.pairwise(of_key):
            assert before["__valid_to"] is not None
            assert before["__valid_to"] <= after["__valid_from"]
    names = columns or ("id", "name")
    return [(*(row[name] for name in names), row["__valid_to"] is None) for row in rows]


def test_a_changed_row_opens_a_version_and_an_equal_one_does_not(place, run):
    run([A, B])
    receipt = run([{"id": 1, "name": "new"}, B])
    assert versions(place) == [(1, "a", False), (1, "new", True), (2, "b", True)]
    assert (receipt.streams["users"].rows_in, receipt.streams["users"].rows_out) == (2, 2)


def test_a_version_ends_where_the_next_begins(place, run):
    run([A])
    before = dt.datetime.now(dt.UTC)
    run([{"id": 1, "name": "new"}])
    first, second = sorted(place.rows("users"), key=lambda row: row["__valid_from"])
    assert before <= first["__valid_to"] == second["__valid_from"] <= dt.datetime.now(dt.UTC)
    assert second["__valid_to"] is None


def test_of_the_rows_of_a_key_in_one_commit_the_last_counts(place, run):
    run([A, {"id": 1, "name": "x"}, {"id": 1, "name": "y"}])
    assert versions(place) == [(1, "y", True)]
    run([{"id": 1, "name": "z"}, {"id": 1, "name": "y"}])
    assert versions(place) == [(1, "y", True)]


def test_each_commit_makes_its_own_version(place, run):
    run(*([{"id": 1, "name": str(number)}] for number in range(5)))
    assert versions(place) == [(1, str(number), number == 4) for number in range(5)]


def test_a_missing_field_keeps_the_value_of_the_current_version(place, run):
    run([A, B])
    run([{"id": 1, "name": None}, {"id": 2, "name": None}], missing=[["name"], None])
    assert versions(place) == [(1, "a", True), (2, "b", False), (2, None, True)]


def test_nulls_are_equal_and_differ_from_values(place, run):
    run([{"id": 1, "name": None}])
    run([{"id": 1, "name": None}])
    assert versions(place) == [(1, None, True)]
    run([{"id": 1, "name": ""}])
    assert versions(place) == [(1, None, False), (1, "", True)]


def test_values_of_every_type_are_compared(place, run):
    columns = pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("doc", pa.string(), metadata=JSON_FIELD),
            pa.field("score", pa.float64()),
            pa.field("price", pa.decimal128(38, 2)),
            pa.field("raw", pa.binary()),
            pa.field("seen", pa.timestamp("us", "UTC")),
            pa.field("is_new", pa.bool_()),
        ]
    )
    row = {"id": 1, "doc": '{"a": [1]}', "score": 0.1, "raw": b"\0", "seen": dt.datetime.now(dt.UTC), "is_new": True}
    if not place.can("nan-is-text"):
        row["score"] = math.nan
    run([row], columns=columns)
    run([row], columns=columns)
    assert len(versions(place, "id")) == 1
    for changed in ({"doc": '{"a": [2]}'}, {"score": 1.5}, {"price": 1}, {"raw": b"\1"}, {"is_new": False}):
        row |= changed
        run([row], columns=columns)
    assert len(versions(place, "id")) == 6


def test_texts_are_told_apart_byte_by_byte(place, run):
    for name in ("a", "A", "á", "a "):
        run([{"id": 1, "name": name}])
    assert [name for _, name, _ in versions(place)] == ["a", "A", "á", "a "]


def test_keys_of_several_columns_and_of_any_length(place, run):
    columns = pa.schema([("id", pa.int64()), ("name", pa.string()), ("v", pa.int64())])
    long = "k" * 3000
    first = [
        {"id": 1, "name": long + "x", "v": 1},
        {"id": 1, "name": long + "y", "v": 1},
        {"id": 1, "name": "z", "v": 1},
    ]
    run(first, columns=columns, keys=("id", "name"))
    run([{**first[1], "v": 2}, first[2]], columns=columns, keys=("id", "name"))
    run([{**first[1], "v": None}], columns=columns, keys=("id", "name"), missing=[["v"]])
    found = sorted((row["name"][-1], row["v"], row["__valid_to"] is None) for row in place.rows("users"))
    assert found == [("x", 1, True), ("y", 1, False), ("y", 2, True), ("z", 1, True)]


@pytest.mark.parametrize("replace", [False, True])
def test_a_key_may_become_text_and_long(place, run, replace):
    run([A, B])
    text = USERS.set(0, pa.field("id", pa.string()))
    long = "k" * 1000
    run([{"id": "1", "name": "b"}, {"id": "2", "name": "b"}, {"id": "x", "name": "c"}], columns=text, replace=replace)
    run([{"id": "2", "name": "d"}, {"id": long, "name": None}], columns=text, missing=[None, ["name"]])
    run([{"id": "2", "name": "d"}, {"id": long, "name": "e"}], columns=text, replace=True)
    assert versions(place) == [
        ("1", "a", False),
        ("1", "b", False),
        ("2", "b", False),
        ("2", "d", True),
        (long, None, False),
        (long, "e", True),
        ("x", "c", False),
    ]


def test_a_stream_without_keys_is_refused(place):
    place.need("history")
    with pytest.raises(InputError) as caught:
        place.open(load_method="history").prepare(Schema(stream="users", columns=USERS))
    assert caught.value.reference == "history-needs-keys"
    assert "`load_method`" in caught.value.hint
    assert not place.rows("users")


def test_a_key_without_a_value_fails_and_leaves_nothing(place, run):
    run([A])
    with pytest.raises(RunFailedError) as caught:
        run([{"id": 1, "name": "b"}, {"id": None, "name": "x"}])
    assert caught.value.reference == "null-key"
    assert versions(place) == [(1, "a", True)]


def test_a_new_column_and_a_wider_one(place, run):
    run([A, B])
    wide = pa.schema([("id", pa.int64()), ("name", pa.string()), ("more", pa.int64())])
    run([{**A, "more": None}, {**B, "more": 1}], columns=wide)
    run([{**A, "more": Decimal("1.5")}], columns=wide.set(2, pa.field("more", pa.decimal128(38, 2))))
    assert versions(place, "id", "more") == [(1, None, False), (1, 1.5, True), (2, None, False), (2, 1, True)]


def test_a_column_that_the_source_no_longer_has_goes_on_with_its_value(place, run):
    run([A, B])
    run([{"id": 1, "v": 1}], columns=pa.schema([("id", pa.int64()), ("v", pa.int64())]))
    assert versions(place, "id", "name", "v") == [(1, "a", None, False), (1, "a", 1, True), (2, "b", None, True)]


def test_a_snapshot_closes_what_it_does_not_hold(place, run):
    run([A, B])
    run([B, {"id": 3, "name": "c"}], replace=True)
    assert versions(place) == [(1, "a", False), (2, "b", True), (3, "c", True)]
    run([A, B], replace=True)
    assert versions(place) == [(1, "a", False), (1, "a", True), (2, "b", True), (3, "c", False)]


def test_a_snapshot_takes_effect_at_its_end_only(place, run):
    run([A, B])
    run([{"id": 2, "name": "x"}], [{"id": 3, "name": "c"}], replace=True, final=False)
    assert versions(place) == [(1, "a", True), (2, "b", True)]
    run([{"id": 2, "name": "y"}], [{"id": 2, "name": "z"}, {"id": 3, "name": "c"}], replace=True)
    assert versions(place) == [(1, "a", False), (2, "b", False), (2, "z", True), (3, "c", True)]


def test_a_missing_field_of_a_snapshot_keeps_the_value_of_the_current_version(place, run):
    run([A, B])
    run([A, {"id": 2, "name": None}], replace=True, missing=[None, ["name"]])
    assert versions(place) == [(1, "a", True), (2, "b", True)]


def test_a_first_snapshot_fills_the_table(place, run):
    run([A, B], replace=True)
    assert versions(place) == [(1, "a", True), (2, "b", True)]


def test_an_empty_snapshot_closes_everything(place, run):
    run([A, B])
    run([], replace=True)
    assert versions(place) == [(1, "a", False), (2, "b", False)]


def test_a_new_table_version_closes_the_rows_of_older_ones(place, run):
    run([A, B], version=1)
    receipt = run([B], version=2, activates=2)
    (change,) = [one for one in receipt.changes if one.change.startswith("rows-")]
    assert (change.change, change.count) == ("rows-closed", 1)
    assert versions(place) == [(1, "a", False), (2, "b", True)]
    run([A, B], version=3, activates=3)
    assert versions(place) == [(1, "a", False), (1, "a", True), (2, "b", True)]


def many(count):
    return [{"id": number, "name": "x"} for number in range(count)]


@pytest.mark.parametrize("how", [{"replace": True}, {"version": 2, "activates": 2}], ids=["snapshot", "version"])
def test_most_keys_are_not_closed_at_once(place, run, how):
    run(many(200), version=1)
    with pytest.raises(RunFailedError) as caught:
        run([{"id": 0, "name": "y"}], **how)
    assert (caught.value.reference, caught.value.what) == (
        "mass-delete",
        "199 of the 200 rows of stream `users` would be gone",
    )
    assert versions(place) == [(number, "x", True) for number in range(200)]
    run([{"id": 0, "name": "y"}], settings={"max_delete_share": 1}, **how)
    assert [version for version in versions(place) if version[2]] == [(0, "y", True)]


def test_a_clock_that_was_turned_back_spoils_no_order(place, run):
    run([A, B])
    place.execute("update shop.users set __valid_from = '2100-01-01 12:00:00'")
    run([{"id": 1, "name": "x"}])
    run([{"id": 1, "name": "y"}], replace=True)
    run([{"id": 1, "name": "y"}, {"id": 2, "name": "z"}], version=1)
    run([{"id": 1, "name": "y"}], version=2, activates=2)
    run([{"id": 2, "name": "z"}])
    assert versions(place) == [
        (1, "a", False),
        (1, "x", False),
        (1, "y", True),
        (2, "b", False),
        (2, "z", False),
        (2, "z", True),
    ]


def test_an_upsert_table_becomes_one_with_history(place, run):
    run([A, B], settings={"load_method": "upsert"})
    loaded = dt.datetime.now(dt.UTC)
    receipt = run([{"id": 1, "name": "new"}])
    assert "history-started" in [one.change for one in receipt.changes]
    assert versions(place) == [(1, "a", False), (1, "new", True), (2, "b", True)]
    assert sorted(row["__valid_from"] <= loaded for row in place.rows("users")) == [False, True, True]
    run([{"id": 1, "name": "newer"}])
    assert versions(place)[1:3] == [(1, "new", False), (1, "newer", True)]


def test_rows_that_were_marked_become_closed_versions(place, run):
    upsert = {"load_method": "upsert", "hard_delete": False}
    run([A, B], version=1, settings=upsert)
    run([B], version=2, activates=2, settings=upsert)
    run([B], version=2)
    assert versions(place) == [(1, "a", False), (2, "b", True)]
    run([A], version=2)
    assert versions(place) == [(1, "a", False), (1, "a", True), (2, "b", True)]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("method", ["upsert", "append-only", "overwrite"])
def test_no_other_method_loads_into_a_table_with_history(place, run, method, replace):
    run([A])
    with pytest.raises(InputError) as caught:
        run([B], settings={"load_method": method}, replace=replace)
    assert caught.value.reference == "unsupported-change"
    assert caught.value.hint.startswith("set `load_method` to `history`, or move `shop.users` out of the way")
    assert versions(place) == [(1, "a", True)]


@pytest.mark.parametrize("replace", [True, False])
def test_a_table_without_a_key_does_not_become_one_with_history(place, run, replace):
    run([A, A], settings={"load_method": "append-only"})
    with pytest.raises(InputError) as caught:
        run([A], replace=replace)
    assert caught.value.reference == "unsupported-change"
    assert len(place.rows("users")) == 2


def test_other_keys_than_before_are_refused(place, run):
    run([A])
    with pytest.raises(InputError) as caught:
        run([A], keys=("id", "name"), replace=True)
    assert caught.value.reference == "unsupported-change"


def test_a_stream_may_have_nothing_but_its_key(place, run):
    only = pa.schema([("id", pa.int64())])
    run([{"id": 1}], columns=only)
    run([{"id": 1}, {"id": 2}], columns=only)
    run([{"id": 2}], columns=only, replace=True)
    assert versions(place, "id") == [(1, False), (2, True)]


COLUMNS = pa.schema([("id", pa.int64()), ("name", pa.string()), ("n", pa.int64()), ("Sum: %", pa.string())])
FIELDS = ("name", "n", "Sum: %")


class Model:
    """What the versions should be: of each key a list of [values, commit that opened it, commit that closed it]."""

    def __init__(self):
        self.versions = {}

    def current(self, key):
        last = self.versions.get(key, [[None, None, 0]])[-1]
        return last[0] if last[2] is None else None

    def folded(self, rows):
        """The rows as one a key; what was never sent is as it was."""
        folded = {}
        for row, missing in rows:
            values = folded.setdefault(row["id"], dict(self.current(row["id"]) or dict.fromkeys(FIELDS)))
            values.update({name: row[name] for name in FIELDS if name not in (missing or ())})
        return folded

    def load(self, rows, commit):
        for key, values in self.folded(rows).items():
            if self.current(key) != values:
                if self.current(key) is not None:
                    self.versions[key][-1][2] = commit
                self.versions.setdefault(key, []).append([values, commit, None])

    def snapshot(self, rows, commit):
        folded = self.folded(rows)
        self.load(rows, commit)
        for key in self.versions.keys() - folded.keys():
            if self.current(key) is not None:
                self.versions[key][-1][2] = commit


def random_rows(chance):
    rows = []
    for _ in range(chance.randrange(12)):
        row = {"id": chance.randrange(8), "name": chance.choice("ab"), "n": chance.choice((None, 1)), "Sum: %": "x"}
        missing = [name for name in FIELDS if chance.random() < 0.3]
        rows.append((row | dict.fromkeys(missing), missing or None))
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_random_loads_give_what_a_small_model_gives(place, send, seed):
    place.need("history")
    chance, model, moments = random.Random(seed), Model(), []  # noqa: S311 - no secret

    def commit(session, *, final=False):
        started = dt.datetime.now(dt.UTC)
        session.commit(None, final=final)
        moments.append((started, dt.datetime.now(dt.UTC)))

    def give(session, rows, **more):
        if rows and any(missing for _, missing in rows):
            more["missing"] = [missing for _, missing in rows]
        send(session, [row for row, _ in rows], columns=COLUMNS, keys=("id",), **more)

    for number in range(6):
        kind = chance.choice(("changes", "changes", "snapshot", "cut short"))
        session = place.open(f"run-{number}", load_method="history", max_delete_share=1)
        batches = [random_rows(chance) for _ in range(chance.randrange(1, 4))]
        for position, rows in enumerate(batches):
            give(session, rows, replace=kind != "changes")
            is_last = position == len(batches) - 1
            commit(session, final=is_last and kind != "cut short")
            if kind == "changes":
                model.load(rows, len(moments) - 1)
        if kind == "snapshot":
            model.snapshot([row for rows in batches for row in rows], len(moments) - 1)
        session.close()

    def commit_of(moment):
        return moment and next(n for n, (start, end) in enumerate(moments) if start <= moment <= end)

    found = [
        (row["id"], commit_of(row["__valid_from"]), commit_of(row["__valid_to"]), *(row[name] for name in FIELDS))
        for row in place.rows("users")
    ]
    expected = [
        (key, opened, closed, *values.values()) for key, of in model.versions.items() for values, opened, closed in of
    ]
    assert sorted(found, key=repr) == sorted(expected, key=repr)

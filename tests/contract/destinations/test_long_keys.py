"""Keys of any length tell rows apart by their last byte, in every database."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect.contract import ActivateVersion

COLUMNS = pa.schema([("id", pa.string()), ("part", pa.int64()), ("v", pa.int64()), ("w", pa.string())])
KEYS = ("id", "part")
# No two bytes of them are alike in a way that a database could compress.
NOISE = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000))
SIZES = [3_000, 10_000, 100_000]


def key(size, last="x"):
    return NOISE[: size - 1] + last


def row(name, v, part=1, w="-"):
    return {"id": name, "part": part, "v": v, "w": w}


SHORT = [row("a", 1), row("b", 2)]


@pytest.fixture
def run(place, send):
    """One run; its commits are the lists of rows."""
    place.need("upsert")
    count = 0

    def run(*batches, settings=None, final=True, activates=None, columns=COLUMNS, keys=KEYS, **more):
        nonlocal count
        count += 1
        session = place.open(f"run-{count}", **(settings or {}))
        try:
            for number, rows in enumerate(batches, 1):
                send(session, rows, columns=columns, keys=keys, **more)
                if activates and number == len(batches):
                    session.activate(ActivateVersion(stream="users", version=activates))
                receipt = session.commit(b"", final=final and number == len(batches))
        finally:
            session.close()
        return receipt

    return run


def held(place, *more):
    """What is in the table, with each key cut to its length and its last letter."""
    found = [
        ((len(one["id"]), one["id"][-1], one["part"]), one["v"], *(one[name] for name in more))
        for one in place.rows("users")
    ]
    return sorted(found, key=repr)


@pytest.mark.parametrize("size", SIZES)
def test_long_keys_differ_by_their_last_byte(place, run, size):
    long = [row(key(size, "x"), 3), row(key(size, "y"), 4), row(key(size, "y"), 5, part=2)]
    run([*long, *SHORT])
    run([row(key(size, "y"), 6), row(key(size, "z"), 7), row("a", 8), row(key(size, "z"), 9)])
    assert held(place) == sorted(
        [
            ((1, "a", 1), 8),
            ((1, "b", 1), 2),
            ((size, "x", 1), 3),
            ((size, "y", 1), 6),
            ((size, "y", 2), 5),
            ((size, "z", 1), 9),
        ],
        key=repr,
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_table_of_short_keys_takes_long_ones_later(place, run, size):
    run(SHORT)
    run([row(key(size, "x"), 3), row("a", 4)])
    run([row(key(size, "x"), 5), row(key(size, "y"), 6), row("b", 7)])
    assert held(place) == [((1, "a", 1), 4), ((1, "b", 1), 7), ((size, "x", 1), 5), ((size, "y", 1), 6)]


def test_a_key_of_a_million_bytes(place, run):
    size = 1_000_000
    run([row(key(size, "x"), 1), row(key(size, "y"), 2)])
    run([row(key(size, "y"), 3)])
    assert held(place) == [((size, "x", 1), 1), ((size, "y", 1), 3)]


def test_servers_agree_on_the_hash_of_a_key(place, run):
    if place.kind not in ("postgres", "mysql"):
        pytest.skip("needs no hash")
    columns = pa.schema(
        [("id", pa.string()), ("i", pa.int64()), ("d", pa.decimal128(5, 2)), ("b", pa.bool_()), ("x", pa.binary())]
    )
    long = key(3000) + "\\ü"
    run(
        [{"id": long, "i": -7, "d": Decimal("1.5"), "b": True, "x": b"\x00\xff"}],
        columns=columns,
        keys=tuple(columns.names),
    )
    values = [long.encode(), b"-7", b"1.50", b"1", b"\x00\xff"]
    text = ".".join(value.hex().upper() for value in values)
    assert [one["__key_hash"] for one in place.rows("users")] == [hashlib.sha256(text.encode()).digest()]


def test_texts_that_look_alike_when_they_are_joined_are_different_keys(place, run):
    columns = pa.schema([("id", pa.string()), ("part", pa.string()), ("v", pa.int64())])
    first = key(3000, "x")
    rows = [
        (first, "y"),
        (first + "y", ""),
        (first + ".", "y"),
        (first, ".y"),
        ("\\", "\\"),
        ("\\\\", ""),
        ("", "'\\000"),
    ]
    sent = [{"id": one, "part": other, "v": number} for number, (one, other) in enumerate(rows)]
    run(sent, columns=columns)
    run([{**one, "v": one["v"] + 10} for one in sent], columns=columns)
    assert sorted((one["id"], one["part"], one["v"]) for one in place.rows("users")) == sorted(
        (one, other, number + 10) for number, (one, other) in enumerate(rows)
    )


def test_a_missing_field_of_a_long_key_keeps_its_value(place, run):
    run([row(key(3000), 1, w="kept"), *SHORT])
    run([row(key(3000), 2, w=None), row(key(3000, "y"), 3, w=None)], missing=[["w"], ["w"]])
    assert held(place, "w") == [
        ((1, "a", 1), 1, "-"),
        ((1, "b", 1), 2, "-"),
        ((3000, "x", 1), 2, "kept"),
        ((3000, "y", 1), 3, None),
    ]


def test_long_keys_come_in_the_middle_of_a_run(place, run):
    run(SHORT, [row(key(3000), 3)], [row(key(3000), 4), row("a", 5)])
    assert held(place) == [((1, "a", 1), 5), ((1, "b", 1), 2), ((3000, "x", 1), 4)]


@pytest.mark.parametrize("before", [[], SHORT, [row(key(3000, "w"), 0)]], ids=["new", "short", "long"])
def test_a_replaced_stream_with_long_keys(place, run, before):
    if before:
        run(before)
    run([row("c", 1)], [row(key(3000, "x"), 2), row("c", 3)], [row(key(3000, "x"), 4)], replace=True)
    assert held(place) == [((1, "c", 1), 3), ((3000, "x", 1), 4)]
    run([row(key(3000, "y"), 5)], replace=True)
    assert held(place) == [((3000, "y", 1), 5)]
    run([row(key(3000, "y"), 6)])
    assert held(place) == [((3000, "y", 1), 6)]


def test_a_replaced_stream_goes_on_where_it_stopped(place, run):
    run(SHORT)
    run([row(key(3000, "x"), 1)], replace=True, version=7, final=False)
    run([row("a", 2)], replace=True, version=7, final=False)
    run([row(key(3000, "x"), 3)], replace=True, version=7)
    assert held(place) == [((1, "a", 1), 2), ((3000, "x", 1), 3)]


@pytest.mark.parametrize("commits", [1, 2])
def test_a_replaced_stream_may_have_other_keys(place, run, commits):
    run([row(key(3000), 1)])
    rows = [{"id": "o", "part": 1, "v": 1, "w": key(3000, "x")}, {"id": "o", "part": 1, "v": 2, "w": key(3000, "y")}]
    run(*[rows] * commits, keys=("w",), replace=True)
    run([{**rows[1], "v": 3}], keys=("w",))
    assert sorted((one["w"][-1], one["v"]) for one in place.rows("users")) == [("x", 1), ("y", 3)]
    short = [{"id": "o", "part": 1, "v": 4, "w": "s"}, {"id": "o", "part": 2, "v": 5, "w": "s"}]
    run(*[short] * commits, keys=("part",), replace=True)
    run([{**short[0], "v": 6}], keys=("part",))
    assert sorted((one["part"], one["v"]) for one in place.rows("users")) == [(1, 6), (2, 5)]


@pytest.mark.parametrize("hard", [False, True])
def test_rows_with_long_keys_go_with_their_version(place, run, hard):
    settings = {"hard_delete": hard}
    run([row(key(3000, "x"), 1), *SHORT], version=1, settings=settings)
    run([row(key(3000, "y"), 2)], version=2, activates=2, settings=settings)
    alive = [one for one in place.rows("users") if one.get("__deleted_at") is None]
    assert [(one["id"][-1], one["v"]) for one in alive] == [("y", 2)]
    run([row(key(3000, "x"), 3)], version=2, settings=settings)
    alive = [one for one in place.rows("users") if one.get("__deleted_at") is None]
    assert sorted((one["id"][-1], one["v"]) for one in alive) == [("x", 3), ("y", 2)]


@pytest.mark.parametrize("method", ["upsert", "history"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_versions_of_long_keys(place, run, method, snapshot):
    place.need("history")
    if method == "upsert":
        run(SHORT)
    settings = {"load_method": "history", "max_delete_share": 1}
    long = key(3000, "x")
    run(SHORT, settings=settings)
    run([row("a", 5), row(long, 1), row(key(3000, "y"), 1)], settings=settings, replace=snapshot)
    run([row(long, 2), row("a", 5)], settings=settings, replace=snapshot)
    found = sorted((one["id"][-1], one["v"], one["__valid_to"] is None) for one in place.rows("users"))
    assert found == [
        ("a", 1, False),
        ("a", 5, True),
        ("b", 2, not snapshot),
        ("x", 1, False),
        ("x", 2, True),
        ("y", 1, not snapshot),
    ]


def test_a_table_with_long_keys_may_begin_to_keep_history(place, run):
    place.need("history")
    run([row(key(3000, "x"), 1), *SHORT])
    run([row(key(3000, "x"), 2)], settings={"load_method": "history"})
    found = sorted((one["id"][-1], one["v"], one["__valid_to"] is None) for one in place.rows("users"))
    assert found == [("a", 1, True), ("b", 2, True), ("x", 1, False), ("x", 2, True)]


def test_history_may_begin_with_the_first_long_key(place, run):
    place.need("history")
    run(SHORT)
    run([row(key(3000, "x"), 2), row("a", 3)], settings={"load_method": "history"})
    run([row(key(3000, "x"), 4)], settings={"load_method": "history"})
    found = sorted((one["id"][-1], one["v"], one["__valid_to"] is None) for one in place.rows("users"))
    assert found == [("a", 1, False), ("a", 3, True), ("b", 2, True), ("x", 2, False), ("x", 4, True)]


def test_a_long_key_grows_beside_a_number_that_becomes_a_fraction(place, run):
    run([row(key(3000), 1), row(key(3000), 2, part=2)])
    wider = COLUMNS.set(1, pa.field("part", pa.decimal128(12, 2)))
    run([row(key(3000), 3, part=Decimal(2)), row(key(3000), 4, part=Decimal("2.50"))], columns=wider)
    assert sorted((str(one["part"]), one["v"]) for one in place.rows("users")) == [
        ("1.00", 1),
        ("2.00", 3),
        ("2.50", 4),
    ]


@pytest.mark.parametrize("commits", [1, 2])
def test_a_replaced_stream_may_have_other_short_keys(place, run, commits):
    run(SHORT)
    run(*[[row("a", 3), row("b", 4)]] * commits, keys=("v",), replace=True)
    run([row("c", 4)], keys=("v",))
    assert held(place) == [((1, "a", 1), 3), ((1, "c", 1), 4)]

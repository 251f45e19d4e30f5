"""Types, cell by cell of docs/reference/types.md: what becomes of a column, and of the values that stand in it."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from headwater.base.errors import InputError
from headwater.connect import types
from headwater.connect.contract import Rows, Schema

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("reference_tables", ROOT / "scripts" / "reference_tables.py")
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)

TITLES = {"duckdb": "DuckDB", "postgres": "PostgreSQL", "mysql": "MariaDB", "parquet": "Parquet"}
# Of each kind some values that every wider type holds, and some that only text is sure to hold.
VALUES = {
    "bool": ([True, False, None], []),
    "int64": ([0, -1, 99_999_999, None], [2**53 + 1, -(2**63), 2**63 - 1]),
    "decimal(10,2)": ([Decimal("1.50"), Decimal("-0.25"), None], [Decimal("99999999.99"), Decimal("0.10")]),
    "decimal(38,9)": ([Decimal("1.500000000"), None], [Decimal("12345678901234567890.123456789")]),
    "float64": ([0.5, -1.25, 0.0, None], [1e300, 0.1 + 0.2, 5e-324, 2.0**53]),
    "string": (["", "5", "NULL", "\\N", "tab\tline\n", "😈", None], []),
    "json": (['{"a":1}', "[1,2]", '"x"', "5", None], []),
    "binary": ([b"\x00\xff", b"", None], []),
    "date": ([dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29), None], []),
    "time": ([dt.time(0, 0), dt.time(23, 59, 59, 999999), None], []),
    "timestamp": (
        [
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC),
            dt.datetime(1969, 12, 31, 23, 59, 59, 1, dt.UTC),
            None,
        ],
        [],
    ),
}
KINDS = list(VALUES)
# Which of the two values of the old kind and of the new one meet.
MEETINGS = (("plain", 0, 0), ("old is large", 1, 0), ("new is large", 0, 1))


def published():
    """What a column of one kind becomes when another comes, as the page says."""
    text = (ROOT / "docs/reference/types.md").read_text().partition("## From column to column")[2].partition("## ")[0]
    head, _, *rows = [re.split(r" *\| *", line.strip("| ")) for line in text.split("\n") if line.startswith("|")]
    head = [cell.strip("`") for cell in head if cell]
    return {(row[0].strip("`"), new): cell for row in rows for new, cell in zip(head, row[1:], strict=True)}


PAGE = published()


@pytest.fixture
def title(place):
    name = TITLES.get(place.kind)
    if name is None:
        pytest.skip("has no types")
    return name


def load(session, stream, kind, values, *, keys=()):
    field = tables.KINDS[kind]
    columns = pa.schema([pa.field("n", types.INT64), field] if not keys else [field, pa.field("n", types.INT64)])
    session.prepare(Schema(stream=stream, columns=columns, keys=keys))
    arrays = {"n": pa.array(range(len(values)), types.INT64), "v": pa.array(values, field.type)}
    batch = pa.RecordBatch.from_arrays([arrays[name] for name in columns.names], schema=columns)
    session.stage(Rows(stream=stream, batch=batch))


def reached(old, new, olds, news):
    """The kind of field the column has afterwards: that of the page, or text when a value does not survive it."""
    field = tables.reached(old, new)
    for kind, values in ((old, olds), (new, news)):
        try:
            types.cast(pa.array(values, tables.KINDS[kind].type), field.type)
        except pa.ArrowInvalid:
            return pa.field("v", types.STRING)
    return field


def seen(values, kind, field):
    """The values as they must stand in a column of that field."""
    found = types.cast(pa.array(values, tables.KINDS[kind].type), field.type).to_pylist()
    return [comparable(value, kind) for value in found]


def comparable(value, kind):
    """JSON by its content, and what was a double by its number: databases spell both their own way."""
    if value is None or kind not in ("json", "float64"):
        return value
    if kind == "json":
        return value if not isinstance(value, str) else loaded(value)
    return float(value)


def loaded(text):
    try:
        return json.loads(text)
    except ValueError:  # PostgreSQL's driver has read the JSON already
        return text


@pytest.mark.parametrize("old", KINDS)
def test_what_becomes_of_a_column(place, title, old):
    meetings = [
        (f"{new} {how}", new, VALUES[old][at_old], VALUES[new][at_new])
        for new in KINDS
        for how, at_old, at_new in MEETINGS
        if PAGE[old, new] != "×" and VALUES[old][at_old] and VALUES[new][at_new]
    ]
    session = place.open()
    for stream, _, olds, _ in meetings:
        load(session, stream, old, olds)
    session.commit(None, final=True)
    session.close()
    session = place.open("run-2")
    for stream, new, _, news in meetings:
        load(session, stream, new, news)
    session.commit(None, final=True)
    wrong = []
    for stream, new, olds, news in meetings:
        # Files that are there keep their types and values.
        field = reached(old, new, [] if title == "Parquet" else olds, news)
        shape = {source: sql for source, _, sql in place.shape(stream)}
        if shape["v"] != tables.sql_types(field)[title]:
            wrong.append((stream, shape["v"], tables.sql_types(field)[title]))
        rows = [row["v"] for row in place.rows(stream)]
        want_old = [comparable(v, old) for v in olds] if title == "Parquet" else seen(olds, old, field)
        want_new = seen(news, new, field)
        if not same([comparable(v, old) for v in rows[: len(olds)]], want_old):
            wrong.append((stream, rows[: len(olds)], want_old))
        if not same([comparable(v, new) for v in rows[len(olds) :]], want_new):
            wrong.append((stream, rows[len(olds) :], want_new))
    assert wrong == []


def same(found, wanted):
    """In any order: a table has none."""
    key = lambda value: (value is None, str(type(value)), str(value))  # noqa: E731 - one line says it all
    return sorted(found, key=key) == sorted(wanted, key=key) or sorted(map(str, found)) == sorted(map(str, wanted))


@pytest.mark.parametrize("old", KINDS)
def test_what_is_refused_leaves_the_column_alone(place, title, old):
    refused = [new for new in KINDS if PAGE[old, new] == "×"]
    session = place.open()
    load(session, "s", old, VALUES[old][0])
    session.commit(b"1", final=True)
    before = place.shape("s"), place.rows("s")
    session.close()
    for new in refused:
        session = place.open("run-2")
        with pytest.raises(InputError) as caught:
            load(session, "s", new, VALUES[new][0])
        assert caught.value.reference == "unsupported-change"
        session.close()
    assert (place.shape("s"), place.rows("s")) == before


KEYS = [
    ("int64", "decimal(10,2)", [5, -1], [Decimal("5.00"), Decimal("1.50")], 3),
    ("int64", "string", [5, -1], ["5", "x"], 3),
    ("bool", "string", [True, False], ["true", "x"], 3),
    ("decimal(10,2)", "decimal(38,9)", [Decimal("1.50")], [Decimal("1.500000000"), Decimal("1.500000001")], 2),
    ("decimal(10,2)", "string", [Decimal("1.50")], ["1.50", "1.5"], 2),
    ("date", "timestamp", [dt.date(2024, 1, 31)], [dt.datetime(2024, 1, 31, tzinfo=dt.UTC)], 1),
    ("date", "string", [dt.date(2024, 1, 31)], ["2024-01-31", "2024-1-31"], 2),
    ("time", "string", [dt.time(1, 2, 3)], ["01:02:03.000000", "1:2:3"], 2),
    ("timestamp", "string", [dt.datetime(2024, 1, 31, 10, tzinfo=dt.UTC)], ["2024-01-31T10:00:00.000000Z", "x"], 2),
]


@pytest.mark.parametrize(("old", "new", "olds", "news", "count"), KEYS)
def test_a_key_that_grows_still_finds_its_rows(place, title, old, new, olds, news, count):
    place.need("upsert")
    for run, kind, values in (("run-1", old, olds), ("run-2", new, news)):
        session = place.open(run)
        load(session, "s", kind, values, keys=("v",))
        session.commit(None, final=True)
        session.close()
    rows = place.rows("s")
    assert len(rows) == count
    field = tables.reached(old, new)
    wanted = dict(zip(seen(olds, old, field), range(len(olds)), strict=True))
    wanted |= dict(zip(seen(news, new, field), range(len(news)), strict=True))
    assert {row["v"]: row["n"] for row in rows} == wanted


def test_the_page_has_every_pair_of_kinds():
    assert set(PAGE) == {(old, new) for old in KINDS for new in KINDS}

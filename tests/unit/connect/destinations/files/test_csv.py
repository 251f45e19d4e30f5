from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from headwater.base.errors import InputError
from headwater.connect.contract import JSON_FIELD

COLUMNS = [
    ("id", pa.int64()),
    ("price", pa.decimal128(38, 9)),
    ("at", pa.timestamp("us", "UTC")),
    pa.field("tags", pa.string(), metadata=JSON_FIELD),
    ("note", pa.string()),
    ("raw", pa.binary()),
]
ROW = {
    "id": -1,
    "price": Decimal("12345678901234567890.100000000"),
    "at": dt.datetime(2024, 5, 31, 23, 59, 0, 5, dt.UTC),
    "tags": '{"a":1.0}',
    "note": 'say "hi", then\nleave',
    "raw": b"\xff",
}


def lines(files):
    """Without the time of the load."""
    (path,) = files().values()
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [
        line.rpartition(text[text.index("__loaded_at") - 1])[0] if "Z" in line[-2:] else line
        for line in text.split("\n")
    ]


def test_every_value_stands_as_its_exact_text(load, files):
    load("csv", {}, COLUMNS, [ROW, dict.fromkeys(ROW), {**ROW, "note": ""}])
    assert lines(files) == [
        "id,price,at,tags,note,raw,__loaded_at",
        '-1,12345678901234567890.100000000,2024-05-31T23:59:00.000005Z,"{""a"":1.0}","say ""hi"", then',
        'leave",/w==',
        ",,,,,",
        '-1,12345678901234567890.100000000,2024-05-31T23:59:00.000005Z,"{""a"":1.0}","",/w==',
        "",
    ]


def test_duckdb_tells_nothing_from_an_empty_text(load, files):
    load("csv", {}, [("v", pa.string())], [{"v": "x"}, {"v": ""}, {"v": None}])
    (path,) = files().values()
    query = f"select v from read_csv('{path}', header = true, allow_quoted_nulls = false)"
    assert duckdb.sql(query).fetchall() == [("x",), ("",), (None,)]


TEXTS = ["=cmd()", "+1", "-1", "@x", "a=b", "1-1", "", None]


@pytest.mark.parametrize(
    ("escape", "found"),
    [(False, ["=cmd()", "+1", "-1", "@x"]), (True, ["'=cmd()", "'+1", "'-1", "'@x"])],
)
def test_98_formulas_are_escaped_when_that_is_asked_for(load, files, escape, found):
    columns = [("n", pa.int64()), ("v", pa.string())]
    load("csv", {"escape_formulas": escape}, columns, [{"n": -5, "v": text} for text in TEXTS])
    assert lines(files)[1:-1] == [f"-5,{text}" for text in [*found, "a=b", "1-1", '""', ""]]


def test_other_signs(load, files):
    load("csv", {"delimiter": ";", "quotechar": "'"}, [("a;b", pa.string())], [{"a;b": "it's;"}, {"a;b": '","'}])
    assert lines(files) == ["'a;b';__loaded_at", "'it''s;'", '","', ""]


@pytest.mark.parametrize("given", [{"delimiter": "."}, {"delimiter": ";;"}, {"delimiter": '"'}, {"quotechar": "e"}])
def test_a_sign_that_values_have_is_refused(load, given):
    with pytest.raises(InputError) as caught:
        load("csv", given, [("v", pa.string())], [])
    assert caught.value.reference == "bad-delimiter"


def test_gzip_and_a_mark_for_spreadsheets(load, files):
    load("csv", {"compression": "gzip", "encoding": "utf-8-sig"}, [("v", pa.string())], [{"v": "é"}])
    assert list(files()) == ["shop.run-1.000001.csv.gz"]
    assert lines(files) == ["\ufeffv,__loaded_at", "é", ""]


@pytest.mark.parametrize(("behaviour", "count"), [("replace_file", 1), ("append_records", 2)])
def test_the_words_of_other_variants(load, files, behaviour, count):
    for run in ("run-1", "run-2"):
        given = {"overwrite_behavior": behaviour, "file_naming_scheme": "{stream_name}.csv"}
        load("csv", given, [("v", pa.string())], [{"v": "x"}], run_id=run)
    assert len(files()) == count

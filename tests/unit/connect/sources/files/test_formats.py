"""JSON arrays, sheets, XML and fixed widths: what becomes of them, and what is said of broken ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import ReadRequest, Rejected, Rows, Schema
from headwater.connect.sources import files
from headwater.connect.sources.files import json_arrays, xml
from headwater.connect.sources.files.settings import Position, StreamSettings


class Found(NamedTuple):
    rows: list[dict[str, Any]]
    types: dict[str, str]
    rejects: list[tuple[bytes, str]]


def read(path: Path, name: str, content: str | bytes | None = None, *, aside: bool = False, **settings: Any) -> Found:
    if content is not None:
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    given = files.Settings(path=name, root=str(path), **settings)
    request = ReadRequest(
        catalog=files.discover(given), state=None, folder=path, on_bad_record="quarantine" if aside else "fail"
    )
    messages = list(files.read(given, request))
    return Found(
        [row for one in messages if isinstance(one, Rows) for row in one.batch.to_pylist()],
        {field.name: str(field.type) for one in messages if isinstance(one, Schema) for field in one.columns},
        [(one.record, one.reason) for one in messages if isinstance(one, Rejected)],
    )


def fault(path: Path, name: str, content: str | bytes | None = None, **settings: Any) -> str:
    with pytest.raises(HeadwaterError) as caught:
        read(path, name, content, **settings)
    error = caught.value
    return f"{error.where and error.where.line} {error.what}: {error.why}"


def test_a_json_array_is_rows_and_nested_objects_are_columns(tmp_path: Path) -> None:
    text = '[{"id":1,"a":{\n"b":1.50}},\n {"id":2,"x":[1,{"y":"]}"}],"t":"a\\"]}{["}\n]\n'
    assert read(tmp_path, "t.json", text).rows == [
        {"id": 1, "a__b": 1.5, "x": None, "t": None},
        {"id": 2, "a__b": None, "x": '[1,{"y":"]}"}]', "t": 'a"]}{['},
    ]


def test_the_array_may_lie_deeper_and_one_object_is_one_row(tmp_path: Path) -> None:
    text = '{"meta":{"items":[[1],"}"]},"data":{"n":{},"items":[{"id":1},{"id":2}],"z":1}}'
    assert read(tmp_path, "t.json", text, records="data.items").rows == [{"id": 1}, {"id": 2}]
    assert read(tmp_path, "t.json", '{"id":1}').rows == [{"id": 1}]
    assert "has no array `data.rows`" in fault(tmp_path, "t.json", text, records="data.rows")


@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_where_an_array_is_cut_makes_no_difference(tmp_path: Path, monkeypatch: Any, block: int) -> None:
    monkeypatch.setattr(json_arrays, "_BLOCK", block)
    body = ", ".join(f'{{"id": {n}, "t": "\\\\\\"}}]{{[,{n}", "o": {{"p": [{{}}, [{n}]]}}}}' for n in range(200))
    rows = read(tmp_path, "t.json", f"  [{body}]\n").rows
    assert [row["id"] for row in rows] == list(range(200))
    assert rows[7] == {"id": 7, "t": '\\"}]{[,7', "o__p": "[{}, [7]]"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a":1},\n{"a":,}]', "2 `t.json` has a line that cannot be read: JSON is malformed: invalid character"),
        ('[{"a":1}', "1 `t.json` has a line that cannot be read: the array does not end"),
        ('[{"a":1}] [', "1 `t.json` has a line that cannot be read: something stands behind the array"),
        ('[{"a":1}}', "1 `t.json` has a line that cannot be read: an array ends with `}`"),
        ("[1,2]", "1 `t.json` has a line that cannot be read: Expected `object`, got `int` - at `$[0]`"),
    ],
)
def test_a_broken_array_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert fault(tmp_path, "t.json", text) == said


def test_cells_come_as_what_they_hold(tmp_path: Path, workbook: Any) -> None:
    noon = dt.datetime(2024, 1, 31, 10, 5)  # noqa: DTZ001 - sheets know no zones
    workbook(
        tmp_path / "t.xlsx",
        [
            ["id", "price", "born", "at", "ok", "sum", "code", "note"],
            [1, 1.5, dt.date(2024, 1, 31), noon, True, ("A2*2", 2), "007", None],
            [None] * 8,
            [2**53, 2, None, None, False, ("A3*2", 4), "x", ("error", "#N/A")],
        ],
    )
    found = read(tmp_path, "t.xlsx", null_values=["#N/A"])
    assert found.types == {
        "id": "int64",
        "price": "double",
        "born": "date32[day]",
        "at": "timestamp[us, tz=UTC]",
        "ok": "bool",
        "sum": "int64",
        "code": "string",
        "note": "string",
    }
    at = dt.datetime(2024, 1, 31, 10, 5, tzinfo=dt.UTC)
    assert list(found.rows[0].values()) == [1, 1.5, dt.date(2024, 1, 31), at, True, 2, "007", None]
    assert list(found.rows[1].values()) == [2**53, 2.0, None, None, False, 4, "x", None]


def test_a_sheet_is_chosen_and_lines_above_its_header_are_skipped(tmp_path: Path, workbook: Any) -> None:
    sheets = {"Totals": [["Report of 2024"], [], ["a", "a", None], [1, 2, 3]]}
    workbook(tmp_path / "t.xlsx", [["x"], [1]], **sheets)
    rows = [{"a": 1, "a_2": 2, "column_3": 3}]
    assert read(tmp_path, "t.xlsx", sheet="Totals", skip_lines=1).rows == rows
    assert read(tmp_path, "t.xlsx", sheet="2", skip_lines=1).rows == rows
    assert read(tmp_path, "t.xlsx", header=False).rows == [{"column_1": "x"}, {"column_1": "1"}]
    assert fault(tmp_path, "t.xlsx", sheet="Total").endswith("`t.xlsx` has no sheet `Total`: None")


def test_a_merged_cell_has_its_value_once(tmp_path: Path, workbook: Any) -> None:
    workbook(tmp_path / "t.xlsx", [["a", "b"], ["x", 1], [None, 2]], merged="A2:A3")
    assert read(tmp_path, "t.xlsx").rows == [{"a": "x", "b": 1}, {"a": None, "b": 2}]


def test_what_is_no_workbook_is_named(tmp_path: Path, workbook: Callable[..., None]) -> None:
    assert "is not a workbook that can be read" in fault(tmp_path, "t.xlsx", b"nope")
    workbook(tmp_path / "t.xlsx", [["x"], *[["y" * 1000]] * 1000])
    assert "unpacks to more than" in fault(tmp_path, "t.xlsx", max_unpacked_bytes=1000)


XML = """<?xml version="1.0"?>
<shop xmlns="urn:x" xmlns:g="urn:g">
  <other><item id="9"/></other>
  <item id="1" g:kind="k"><name> Ada </name><price currency="EUR">1.5</price><tag>x</tag></item>
  <item id="2"><name/><price currency="USD">2</price><tag>x</tag><tag k="1">y</tag><at><day>2024-01-31</day></at></item>
</shop>"""


def test_attributes_and_children_are_columns_and_repeated_children_arrays(tmp_path: Path) -> None:
    found = read(tmp_path, "t.xml", XML, records="shop/item")
    assert found.rows == [
        {
            "id": 1,
            "kind": "k",
            "name": "Ada",
            "price__currency": "EUR",
            "price": 1.5,
            "tag": '["x"]',
            "at__day": None,
        },
        {
            "id": 2,
            "kind": None,
            "name": None,
            "price__currency": "USD",
            "price": 2.0,
            "tag": '["x",{"k":"1","tag":"y"}]',
            "at__day": dt.date(2024, 1, 31),
        },
    ]


@pytest.mark.parametrize("block", [11, 100])
def test_records_of_several_parents_come_in_order_wherever_the_file_is_cut(
    tmp_path: Path, monkeypatch: Any, block: int
) -> None:
    monkeypatch.setattr(xml, "_BLOCK", block)
    groups = [f"<x/><i>{n}</i><i>{n + 1}</i>{'<z><i>9</i></z>' * (n % 4)}" for n in range(0, 100, 2)]
    text = "<r>" + "".join(f"<g>{group}</g><y>\n</y>" for group in groups) + "</r>"
    assert [row["i"] for row in read(tmp_path, "t.xml", text, records="r/g/i").rows] == list(range(100))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<!DOCTYPE r [<!ENTITY a "aa">]><r><i>&a;</i></r>', "declares the entity `a`"),
        ('<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r><i>&a;</i></r>', "declares the entity `a`"),
        ('<!DOCTYPE r [<!ENTITY % a SYSTEM "http://127.0.0.1/x.dtd"> %a;]><r><i/></r>', "declares the entity `a`"),
        ('<!DOCTYPE r SYSTEM "file:///etc/passwd"><r><i>&a;</i></r>', "undefined entity"),
        ("<r><i>1</i>", "no element found"),
        ("<q><i>1</i></q>", "the root of `t.xml` is `q`, not `r`"),
    ],
)
def test_entities_and_broken_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in fault(tmp_path, "t.xml", text, records="r/i")


def test_an_xml_file_says_its_encoding_itself(tmp_path: Path) -> None:
    for encoding in ("iso-8859-1", "utf-16", "windows-1252"):
        text = f'<?xml version="1.0" encoding="{encoding}"?><r><i><n>é</n></i></r>'
        assert read(tmp_path, "t.xml", text.encode(encoding), records="r/i").rows == [{"n": "é"}]


PLACES = [Position(name="id", start=1, width=3), Position(name="name", start=5, width=5)]


def test_fixed_widths_count_characters_and_blanks_are_null(tmp_path: Path) -> None:
    text = "  1 Zoë__\r\n 20      \n\n300 défghij\n"
    rows = [{"id": 1, "name": "Zoë__"}, {"id": 20, "name": None}, {"id": 300, "name": "défgh"}]
    for encoding in ("utf-8", "latin-1", "utf-16"):
        content = text.encode(encoding)
        assert read(tmp_path, "t.txt", content, format="fixed", positions=PLACES, encoding=encoding).rows == rows


def test_a_line_that_is_too_short_is_named_or_set_aside(tmp_path: Path) -> None:
    text = "  1 Zoë\n12\n  3 Ada\n"
    why = "the line has 2 characters, its last column begins at 5"
    assert fault(tmp_path, "t.txt", text, format="fixed", positions=PLACES) == (
        f"2 `t.txt` has a line that cannot be read: {why}"
    )
    found = read(tmp_path, "t.txt", text, format="fixed", positions=PLACES, aside=True)
    assert [row["id"] for row in found.rows] == [1, 3]
    assert found.rejects == [(b"12", f"t.txt:2: {why}")]


def test_zstd_is_unpacked_and_a_cut_file_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    with pa.CompressedOutputStream(str(tmp_path / "t.csv.zst"), "zstd") as packed:
        packed.write(b"a,b\n1,2\n")
    assert read(tmp_path, "t.csv.zst").rows == [{"a": 1, "b": 2}]
    whole = (tmp_path / "t.csv.zst").read_bytes()
    assert "cannot be unpacked" in fault(tmp_path, "t.csv.zst", whole[:-3])


def test_numbers_and_dates_are_read_as_they_are_written(tmp_path: Path) -> None:
    text = "a;b;d;t\n1,5;-2;31.01.2024;1.2.2024 7:05\n;3;1.2.2024;\n"
    settings = {"delimiter": ";", "decimal": ",", "date_format": "%d.%m.%Y", "timestamp_format": "%d.%m.%Y %H:%M"}
    at = dt.datetime(2024, 2, 1, 7, 5, tzinfo=dt.UTC)
    assert read(tmp_path, "t.csv", text, **settings).rows == [
        {"a": 1.5, "b": -2, "d": dt.date(2024, 1, 31), "t": at},
        {"a": None, "b": 3, "d": dt.date(2024, 2, 1), "t": None},
    ]


@pytest.mark.parametrize("value", ["30.02.2024", "2024-01-31", "31.01.24", "31.01.2024 ", "1.234"])
def test_what_is_written_in_another_form_stays_text(tmp_path: Path, value: str) -> None:
    found = read(tmp_path, "t.csv", f"a;b\n{value};1\n", delimiter=";", decimal=",", date_format="%d.%m.%Y")
    assert found.rows == [{"a": value, "b": 1}]


def test_comments_and_first_lines_are_left_out_but_not_inside_quotes(tmp_path: Path) -> None:
    text = 'made by hand\n# c,c,c\na,b\n1,"x\n# no"\n#2,3\n# "\n4,5\n'
    assert read(tmp_path, "t.csv", text, comment="#", skip_lines=1).rows == [
        {"a": 1, "b": "x\n# no"},
        {"a": 4, "b": "5"},
    ]
    assert fault(tmp_path, "t.csv", text + "6\n", comment="#", skip_lines=1).startswith("9 ")


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        (b"a,b\n1,\xe9\n", "utf-8", "2 `t.csv` is not utf-8: byte 0xe9 at column 3"),
        (b"a,b\n1,2\n\xc3\xa9,\xff\n", "utf-8", "3 `t.csv` is not utf-8: byte 0xff at column 3"),
        (b"a,b\n1,\x81\n", "cp1252", "2 `t.csv` is not cp1252: byte 0x81 at column 3"),
    ],
)
def test_a_wrong_byte_is_named_with_line_and_column(tmp_path: Path, content: bytes, encoding: str, said: str) -> None:
    assert fault(tmp_path, "t.csv", content, encoding=encoding) == said


def test_rows_that_cannot_be_read_are_set_aside_with_file_and_line(tmp_path: Path) -> None:
    text = 'a,b\n1,2\n3\n"4\n4",5,6\n7,8\n9\n'
    found = read(tmp_path, "t.csv", text, aside=True)
    assert found.rows == [{"a": 1, "b": 2}, {"a": 7, "b": 8}]
    assert found.rejects == [
        (b"3", "t.csv:3: 1 fields instead of 2"),
        (b'"4\n4",5,6', "t.csv:4: 3 fields instead of 2"),
        (b"9", "t.csv:7: 1 fields instead of 2"),
    ]
    lines = read(tmp_path, "t.jsonl", '{"a":1}\n{oops\n{"a":2}\n', aside=True)
    assert lines.rows == [{"a": 1}, {"a": 2}]
    assert [(record, reason.partition(" (")[0]) for record, reason in lines.rejects] == [
        (b"{oops", "t.jsonl:2: JSON is malformed: object keys must be strings")
    ]


def test_what_was_set_aside_is_told_once_however_often_a_read_is_cut(tmp_path: Path) -> None:
    lines = [f"{n},x" if n % 50 else f"{n}" for n in range(1000)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *lines, ""]))
    settings = files.Settings(path="t.csv", root=str(tmp_path))
    catalog, state = files.discover(settings), None
    rows: list[int] = []
    told: list[str] = []
    for _ in range(100):
        asked = iter([False, False, *[True] * 99])
        request = ReadRequest(
            catalog=catalog,
            state=state,
            folder=tmp_path,
            batch_bytes=500,
            on_bad_record="quarantine",
            should_stop=asked.__next__,
        )
        for message in files.read(settings, request):
            if isinstance(message, Rows):
                rows += message.batch["a"].to_pylist()
            elif isinstance(message, Rejected):
                told.append(message.record.decode())
            elif not isinstance(message, Schema):
                state = message.state
    assert rows == [n for n in range(1000) if n % 50]
    assert told == [str(n) for n in range(0, 1000, 50)]


def test_a_stream_whose_files_show_no_column_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.xml").write_text("<r><i><n>1</n></i></r>")
    both = [StreamSettings(name=name, path="t.xml", records=f"r/{name}") for name in ("i", "j")]
    given = files.Settings(root=str(tmp_path), streams=both)
    lines: list[str] = []
    request = ReadRequest(catalog=files.discover(given), state=None, folder=tmp_path, on_line=lines.append)
    assert {one.stream for one in files.read(given, request) if isinstance(one, Rows)} == {"i"}
    assert lines == ["stream j is not in the catalog, as none is whose files show no column at r/j"]


def test_a_file_that_begins_as_utf_16_does_is_said_to_be_that(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError) as caught:
        read(tmp_path, "t.csv", "a,b\n1,é\n".encode("utf-16"))
    assert caught.value.hint == "set `encoding` to `utf-16`"

from __future__ import annotations

import gzip
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import files


def rows(path: Path, text: str | bytes, *, batch_bytes: int = 1 << 20, **settings: Any) -> list[dict[str, Any]]:
    path = path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    given = files.Settings(path="t.csv", root=str(path.parent), **settings)
    request = ReadRequest(catalog=files.discover(given), state=None, folder=path.parent, batch_bytes=batch_bytes)
    return [row for m in files.read(given, request) if isinstance(m, Rows) for row in m.batch.to_pylist()]


def fault(path: Path, text: str | bytes, **settings: Any) -> str:
    with pytest.raises(HeadwaterError) as caught:
        rows(path, text, **settings)
    error = caught.value
    return f"{error.where and Path(error.where.file).name}:{error.where and error.where.line} {error.what}: {error.why}"


def test_an_empty_field_is_null_and_a_quoted_one_is_an_empty_text(tmp_path: Path) -> None:
    assert rows(tmp_path, 'a,b\n1,\n2,""\n') == [{"a": 1, "b": None}, {"a": 2, "b": ""}]


def test_null_values_count_unquoted_only(tmp_path: Path) -> None:
    assert rows(tmp_path, 'a,b\nNA,NA\n1,"NA"\n', null_values=["NA"]) == [{"a": None, "b": None}, {"a": 1, "b": "NA"}]


def test_na_is_a_text_unless_it_is_said_to_be_null(tmp_path: Path) -> None:
    assert rows(tmp_path, "a\nNA\n1\n") == [{"a": "NA"}, {"a": "1"}]


def test_quotes_line_breaks_and_delimiters_survive_inside_quotes(tmp_path: Path) -> None:
    assert rows(tmp_path, 'a,"b\nc"\n1,"x, ""y""\r\nz"\n') == [{"a": 1, "b\nc": 'x, "y"\r\nz'}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_one(tmp_path: Path, end: str) -> None:
    assert rows(tmp_path, f"a,b{end}1,2{end}{end}3,4") == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert rows(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n") == [{"a": 1, "b": 2}]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_other_encodings_are_read_when_named(tmp_path: Path, encoding: str) -> None:
    text = "näme,b\n" + "é,ü\n" * 2000
    assert rows(tmp_path, text.encode(encoding), encoding=encoding)[-1] == {"näme": "é", "b": "ü"}


def test_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    assert fault(tmp_path, b"a,b\n1,2\n3,\xff\n").startswith("t.csv:3 `t.csv` is not utf-8")


def test_a_short_row_names_its_line_and_text(tmp_path: Path) -> None:
    assert fault(tmp_path, 'a,b\n"1\n1",2\n\n3\n') == (
        "t.csv:5 `t.csv` has a row that cannot be read: 1 fields instead of 2: 3"
    )


def test_a_long_row_far_behind_names_its_line(tmp_path: Path) -> None:
    text = "a,b\n" + "1,2\n" * 3_000_000 + "1,2,3\n"
    assert fault(tmp_path, text).endswith("3 fields instead of 2: 1,2,3")


def test_an_open_quote_never_swallows_the_rest(tmp_path: Path) -> None:
    assert "quote is left open" in fault(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n')


def test_text_behind_a_closing_quote_is_refused(tmp_path: Path) -> None:
    assert fault(tmp_path, 'a,b\n1,2\n3,"x"y\n').startswith("t.csv:3 `t.csv` has a row that cannot be read")


def test_a_quote_inside_an_unquoted_text_is_that_character(tmp_path: Path) -> None:
    assert rows(tmp_path, 'a,b\n1,5"6\n') == [{"a": 1, "b": '5"6'}]


def test_quoting_can_be_off_and_an_escape_on(tmp_path: Path) -> None:
    assert rows(tmp_path, 'a,b\n1,"x\n', quote="") == [{"a": 1, "b": '"x'}]
    assert rows(tmp_path, 'a,b\n1,"x\\"y"\n', escape="\\") == [{"a": 1, "b": 'x"y'}]


def test_columns_without_a_header_are_numbered_or_named(tmp_path: Path) -> None:
    assert rows(tmp_path, "1,2\n", header=False) == [{"column_1": 1, "column_2": 2}]
    assert rows(tmp_path, "1,2\n", header=False, columns=["x", "y"]) == [{"x": 1, "y": 2}]
    assert rows(tmp_path, "a,b\n1,2\n", columns=["x", "y"]) == [{"x": 1, "y": 2}]


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,a,,a_2\n1,2,3,4\n") == [{"a": 1, "a_3": 2, "column_3": 3, "a_2": 4}]


def test_an_empty_file_is_refused_unless_optional(tmp_path: Path) -> None:
    assert "is empty" in fault(tmp_path, "")
    assert rows(tmp_path, "", optional=True) == []


def test_a_row_longer_than_a_block_is_read(tmp_path: Path) -> None:
    long = "x" * 9_000_000
    assert rows(tmp_path, f"a,b\n1,2\n2,{long}\n3,4\n", batch_bytes=1000) == [
        {"a": 1, "b": "2"},
        {"a": 2, "b": long},
        {"a": 3, "b": "4"},
    ]


@pytest.mark.parametrize("seed", range(8))
def test_any_text_comes_back_as_it_was(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - test data
    parts = ["a", "1", ",", '""', "\n", "\r\n", "é", "😈", "\\", "\t", "\u2028", "null", "NaN", " ", "0"]
    texts = ["".join(chance.choices(parts, k=chance.randint(0, 6))) for _ in range(3000)]
    body = "".join(f'{n},"{text}"\n' for n, text in enumerate(texts))
    got = rows(tmp_path, "id,text\n" + body, batch_bytes=chance.choice([4096, 50_000, 1 << 20]))
    assert [row["text"] for row in got] == [text.replace('""', '"') for text in texts]


def test_a_zip_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", "a\n" + "1\n" * 100_000)
    with pytest.raises(HeadwaterError, match="unpacks to more than"):
        files.discover(files.Settings(path="*.zip", root=str(tmp_path), max_unpacked_bytes=100_000))


def test_a_cut_gzip_file_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * 7919) for n in range(50_000)))
    (tmp_path / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(HeadwaterError, match="cannot be unpacked"):
        files.discover(files.Settings(path="*.gz", root=str(tmp_path)))

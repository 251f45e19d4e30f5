"""Blocks on threads give what one row after the other gives: the same rows, the same errors, the same set aside."""

from __future__ import annotations

import random

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import ReadRequest, Rejected, Rows
from headwater.connect.sources import files
from headwater.connect.sources.files import csv, csv_blocks
from headwater.connect.sources.files.settings import Settings


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(csv, "_BLOCK", 200)
    monkeypatch.setattr(csv_blocks, "_SMALL", 100)  # most go to a thread
    monkeypatch.setattr(csv_blocks, "_LONGEST", 4000)


def told(root, *, once=False, on_bad="fail", **settings):
    """The rows and the rejects, or the error."""
    given = Settings(path="t.csv", root=str(root), **settings)
    try:
        request = ReadRequest(
            catalog=files.discover(given), state=None, folder=root, may_start_over=once, on_bad_record=on_bad
        )
        found = list(files.read(given, request))
    except HeadwaterError as error:
        return f"{error.where} {error.what} {error.why}"
    rows = [row for one in found if isinstance(one, Rows) for row in one.batch.to_pylist()]
    return rows, [(one.record, one.reason) for one in found if isinstance(one, Rejected)]


def row_by_row(*_arguments, **_named):
    raise csv_blocks.NotInBlocksError
    yield


PLAIN = ["a", "1", "2.5", "é", "", " ", "\ufeff", "null"]
QUOTED = ['"x"', '"x, y"', '"two\nlines"', '"two\r\nlines"', '""', '"say ""so"""', '"\n"', '",\n1,2\n"']
STRAY = ['5"', '5"6', '"x"y', 'x"y"z', '"']
ENDS = ["\n", "\r\n", "\r", "\n\n", "\n\r\n"]


@pytest.mark.parametrize("seed", range(60))
def test_any_file_is_read_as_it_is_row_by_row(tmp_path, monkeypatch, seed):
    dice = random.Random(seed)  # noqa: S311 - a seeded test
    fields = [*PLAIN, *(QUOTED if dice.random() < 0.8 else []), *(STRAY if dice.random() < 0.3 else [])]
    ends = dice.choice([["\n"], ["\r\n"], ["\r"], ENDS])
    oddness = dice.choice([0, 0, 0.01])

    def row(number):
        width = 3 if dice.random() >= oddness else dice.choice([2, 4])
        return ",".join([str(number), *dice.choices(fields, k=width - 1)]) + dice.choice(ends)

    text = "id,v,w\n" + "".join(map(row, range(dice.choice([3, 60, 400]))))
    (tmp_path / "t.csv").write_text(text.rstrip("\r\n") if dice.random() < 0.3 else text, newline="")
    on_bad = dice.choice(["fail", "quarantine"])
    found = told(tmp_path, on_bad=on_bad)
    monkeypatch.setattr(csv, "in_blocks", row_by_row)
    assert found == told(tmp_path, on_bad=on_bad)


def test_what_is_set_aside_is_told_from_its_block_with_its_line_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csv.faults, "_bad_rows", None)  # the slow look at the whole file
    lines = [f'{number},"a text\non two lines"' for number in range(300)]
    lines[200] = "200"
    lines[299] = "299,x,y"
    (tmp_path / "t.csv").write_text("\n".join(["id,v", *lines]))
    rows, rejects = told(tmp_path, on_bad="quarantine")
    assert [row["id"] for row in rows] == [*range(200), *range(201, 299)]
    assert rejects == [
        (b"200", "t.csv:402: 1 fields instead of 2"),
        (b"299,x,y", "t.csv:599: 3 fields instead of 2"),
    ]


def test_what_was_told_from_blocks_is_not_told_again_row_by_row(tmp_path):
    lines = [f"{number},x" for number in range(300)]
    lines[10] = "10"
    lines[250] = '250,5"'  # from here on the quotes say nothing of where rows end
    lines[290] = "290,x,y"
    (tmp_path / "t.csv").write_text("\n".join(["id,v", *lines]))
    rows, rejects = told(tmp_path, on_bad="quarantine")
    assert len(rows) == 298
    assert [record for record, _ in rejects] == [b"10", b"290,x,y"]


def test_blocks_that_do_not_end_with_a_row_are_never_taken(tmp_path):
    """An odd quote before makes the count of quotes believe that the line break inside of a text is outside."""
    body = "".join(f'{number},5"\n{number},"two\nlines"\n' for number in range(200))
    (tmp_path / "t.csv").write_text("id,v\n" + body)
    rows, _ = told(tmp_path)
    assert rows == [{"id": number, "v": text} for number in range(200) for text in ('5"', "two\nlines")]


@pytest.mark.parametrize("settings", [{"delimiter": " "}, {"delimiter": "e"}, {"quote": "'"}, {"delimiter": "\x1e"}])
def test_no_sign_of_a_dialect_is_in_the_end_mark(tmp_path, settings):
    delimiter, quote = settings.get("delimiter", ","), settings.get("quote", '"')
    (tmp_path / "t.csv").write_text(f"id{delimiter}v\n" + f"1{delimiter}{quote}x{delimiter}y{quote}\n" * 200)
    assert told(tmp_path, **settings) == ([{"id": 1, "v": f"x{delimiter}y"}] * 200, [])


def test_an_open_quote_that_takes_the_end_into_a_row_to_set_aside_is_told(tmp_path):
    (tmp_path / "t.csv").write_text('id,v\n1,x,y,"')
    assert told(tmp_path, on_bad="quarantine").endswith("a quote is left open at the end of the file")


def test_a_row_longer_than_a_block_is_read_with_the_next(tmp_path):
    text = "x\n" * 1500
    (tmp_path / "t.csv").write_text("id,v\n" + f'1,a\n2,"{text}"\n3,b\n' * 3)
    assert [len(row["v"]) for row in told(tmp_path)[0]] == [1, 3000, 1] * 3


def test_a_file_with_nothing_but_a_header_has_its_columns(tmp_path):
    (tmp_path / "t.csv").write_text("id,v\n")
    (stream,) = files.discover(Settings(path="t.csv", root=str(tmp_path))).streams
    assert list(stream.schema["properties"]) == ["id", "v"]

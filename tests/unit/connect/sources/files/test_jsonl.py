from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import ReadRequest, Rows, Schema
from headwater.connect.sources import files


def messages(path: Path, text: str, *, batch_bytes: int = 1 << 20, **settings: Any) -> list[Any]:
    (path / "t.jsonl").write_bytes(text.encode())
    given = files.Settings(path="*.jsonl", root=str(path), **settings)
    request = ReadRequest(catalog=files.discover(given), state=None, folder=path, batch_bytes=batch_bytes)
    return list(files.read(given, request))


def rows(path: Path, text: str, **settings: Any) -> list[dict[str, Any]]:
    return [row for m in messages(path, text, **settings) if isinstance(m, Rows) for row in m.batch.to_pylist()]


def types(path: Path, text: str) -> dict[str, str]:
    schema = next(m for m in messages(path, text) if isinstance(m, Schema))
    return {column.name: str(column.type) + (" json" if column.metadata else "") for column in schema.columns}


def test_numbers_are_exact(tmp_path: Path) -> None:
    text = '{"a":12345678901234567890.123456789,"b":9007199254740993,"c":1.10,"d":100000000000000000000}\n'
    assert rows(tmp_path, text) == [
        {
            "a": Decimal("12345678901234567890.123456789"),
            "b": 9007199254740993,
            "c": 1.1,
            "d": Decimal(100000000000000000000),
        }
    ]


def test_strings_stay_text_but_for_iso_dates_and_times(tmp_path: Path) -> None:
    assert types(tmp_path, '{"a":"1","b":"true","c":"2024-01-31","d":"2024-01-31T10:00:00Z","e":"null"}\n') == {
        "a": "string",
        "b": "string",
        "c": "date32[day]",
        "d": "timestamp[us, tz=UTC]",
        "e": "string",
    }


def test_objects_flatten_and_arrays_are_json(tmp_path: Path) -> None:
    text = '{"a":{"b":{"c":1}},"l":[1, {"x":2}],"e":{}}\n'
    assert rows(tmp_path, text) == [{"a__b__c": 1, "l": '[1, {"x":2}]', "e": "{}"}]
    assert types(tmp_path, text) == {"a__b__c": "int64", "l": "string json", "e": "string json"}


def test_an_object_in_one_row_and_a_number_in_another_are_two_columns(tmp_path: Path) -> None:
    assert rows(tmp_path, '{"a":{"b":1}}\n{"a":2}\n') == [{"a__b": 1, "a": None}, {"a__b": None, "a": 2}]


def test_mixed_values_are_kept_as_text(tmp_path: Path) -> None:
    assert [row["a"] for row in rows(tmp_path, '{"a":7}\n{"a":"x\\n"}\n{"a":true}\n{"a":[1]}\n{"a":null}\n')] == [
        "7",
        "x\n",
        "true",
        "[1]",
        None,
    ]


def test_a_missing_field_is_told_from_a_null(tmp_path: Path) -> None:
    found = messages(tmp_path, '{"id":1,"a":1,"b":1}\n{"id":2,"a":null}\n{"id":3}\n', keys={"t": ["id"]})
    [batch] = [m for m in found if isinstance(m, Rows)]
    assert batch.missing is not None
    assert batch.missing.to_pylist() == [None, ["b"], ["a", "b"]]


def test_two_fields_that_become_one_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError) as caught:
        rows(tmp_path, '{"a__b":1,"a":{"b":2}}\n')
    assert caught.value.why == "a row has two values for `a__b`: a field of that name and a nested one"


@pytest.mark.parametrize(
    "line", ["[1]", '{"a":', '{"a":1}{"a":2}', '{"a":NaN}', "null", '{"a":1}, ', '{"a":' + "[" * 9000]
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(RunFailedError) as caught:
        rows(tmp_path, '{"a":1}\n\n' + line + '\n{"a":2}\n')
    assert caught.value.where is not None
    assert caught.value.where.line == 3


def test_an_object_over_several_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError):
        rows(tmp_path, '{"a":\n1}\n{"a":2}\n')


@pytest.mark.parametrize("seed", range(5))
def test_any_text_comes_back_as_it_was(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - test data
    parts = ["a", '"', "\\", "\n", "\r", "é", "😈", "\u2028", "\x00", "null", "{", "["]
    texts = ["".join(chance.choices(parts, k=chance.randint(0, 6))) for _ in range(2000)]
    body = "\r\n".join(json.dumps({"t": text}, ensure_ascii=chance.random() < 0.5) for text in texts)
    assert [row["t"] for row in rows(tmp_path, body, batch_bytes=chance.choice([100, 5000, 1 << 20]))] == texts

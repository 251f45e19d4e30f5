"""Names, cell by cell of docs/reference/names.md: what a column is called, and that its values come back under it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "names.md"
COLUMN_OF = {"duckdb": 1, "postgres": 2, "mysql": 3, "parquet": 4, "jsonl": 4, "csv": 4}


def spelled(cell):
    return json.loads(cell.strip("` ") if not cell.startswith("``") else cell[2:-2].strip())


def published():
    """Rows of the examples: the name, then its identifier at each destination."""
    lines = PAGE.read_text().partition("## Examples")[2].split("\n")
    rows = [re.split(r" \| ", line[2:-2]) for line in lines if line.startswith("| `")]
    return [[spelled(row[0]), *(spelled(row[0] if cell == "=" else cell) for cell in row[1:])] for row in rows]


EXAMPLES = published()
NAMES = [row[0] for row in EXAMPLES]


def test_the_page_has_its_examples():
    assert len(NAMES) == len(set(NAMES)) > 90


def test_every_name_is_stored_as_the_page_says_and_read_back(place, send):
    columns = pa.schema([(name, pa.string()) for name in NAMES])
    session = place.open()
    send(session, [{name: f"value of {name!r}" for name in NAMES}], columns=columns)
    session.commit(None, final=True)
    called = {row[0]: row[COLUMN_OF[place.kind]] for row in EXAMPLES}
    assert {source: name for source, name, _ in place.shape("users")} == called
    (found,) = place.rows("users")
    assert found == {name: f"value of {name!r}" for name in NAMES}


def test_a_name_keeps_its_identifier_whatever_comes_later(place, send):
    """The second run sends the names the other way round, so that each would have had first choice."""
    session = place.open()
    send(session, [dict.fromkeys(NAMES, "1")], columns=pa.schema([(name, pa.string()) for name in NAMES]))
    session.commit(None, final=True)
    before = place.shape("users")
    session.close()
    session = place.open("run-2")
    send(session, [dict.fromkeys(NAMES, "2")], columns=pa.schema([(name, pa.string()) for name in NAMES[::-1]]))
    session.commit(None, final=True)
    assert place.shape("users") == before
    assert place.rows("users") == [dict.fromkeys(NAMES, "1"), dict.fromkeys(NAMES, "2")]


def test_every_name_can_be_a_key(place, send):
    place.need("upsert")
    session = place.open()
    columns = [pa.schema([(name, pa.string()), (f"{name}'s value", pa.int64())]) for name in NAMES]
    for turn in (1, 2):
        for number, (name, shape) in enumerate(zip(NAMES, columns, strict=True)):
            row = {name: "k", f"{name}'s value": turn}
            send(session, [row], stream=f"s{number}", columns=shape, keys=(name,))
        session.commit(None)
    for number, name in enumerate(NAMES):
        assert place.rows(f"s{number}") == [{name: "k", f"{name}'s value": 2}]


def test_every_name_can_be_a_stream(place, send):
    session = place.open()
    for number, name in enumerate(NAMES):
        send(session, [{"id": number, "name": name.replace("\0", "")}], stream=name)
    session.commit(None, final=True)
    for number, name in enumerate(NAMES):
        assert place.rows(name) == [{"id": number, "name": name.replace("\0", "")}]

"""50,000 hostile values from Singer lines into each destination and back: exact, or repaired as documented and counted.

HEADWATER_SEED changes the values.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import random
import re
import struct
from decimal import Decimal

import pytest

from headwater.connect.contract import Rows, Schema
from headwater.connect.singer.parse import ParseOptions, messages

SEED = int(os.environ.get("HEADWATER_SEED", "1"))
EACH = 5000
NUMBER, TEXT = {"type": "number"}, {"type": "string"}


def double(chance):
    """Any finite double but -0.0, which JSON text keeps and SQL does not."""
    while True:
        (value,) = struct.unpack("<d", chance.randbytes(8))
        if math.isfinite(value) and value:
            return repr(value)


def digits(chance, most):
    return str(chance.randrange(10 ** chance.randint(1, most)))


def money(chance):
    return f"{chance.choice(['', '-'])}{digits(chance, 20)}.{digits(chance, 9)}"


def wild(chance):
    """Numbers that no type but text holds all of."""
    return chance.choice(
        [
            lambda: digits(chance, 60),
            lambda: f"{digits(chance, 30)}.{digits(chance, 30)}",
            lambda: f"{digits(chance, 3)}e{chance.randint(-400, 400)}",
            lambda: double(chance),
        ]
    )()


SIGNS = "\0\x01\t\n\r\"'\\`;%_{}[]|/\x7f\x80\u00e9e\u0301\u200b\u202e\u2028\ufeff\ufffd\ufffe\uffff日😈\U0010ffff aA,.0"


def text(chance):
    return "".join(chance.choice(SIGNS) for _ in range(chance.choice([0, 1, 2, 5, 40])))


def quoted(chance):
    """Its JSON, escaped or not, sometimes with half a surrogate pair."""
    found = json.dumps(text(chance), ensure_ascii=chance.random() < 0.5)
    return found if chance.random() < 0.9 else f'{found[:-1]}\\ud83d"'


def moment(chance):
    """ISO 8601 in its many spellings, some finer than a microsecond."""
    at = dt.datetime(2, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=chance.randrange(315_000_000_000_000_000))
    below = chance.choice(["", f".{at.microsecond:06}", f".{at.microsecond // 1000:03}", f".{at.microsecond:06}789"])
    zone = chance.choice(["Z", "z", "", "+00:00", "+05:30", "-0330", "+14:00"])
    return f'"{at.date()}{chance.choice("T ")}{at:%H:%M:%S}{below}{zone}"'


def nested(chance, depth=4):
    what = chance.random()
    if depth and what < 0.3:
        return f"[{','.join(nested(chance, depth - 1) for _ in range(chance.randint(0, 3)))}]"
    if depth and what < 0.6:
        names = {text(chance).replace("\0", "") for _ in range(chance.randint(0, 3))}
        return "{" + ",".join(f"{json.dumps(name)}:{nested(chance, depth - 1)}" for name in sorted(names)) + "}"
    return chance.choice(["null", "true", "1.50", "-0.001", digits(chance, 17), json.dumps(text(chance))])


def exact(token):
    return Decimal(token)


def whole_text(token):
    return re.sub("[\ud800-\udfff]", "\ufffd", json.loads(token))


def instant(token):
    found = re.sub(r"(\.\d{6})\d+", r"\1", json.loads(token).upper().replace(" ", "T"))
    found = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", found)
    at = dt.datetime.fromisoformat(found)
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)


# Schema, how to make a token, what it is worth, and what type the column must keep (None: any that is exact).
FAMILIES = {
    "integers": ({"type": "integer"}, lambda c: str(c.randrange(-(2**63), 2**63)), exact, int),
    "big integers": ({"type": "integer"}, lambda c: digits(c, 38), exact, None),
    "doubles": (NUMBER, double, exact, float),
    "money": ({"type": "number", "multipleOf": 1e-9}, money, exact, None),
    "decimal texts": ({"type": "string", "format": "singer.decimal"}, lambda c: f'"{money(c)}"', None, None),
    "wild numbers": (NUMBER, wild, exact, None),
    "texts": (TEXT, quoted, whole_text, str),
    "moments": ({"type": "string", "format": "date-time"}, moment, instant, None),
    "json": ({}, nested, json.loads, None),
    "arrays": ({"type": "array"}, lambda c: f"[{nested(c)}]", json.loads, None),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_values_come_back(place, family):
    schema, make, worth, kind = FAMILIES[family]
    worth = worth or (lambda token: Decimal(json.loads(token)))
    chance = random.Random(f"{SEED} {family}")  # noqa: S311 - it has to be made again
    tokens = [make(chance).strip() for _ in range(EACH)]
    repaired, rows = loaded(place, schema, tokens)
    assert len(rows) == EACH
    found = {row["id"]: row["v"] for row in rows}
    wrong, changes = [], 0
    for number, token in enumerate(tokens):
        wanted = worth(token)
        changes += family == "texts" and '\\ud83d"' in token
        changes += family == "moments" and bool(re.search(r"\.\d{6}\d*[1-9]", token))
        if place.can("no-nul"):
            mended = without_nul(wanted)
            # A value may have both kinds of repair.
            changes += mended != wanted
            wanted = mended
        if not same(found[number], wanted, place):
            wrong.append((token, found[number]))
        if kind is not None and found[number] is not None and place.kind != "jsonl":
            assert isinstance(found[number], kind), (token, found[number])
    assert wrong == []
    assert repaired == changes


def loaded(place, schema, tokens):
    """How many values were repaired, and all rows."""
    head = {"type": "SCHEMA", "stream": "s", "key_properties": [], "schema": {"type": "object", "properties": {}}}
    head["schema"]["properties"] = {"id": {"type": "integer"}, "v": schema}
    lines = [json.dumps(head)]
    lines += [f'{{"type":"RECORD","stream":"s","record":{{"id":{n},"v":{token}}}}}' for n, token in enumerate(tokens)]
    data = "\n".join(lines).encode() + b"\n"
    session = place.open()
    for message in messages([data], ParseOptions(batch_bytes=50_000), lambda _text: None):
        match message:
            case Schema():
                session.prepare(message)
            case Rows():
                session.stage(message)
    receipt = session.commit(None, final=True)
    return receipt.streams["s"].repaired, place.rows("s")


def without_nul(value):
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [without_nul(one) for one in value]
        case dict():
            return {without_nul(name): without_nul(one) for name, one in value.items()}
    return value


def same(found, wanted, place):
    match wanted:
        case Decimal():
            if isinstance(found, str):
                return Decimal(found) == wanted
            return (Decimal(repr(found)) if isinstance(found, float) else Decimal(found)) == wanted
        case dt.datetime():
            return found == wanted or (isinstance(found, str) and dt.datetime.fromisoformat(found) == wanted)
        case str() if found == wanted:
            return True
    if isinstance(found, str) and place.kind not in ("postgres", "jsonl"):
        return json.loads(found) == wanted
    return found == wanted or json.loads(json.dumps(found, default=float)) == wanted


def test_there_are_50_000():
    assert EACH * len(FAMILIES) == 50_000

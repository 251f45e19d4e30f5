"""What is loaded. The same bytes every time; made once and kept.

`events`: 12 columns like those of an event log; also as CSV. `orders`: Singer messages of about 600 bytes with objects
nested two deep and an array of strings, a STATE after every 10,000; also its records alone, and their leaves.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import NamedTuple

import duckdb

STATE_EVERY = 10_000
WORDS = ("river", "bank", "water", "meadow", "stone", "bridge", "mill", "weir")
WORDS += ("ford", "spring", "delta", "marsh", "lake", "canal", "harbour", "tide")
CITIES = ("Basel", "Köln", "Rotterdam", "Mainz", "Strasbourg", "Düsseldorf", "Konstanz", "Chur")

EVENTS = """
    select
        i as id,
        make_timestamptz(1735689600000000 + i * 1000003) as at,
        ['de', 'fr', 'us', 'br', 'jp', 'nl'][1 + (hash(i, 1) % 6)::bigint] as country,
        ['view', 'click', 'purchase'][1 + (hash(i, 2) % 3)::bigint] as kind,
        ['firefox', 'chrome', 'safari', 'other'][1 + (hash(i, 3) % 4)::bigint] as browser,
        md5('visitor' || i)[:20] as visitor,
        md5('session' || i)[:20] as session,
        (hash(i, 4) % 1000000007) / 1000003 as x,
        (hash(i, 5) % 1000000007) / -1000003 as y,
        (hash(i, 6) % 100)::integer as items,
        if(hash(i, 7) % 20 = 0, null, hash(i, 7) % 3 = 0) as is_paid,
        if(hash(i, 8) % 50 = 0, null, ((hash(i, 9) % 20000000)::bigint - 10000000)::decimal(18, 0) / 100)
            ::decimal(12, 2) as amount
    from range(1, {count} + 1) as numbers(i)
"""
EVENTS_COLUMNS = """
    id bigint, at timestamptz, country text, kind text, browser text, visitor text, session text,
    x double precision, y double precision, items integer, is_paid boolean, amount numeric(12, 2)
"""

_TEXT = {"type": ["null", "string"]}
ORDERS_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "created_at": {"type": ["null", "string"], "format": "date-time"},
        "status": _TEXT,
        "customer": {
            "type": ["null", "object"],
            "properties": {
                "id": {"type": ["null", "integer"]},
                "name": _TEXT,
                "email": _TEXT,
                "address": {
                    "type": ["null", "object"],
                    "properties": {"street": _TEXT, "city": _TEXT, "zip": _TEXT, "country": _TEXT},
                },
            },
        },
        "payment": {
            "type": ["null", "object"],
            "properties": {
                "method": _TEXT,
                "card": {"type": ["null", "object"], "properties": {"brand": _TEXT, "last4": _TEXT}},
            },
        },
        "total": {"type": ["null", "number"]},
        "quantity": {"type": ["null", "integer"]},
        "is_gift": {"type": ["null", "boolean"]},
        "note": _TEXT,
        "tags": {"type": ["null", "array"], "items": {"type": "string"}},
    },
}


class Events(NamedTuple):
    count: int
    parquet: Path
    csv: Path


class Orders(NamedTuple):
    """`leaves` holds those columns by which arrivals are checked, as CSV."""

    count: int
    lines: Path
    records: Path
    leaves: Path


def events(folder: Path, count: int) -> Events:
    made = Events(count, folder / f"events-{count}.parquet", folder / f"events-{count}" / "events.csv")
    if not made.csv.exists():
        made.csv.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"copy ({EVENTS.format(count=count)}) to '{made.parquet}'")
        new = made.csv.with_suffix(".new")
        connection.execute(f"copy (from '{made.parquet}' order by id) to '{new}' (format csv, header)")
        new.rename(made.csv)
    return made


def orders(folder: Path, count: int) -> Orders:
    place = folder / f"orders-{count}"
    made = Orders(count, place / "orders.singer", place / "orders.jsonl", place / "leaves.csv")
    if not made.leaves.exists():
        place.mkdir(parents=True, exist_ok=True)
        _write_orders(made)
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'")
        leaves = ", ".join(f"{expression} as {name}" for name, expression in JSON_LEAVES.items())
        source = f"read_json('{made.records}', columns={json.dumps(RECORD_COLUMNS)}, format='newline_delimited')"
        new = made.leaves.with_suffix(".new")
        connection.execute(f"copy (select {leaves} from {source}) to '{new}' (format csv, header)")
        new.rename(made.leaves)
    return made


RECORD_COLUMNS = {
    "id": "BIGINT",
    "created_at": "TIMESTAMPTZ",
    "status": "VARCHAR",
    "customer": "JSON",
    "payment": "JSON",
    "total": "DOUBLE",
    "quantity": "BIGINT",
    "is_gift": "BOOLEAN",
    "note": "VARCHAR",
    "tags": "JSON",
}
LEAVES_COLUMNS = """
    id bigint, created_at timestamptz, status text, customer_name text, city text, last4 text,
    total double precision, quantity bigint, is_gift boolean, note text, tags jsonb
"""
JSON_LEAVES = {
    "id": "id",
    "created_at": "created_at",
    "status": "status",
    "customer_name": "customer->>'$.name'",
    "city": "customer->>'$.address.city'",
    "last4": "payment->>'$.card.last4'",
    "total": "total",
    "quantity": "quantity",
    "is_gift": "is_gift",
    "note": "note",
    "tags": "tags",
}


def _write_orders(made: Orders) -> None:
    chance = random.Random(7)
    dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    schema = {"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": ORDERS_SCHEMA}
    with made.lines.open("w") as lines, made.records.open("w") as records:
        lines.write(dumps(schema) + "\n")
        for number in range(1, made.count + 1):
            record = dumps(_order(number, chance))
            lines.write(f'{{"type":"RECORD","stream":"orders","record":{record}}}\n')
            records.write(record + "\n")
            if number % STATE_EVERY == 0 or number == made.count:
                lines.write(dumps({"type": "STATE", "value": {"bookmarks": {"orders": {"id": number}}}}) + "\n")


def _order(number: int, chance: random.Random) -> dict[str, object]:
    bits = chance.getrandbits(64)
    words = [WORDS[bits >> shift & 15] for shift in range(0, 48, 4)]
    name = f"{words[0].title()} {words[1].title()}"
    return {
        "id": number,
        "created_at": f"2026-{1 + number % 12:02}-{1 + bits % 28:02}T{bits % 24:02}:{bits % 59:02}:{bits % 53:02}Z",
        "status": ("new", "paid", "shipped", "returned")[bits % 4],
        "customer": {
            "id": bits % 1_000_000,
            "name": name,
            "email": f"{words[0]}.{words[1]}.{bits % 10_000}@example.com",
            "address": {
                "street": f"{words[2].title()} {words[3]} {bits % 300}",
                "city": CITIES[bits % 8],
                "zip": f"{bits % 100_000:05}",
                "country": ("CH", "DE", "FR", "NL")[bits % 4],
            },
        },
        "payment": {"method": "card", "card": {"brand": ("visa", "amex")[bits % 2], "last4": f"{bits % 10_000:04}"}},
        "total": (bits % 10_000_000) / 100,
        "quantity": bits % 50,
        "is_gift": bits % 5 == 0,
        "note": None
        if bits % 7 == 0
        else f'{" ".join(words)} – "{words[4]}" {words[5]}/{words[6]} {" ".join(words[::-1])} {bits:x}',
        "tags": words[7 : 7 + bits % 5],
    }

"""Random rows of every type have the same digests in each destination as where they came from.

HEADWATER_SEED changes the values.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import random
import struct
import threading
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from headwater.base.errors import HeadwaterError, InputError
from headwater.connect import registry
from headwater.connect.contract import JSON_FIELD, Rows, Schema
from headwater.connect.digest import SqlSide
from headwater.connect.sources.rows_digest import ReadRows
from headwater.quality.compare import compare
from headwater.quality.pairing import paired

SEED = int(os.environ.get("HEADWATER_SEED", "1"))
ROWS = 2000
SIGNS = "~|:\t\n\r\"'\\;%_{}[]/\x7f\u00e9e\u0301\u200b日😈 aA,.0"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def double(chance):
    (value,) = struct.unpack("<d", chance.randbytes(8))
    return value if math.isfinite(value) else chance.choice([0.0, -0.0, 0.1, 5e-324, 1e22, -1.5])


def decimal(digits, scale):
    return lambda chance: Decimal(chance.randrange(-(10**digits), 10**digits)).scaleb(-scale)


def text(chance):
    return "".join(chance.choice(SIGNS) for _ in range(chance.choice([0, 1, 2, 5, 40])))


TYPES = {
    "flag": (pa.bool_(), lambda chance: chance.random() < 0.5),
    "whole": (pa.int64(), lambda chance: chance.randrange(-(2**63), 2**63)),
    "small": (pa.decimal128(5, 2), decimal(5, 2)),
    "large": (pa.decimal128(38, 9), decimal(37, 9)),
    "count": (pa.decimal128(38, 0), lambda chance: Decimal(chance.randrange(10**37) * 10)),
    "score": (pa.float64(), double),
    "label": (pa.string(), text),
    "raw": (pa.binary(), lambda chance: chance.randbytes(chance.choice([0, 1, 9]))),
    "day": (pa.date32(), lambda chance: dt.date.fromordinal(chance.randint(1, dt.date.max.toordinal()))),
    "clock": (
        pa.time64("us"),
        lambda chance: (EPOCH + dt.timedelta(microseconds=chance.randrange(86400 * 10**6))).time(),
    ),
    "moment": (
        pa.timestamp("us", "UTC"),
        lambda chance: (
            EPOCH + dt.timedelta(microseconds=chance.randrange(-62_000_000_000, 250_000_000_000) * 10**6 + 1)
        ),
    ),
}


def batch(seed):
    chance = random.Random(seed)  # noqa: S311 - no secret
    columns = {
        "id": pa.array(range(ROWS), pa.int64()),
        "word": pa.array([f"{text(chance)[:9]}{i}" for i in range(ROWS)]),
    }
    for name, (kind, make) in TYPES.items():
        columns[name] = pa.array([None if chance.random() < 0.1 else make(chance) for _ in range(ROWS)], kind)
    columns["doc"] = pa.array([f'{{"b": {i}, "a": [1.50, null]}}' for i in range(ROWS)])
    fields = [
        pa.field(name, values.type, metadata=JSON_FIELD if name == "doc" else None) for name, values in columns.items()
    ]
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(fields))


def opened(place, folder):
    digests = registry.destination_digests(place.kind)
    return digests.open(place.settings(), source="shop", pipeline="dev:shop", folder=folder, on_wait=print)


def test_rows_of_every_type_are_equal_where_they_were_loaded(place, tmp_path):
    if str(getattr(place.settings(), "destination_path", "")).startswith("s3://"):
        with pytest.raises(InputError, match="can't be compared where they are"):
            opened(place, tmp_path)
        return
    rows = batch(SEED)
    for keys in (("id",), ("word", "id")):
        stream = f"all by {len(keys)}"
        messages = (Schema(stream=stream, columns=rows.schema, keys=keys), Rows(stream=stream, batch=rows))
        session = place.open()
        session.prepare(messages[0])
        session.stage(messages[1])
        session.commit(b"{}", final=True)
        session.close()
        here = ReadRows(tmp_path / f"{len(keys)}.duckdb", remark="")
        here.take(messages)
        there = opened(place, tmp_path)
        source, loaded = here.relation(stream), there.relation(stream)
        pairing = paired(source, loaded)
        sides = [
            SqlSide(
                tables.ask,
                tables.words,
                relation,
                items,
                [items[number] for number in pairing.keys],
                indexed=pairing.is_indexed,
            )
            for tables, relation, items in ((here, source, pairing.source), (there, loaded, pairing.destination))
        ]
        found = compare(*sides, pairing.columns, most=3, shown=True)
        here.close()
        there.close()
        assert found.rows == ()
        assert (found.source_rows, found.destination_rows, found.questions) == (ROWS, ROWS, 2)
        left_out = {"postgres": {"doc"}, "jsonl": {"doc", "small", "large", "count"}}.get(place.kind, set())
        assert set(rows.schema.names) - set(pairing.columns) == left_out


ENDLESS = {
    "postgres": "select pg_sleep(600)",
    "mysql": "select sum(a.seq * b.seq) from seq_1_to_10000000 a, seq_1_to_10000000 b",
}


def test_a_question_is_interrupted(place, tmp_path, send):
    session = place.open()
    send(session, [{"id": 1, "name": "Ada"}])
    session.commit(b"{}", final=True)
    session.close()
    if str(getattr(place.settings(), "destination_path", "")).startswith("s3://"):
        return
    there = opened(place, tmp_path)
    timer = threading.Timer(1.0, there.interrupt)
    timer.start()
    with pytest.raises((HeadwaterError, duckdb.Error)):
        there.ask(
            ENDLESS.get(place.kind, "select sum(hash(a.i + b.i)) from range(10000000) a(i), range(10000000) b(i)")
        )
    timer.join()
    there.close()

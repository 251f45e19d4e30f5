"""The bulk way and the way member by member end in equal tables, whatever comes."""

import json
import random

import pyarrow as pa
import pytest
from msgspec import Raw

from headwater.connect.singer import schema, shape
from headwater.connect.singer.records import BadRecordsError, Builder
from headwater.connect.singer.shape import Shape

PROPERTIES = {
    "id": {"type": "integer"},
    "amount": {"type": ["null", "number"]},
    "exact": {"type": ["null", "string"], "format": "x-singer.decimal"},
    "ok": {"type": ["null", "boolean"]},
    "name": {"type": ["null", "string"]},
    "at": {"type": ["null", "string"], "format": "date-time"},
    "day": {"type": ["null", "string"], "format": "date"},
    "hour": {"type": ["null", "string"], "format": "time"},
    "tags": {"type": ["null", "array"]},
    "any": {},
    "nothing": {"type": "null"},
    "home": {
        "type": ["null", "object"],
        "properties": {
            "city": {"type": "string"},
            "geo": {"type": "object", "properties": {"lat": {"type": "number"}}},
        },
    },
}
ORDINARY = {
    "amount": ["1.5", "0.1", "-3", "null", "1e5"],
    "exact": ['"1.50"', "null"],
    "ok": ["true", "false", "null"],
    "name": ['"a"', '""', "null", '"\\u0000é😈"'],
    "at": ['"2024-01-01T00:00:00Z"', '"2024-06-01 10:00:00.123456+02:00"', "null"],
    "day": ['"2024-01-31"', "null"],
    "hour": ['"10:00:00"', "null"],
    "tags": ['["a", {"b":1}]', "[]", "null"],
    "any": ["1", '"x"', '{"a": 1.0}', "null"],
    "nothing": ["null"],
    "home": ["null", "{}", '{"city":"B"}', '{"city":null,"geo":{"lat":1.25}}', '{"geo":null}', '{"geo":{}}'],
}
STRANGE = {
    "amount": ["9007199254740993", '"12.5"', "1e300", "0.12345678901234567890"],
    "exact": ["7", '"0.1234567890123"'],
    "ok": ['"true"'],
    "name": ["7", "{}", "true"],
    "at": ['"2024-01-01"', '"20240101T000000Z"', '"soon"', '"2024-01-01T00:00:00.123456789Z"'],
    "day": ['"2024-01-31T10:00:00Z"', '"0000-00-00"'],
    "hour": ['"36:00:00"'],
    "nothing": ["5", '"x"', "[1]"],
    "home": ['{"zip": 5}', '{"geo":{"lng":2}}'],
    "extra": ["1", "null", '{"b": [1]}'],
    "a\\tb": ["1"],
}


def a_builder(*, walk: bool) -> Builder:
    known = Shape("s")
    leaves = schema.leaves({"properties": PROPERTIES}, whole=("id",))
    shape.adopt(known, leaves, keys=("id",), cursor=None, required=frozenset())
    known.walk = walk
    return Builder(known)


def a_batch(dice: random.Random, strange: float) -> list[Raw]:
    records = []
    for number in range(dice.randint(1, 20)):
        members = [f'"id":{number}']
        for name, values in ORDINARY.items():
            if dice.random() < 0.85:
                odd = STRANGE.get(name) if dice.random() < strange else None
                members.append(f'"{name}":{dice.choice(odd or values)}')
        members += [f'"{name}":{dice.choice(STRANGE[name])}' for name in ("extra", "a\\tb") if dice.random() < strange]
        records.append(Raw(("{" + ",".join(members) + "}").encode()))
    return records


@pytest.mark.parametrize("strange", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("seed", range(15))
def test_both_ways_make_the_same_table(strange, seed):
    dice = random.Random(f"{seed} {strange}")  # noqa: S311 - a seeded test
    bulk, walking = a_builder(walk=False), a_builder(walk=True)
    for _ in range(6):
        records = a_batch(dice, strange)
        one, other = bulk.build(records), walking.build(records)
        assert one.batch.schema.equals(other.batch.schema, check_metadata=True)
        assert one.batch.to_pylist() == other.batch.to_pylist()
        assert (one.missing is None) == (other.missing is None)
        assert one.missing is None or one.missing.to_pylist() == other.missing.to_pylist()
        assert one.repaired == other.repaired
        one.batch.validate(full=True)
    assert walking.walked > 0
    if not strange:
        assert bulk.walked == 0


def test_both_ways_refuse_the_same_records():
    records = [Raw(text) for text in (b'{"id":1}', b'{"id":2,"ok":5}', b"[]", b'{"amount":1}', b'{"id":"x"}')]
    for walk in (False, True):
        builder, reasons = a_builder(walk=walk), {}
        kept = dict(enumerate(records))
        while True:
            try:
                built = builder.build(list(kept.values()))
                break
            except BadRecordsError as bad:
                rows = list(kept)
                reasons |= {rows[row]: reason for row, reason in bad.reasons.items()}
                kept = {row: text for row, text in kept.items() if row not in reasons}
        assert set(reasons) == {1, 2, 3, 4}
        assert built.batch.num_rows == 1


def test_the_slow_way_learns():
    builder = a_builder(walk=False)
    odd = [Raw(b'{"id":1,"extra":5,"ok":"true","name":7}')]
    builder.build(odd)
    assert builder.walked == 1
    batch = builder.build(odd).batch
    assert builder.walked == 1
    assert batch.select(["id", "ok", "name", "_extra"]).to_pylist() == [
        {"id": 1, "ok": True, "name": "7", "_extra": '{"extra":5}'}
    ]


def test_too_many_unknown_fields_are_still_kept():
    builder = a_builder(walk=False)
    record = {"id": 1} | {f"f{number}": number for number in range(500)}
    for _ in range(2):
        batch = builder.build([Raw(json.dumps(record).encode())]).batch
        assert json.loads(batch["_extra"][0].as_py()) == {name: value for name, value in record.items() if name != "id"}


def test_rows_without_an_extra_keep_their_place():
    builder = a_builder(walk=False)
    records = [Raw(b'{"id":1}'), Raw(b'{"id":2,"x":1,"y":null}'), Raw(b'{"id":3,"y":2}')]
    for _ in range(2):
        assert builder.build(records).batch["_extra"].to_pylist() == [None, '{"x":1,"y":null}', '{"y":2}']


def test_types_are_those_of_the_contract():
    batch = a_builder(walk=False).build([Raw(b'{"id":1}')]).batch
    assert [str(kind) for kind in batch.schema.types[:8]] == [
        "int64",
        "double",
        "decimal128(38, 9)",
        "bool",
        "string",
        "timestamp[us, tz=UTC]",
        "date32[day]",
        "time64[us]",
    ]
    assert batch.schema.field("tags").metadata == {b"headwater.type": b"json"}
    assert batch.schema.field("nothing").type == pa.string()

"""The two bulk ways and the way member by member end in equal tables, whatever comes."""

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


COLUMNAR = {name: of for name, of in PROPERTIES.items() if name != "any"} | {
    "tags": {"type": ["null", "array"], "items": {"type": "string"}},
    "sizes": {"type": "array", "items": {"type": ["integer", "number"]}},
    "price": {"type": ["null", "number"], "multipleOf": 0.01},
    "näme": {"type": ["null", "string"]},
}
# What an exact reader must not take for something else, however ordinary the rest is.
ODD = {
    **STRANGE,
    "amount": [*STRANGE["amount"], "1e400", "1e-400", "-0.0", "12345678901234567", "0." + "0" * 400 + "1", "1E23"],
    "id": ["1.0", "-0", "9223372036854775808", "1e3", '"7"'],
    "name": [*STRANGE["name"], '"1234567890123456789"', '": 1234567890123456789"', '"\\ud800"', '"a\\"id\\":null"'],
    "price": ["1.234", "5", "1e2", "12345678901234567890.12"],
    "tags": ["[1]", '[null, "x"]', '["\\u0041"]', '{"a":1}'],
    "näme": ["7"],
}


def a_columnar_builder(way: str, keys: tuple[str, ...] = ("id",)) -> Builder:
    known = Shape("s")
    shape.adopt(known, schema.leaves({"properties": COLUMNAR}), keys=keys, cursor=None, required=frozenset())
    known.walk = way == "member by member"
    return Builder(known, skipped=0 if way == "columnar" else 1_000_000)


def some_records(dice: random.Random, *, odd: int, sparse: bool) -> list[Raw]:
    """At least as many as the columnar way wants; `odd` of them have one strange value."""
    strange = set(dice.sample(range(120), odd))
    records = []
    for number in range(120):
        values = {"id": str(number), "price": "1.50", "sizes": "[1, 2.5]", "näme": '"x"', "tags": '["a", "b"]'}
        values |= {name: dice.choice(ORDINARY[name]) for name in ORDINARY if name not in ("any", "tags")}
        if sparse:
            values = {name: value for name, value in values.items() if name in ("id", "näme") or dice.random() < 0.8}
        if number in strange:
            name = dice.choice(list(ODD))
            values[name] = dice.choice(ODD[name])
        space = dice.choice(["", " "])
        records.append(Raw(("{" + ",".join(f'"{name}":{space}{one}' for name, one in values.items()) + "}").encode()))
    return records


@pytest.mark.parametrize("keys", [("id",), ()])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("odd", [0, 1, 5])
@pytest.mark.parametrize("seed", range(6))
def test_the_columnar_way_makes_the_table_of_the_others(seed, odd, sparse, keys):
    dice = random.Random(f"{seed} {odd} {sparse}")  # noqa: S311 - a seeded test
    columnar, objects, walking = (a_columnar_builder(way, keys) for way in ("columnar", "objects", "member by member"))
    for _ in range(4):
        columnar.skipped = 0
        records = some_records(dice, odd=odd, sparse=sparse)
        while True:
            try:
                one = columnar.build(records)
            except BadRecordsError as bad:
                reasons = bad.reasons
                with pytest.raises(BadRecordsError) as raised:
                    walking.build(records)
                assert set(raised.value.reasons) == set(reasons)
                records = [record for row, record in enumerate(records) if row not in reasons]
                continue
            break
        for other in (objects.build(records), walking.build(records)):
            assert one.batch.schema.equals(other.batch.schema, check_metadata=True)
            assert one.batch.to_pylist() == other.batch.to_pylist()
            assert (one.missing is None) == (other.missing is None)
            assert one.missing is None or one.missing.to_pylist() == other.missing.to_pylist()
            assert one.repaired == other.repaired
        one.batch.validate(full=True)
    if not odd:
        assert columnar.read > 0


@pytest.mark.parametrize(
    "record",
    [
        b'{"id":1,"amount":12345678901234567}',
        b'{"id":1,"amount":' + b" " * 100 + b"12345678901234567}",
        b'{"id":1,"amount":\t-0.12345678901234567}',
        b'{"id":1,"name":' + b" " * 100 + b'"12345678901234567"}',
        b'{"id":1,"name":"a","name":"b"}',
        b'{"id":1,"name":"a","name":null}',
        b'{"id":1,"n\\u0061me":null}',
        b'{"id":1,"home":{"city":"x","city":"y"}}',
        b'{"id":1,"home":{"name":null}}',
        b'{"id":1,"home":"here"}',
        b'{"id":1,"home":[1]}',
        b'{"id":1,"NAME":"x"}',
        b'{"id":1,"":"x"}',
        b"{}",
    ],
)
def test_one_odd_record_among_many_arrives_as_by_the_other_ways(record):
    found = []
    for way in ("columnar", "objects", "member by member"):
        records = [Raw(b'{"id":%d,"name":"x"}' % number) for number in range(2, 200)]
        builder, reasons = a_columnar_builder(way), {}
        try:
            built = builder.build([Raw(record), *records])
        except BadRecordsError as bad:
            reasons, built = bad.reasons, builder.build(records)
        missing = None if built.missing is None else built.missing.to_pylist()
        found.append((reasons, built.batch.to_pylist(), missing))
    assert found[0] == found[1] == found[2]


def test_lists_that_are_not_as_declared_are_still_kept_as_they_came():
    builder = a_columnar_builder("columnar")
    records = [Raw(b'{"id":%d,"tags":["a",{"b": 1}]}' % number) for number in range(200)]
    assert builder.build(records).batch["tags"][0].as_py() == '["a",{"b": 1}]'
    assert builder.read == 0


def test_a_source_that_surprises_every_time_is_tried_less_often():
    builder = a_columnar_builder("columnar")
    records = [Raw(b'{"id":%d,"amount":12345678901234567890}' % number) for number in range(200)]
    tried = 0
    for _ in range(40):
        tried += not builder.skipped and builder.reader is not None
        builder.build(records)
    assert tried < 8


def test_identifiers_of_many_digits_are_no_long_numbers():
    builder = a_columnar_builder("columnar")
    records = [Raw(b'{"id":%d,"name":"%019d"}' % (number, number)) for number in range(2000)]
    assert builder.build(records).batch["name"][1999].as_py() == "0000000000000001999"
    assert builder.read == 2000

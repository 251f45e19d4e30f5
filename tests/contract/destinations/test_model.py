"""Random loads against a model in memory: whatever a tap sends and wherever a run ends, the tables are the model's.

A case is a list of runs, a run a list of Singer messages, made from a seed. A run may break off anywhere; the next one
goes on from the last state that the target gave out, as a tap would. HEADWATER_SEEDS=1000 runs more of them,
HEADWATER_SEED=17 the one that failed. A case that fails is made smaller before it is shown.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import random
import re
from collections import Counter
from decimal import Decimal
from itertools import count

import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import OpenRequest
from headwater.connect.singer.faces import Flush, serve_target
from headwater.connect.singer.parse import ParseOptions

FIRST = int(os.environ.get("HEADWATER_SEED", "0"))
SEEDS = 1 if "HEADWATER_SEED" in os.environ else int(os.environ.get("HEADWATER_SEEDS", "20"))
BROKEN = b'{"type": "RECORD", "stream": \n'

# What a column may be declared as, and as what later.
KINDS = {
    "integer": {"type": ["null", "integer"]},
    "number": {"type": ["null", "number"]},
    "money": {"type": ["null", "number"], "multipleOf": 0.01},
    "boolean": {"type": ["null", "boolean"]},
    "string": {"type": ["null", "string"]},
    "date": {"type": ["null", "string"], "format": "date"},
    "moment": {"type": ["null", "string"], "format": "date-time"},
    "json": {"type": ["null", "array"]},
    "anything": {},
}
WIDER = {
    "integer": ("number", "money", "string"),
    "number": ("string",),
    "money": ("string",),
    "boolean": ("string",),
    "date": ("moment", "string"),
    "moment": ("string",),
}
TEXTS = ["", "x", "é\t\n\\N", "😈", "NULL", "a\"b'c`d", "x" * 300, "\u2028", "\\", "A", "a", "a "]
NAMES = ["name", "Name", "a b", "select", "é", "v", "__version", "__missing", "_extra", "x" * 70, "%s"]


# Making a case -------------------------------------------------------------------------------------------------------


class Stream:
    """What a tap knows of one of its streams while it makes messages."""

    def __init__(self, chance, name, place):
        self.name = name
        self.chance = chance
        upserts = place.can("upsert")
        self.keys = chance.choice([(), ("id",), ("id",), ("id", "part")]) if upserts else ()
        self.key_kind = chance.choice(["integer", "string"])
        self.columns = dict.fromkeys(self.keys, self.key_kind) or {"id": "integer"}
        self.extras = chance.choice([0, 0.1, 0.5])
        self.version = 1 if place.can("versions") and chance.random() < 0.3 else None
        for _ in range(chance.randint(1, 5)):
            self.evolve()

    def evolve(self):
        """A change that the lattice allows: a column more, one less, one wider."""
        chance = self.chance
        others = [name for name in self.columns if name not in (*self.keys, "id")]
        what = chance.random()
        free = [name for name in NAMES if name not in self.columns]
        if (what < 0.6 or not others) and free:
            self.columns[chance.choice(free)] = chance.choice(list(KINDS))
        elif what < 0.75 and others:
            name = chance.choice(others)
            self.columns[name] = chance.choice([self.columns[name], *WIDER.get(self.columns[name], ())])

    def schema(self):
        properties = {name: KINDS[kind] for name, kind in self.columns.items()}
        schema = {"type": "object", "properties": properties}
        return {"type": "SCHEMA", "stream": self.name, "schema": schema, "key_properties": list(self.keys)}

    def record(self):
        chance = self.chance
        record = {name: value_of(chance, kind) for name, kind in self.columns.items()}
        for key in self.keys:
            number = chance.randint(1, 6)
            record[key] = number if self.key_kind == "integer" else chance.choice(["a", "A", "a ", "é", "e", "x,y"])
        for name in list(record):
            if name not in self.keys and chance.random() < 0.2:
                del record[name]
        if chance.random() < self.extras:
            for name in chance.sample(["new", "other field", "ö"], chance.randint(1, 2)):
                record[name] = chance.choice([1, "x", [1, {"a": None}], {"b": {"c": 1}}, True, None])
        if chance.random() < 0.04:
            record["id"] = {"not": "a key"} if self.columns["id"] == "integer" else None
            if not self.keys and record["id"] is None:
                del record["id"]
        message = {"type": "RECORD", "stream": self.name, "record": record}
        return message if self.version is None else {**message, "version": self.version}


def value_of(chance, kind):
    if chance.random() < 0.15:
        return None
    match kind:
        case "integer":
            return chance.choice([0, -1, chance.randint(-(2**40), 2**40), 2**53 - 1])
        case "number":
            return chance.choice([0, 5, chance.randint(-4000, 4000) / 8])
        case "money":
            return chance.choice([0, 5, 0.25, -1.5, chance.randint(-100_000, 100_000) / 100])
        case "boolean":
            return chance.random() < 0.5
        case "string":
            return chance.choice(TEXTS)
        case "date":
            return str(dt.date(1970, 1, 1) + dt.timedelta(days=chance.randint(-10_000, 40_000)))
        case "moment":
            return chance.choice(["2024-02-29T23:59:59.999999Z", "2024-01-01T05:30:00+05:30", "0001-01-01T00:00:00Z"])
        case "json":
            return chance.choice([[], [1, "é", None], [{"a": [True]}]])
    return chance.choice([1, "text", {"a": {"b": 1}}, [1], False])


def case(seed, place):
    """Runs of messages. At a BREAK the tap dies; what is after it never comes."""
    chance = random.Random(f"{seed} {place.kind}")  # noqa: S311 - it has to be made again
    streams = [Stream(chance, name, place) for name in ("a", "b", "c")[: chance.randint(1, 3)]]
    runs = []
    for number in range(chance.randint(1, 4)):
        for stream in streams:
            if number and chance.random() < 0.5:
                stream.evolve()
            if stream.version is not None and chance.random() < 0.5:
                stream.version += 1
        run = [stream.schema() for stream in streams]
        for _ in range(chance.randint(0, 60)):
            stream = chance.choice(streams)
            what = chance.random()
            if what < 0.8:
                run.append(stream.record())
            elif what < 0.9:
                run.append({"type": "STATE", "value": {"run": number, "at": len(run)}})
            else:
                stream.evolve()
                run.append(stream.schema())
        # At the end, where no row of the version comes after it: until its commit a version's rows count as they come.
        run += [
            {"type": "ACTIVATE_VERSION", "stream": stream.name, "version": stream.version}
            for stream in streams
            if stream.version is not None and chance.random() < 0.7
        ]
        run += [{"type": "STATE", "value": {"run": number, "at": len(run)}}] * (chance.random() < 0.7)
        if chance.random() < 0.4:
            run.insert(chance.randint(0, len(run)), {"type": "BREAK"})
        runs.append(run)
    return runs


# The model -----------------------------------------------------------------------------------------------------------


class Table:
    """`rows` by key, or by number where there is none. `known` are the columns that this run's schemas named."""

    def __init__(self):
        self.rows = {}
        self.known = {}
        self.keys = ()
        self.number = count()

    def take(self, message):
        record, declared = message["record"], self.known
        is_bad = isinstance(record.get("id"), dict) and declared["id"] == KINDS["integer"]
        if is_bad or any(record.get(key) is None for key in self.keys):
            return  # set aside
        key = tuple(canonical(record[key]) for key in self.keys) if self.keys else next(self.number)
        row = self.rows.setdefault(key, {})
        row.update({name: value for name, value in record.items() if name in declared})
        extra = {name: value for name, value in record.items() if name not in declared}
        if extra:
            row[("extra",)] = {**row.get(("extra",), {}), **extra}
        row[("version",)] = message.get("version")

    def activate(self, version):
        versions = {row[("version",)] for row in self.rows.values()}
        if versions and max(versions) == version:
            self.rows = {key: row for key, row in self.rows.items() if row[("version",)] == version}


class Model:
    def __init__(self):
        self.tables = {}

    def begin(self):
        for table in self.tables.values():
            table.known = {}

    def take(self, message):
        if message["type"] == "STATE":
            return
        table = self.tables.setdefault(message["stream"], Table())
        match message["type"]:
            case "SCHEMA":
                table.keys = tuple(message["key_properties"])
                table.known |= message["schema"]["properties"]
            case "RECORD":
                table.take(message)
            case "ACTIVATE_VERSION":
                table.activate(message["version"])


# Running a case ------------------------------------------------------------------------------------------------------


def pieces(chance, data):
    """The bytes in pieces of any length, as a pipe gives them."""
    at = 0
    while at < len(data):
        size = chance.choice([1, 7, 100, 1000, 1 << 16])
        yield data[at : at + size]
        at += size


def run_case(runs, place, seed, name):
    """What is wrong after one of the runs; None when nothing is. Streams are called after `name`."""
    model = Model()
    for number, made in enumerate(runs):
        chance = random.Random(f"{seed} {number}")  # noqa: S311 - it has to be made again
        breaks = next((at for at, message in enumerate(made) if message["type"] == "BREAK"), None)
        messages = made[:breaks]
        lines = b"".join(json.dumps(named(message, name)).encode() + b"\n" for message in messages)
        states = [at for at, message in enumerate(messages, 1) if message["type"] == "STATE"]
        covered = len(messages) if breaks is None else max(states, default=0)
        out = io.BytesIO()
        try:
            load(place, chance, lines + BROKEN * (breaks is not None), out, f"{name} {number}", f"dev:{name}")
            assert breaks is None, "it did not break"
        except RunFailedError as error:
            if breaks is None or error.reference != "bad-message":
                return f"run {number}: {error.reference}: {error.what} {error.why}"
        except InputError as error:
            return f"run {number}: {error.reference}: {error.what} {error.why}"
        model.begin()
        for message in messages[:covered]:
            model.take(message)
        said = [json.loads(line) for line in out.getvalue().splitlines()]
        if states and said[-1:] != [messages[states[-1] - 1]["value"]]:
            return f"run {number}: the last state is {said[-1:]}"
        for stream, table in model.tables.items():
            wanted = expected(table)
            found = Counter(map(frozen, rows_of(place, f"{name} {stream}")))
            if found != wanted:
                return f"run {number}, {stream}: missing {list(wanted - found)}, too much {list(found - wanted)}"
    return None


def rows_of(place, stream):
    """MariaDB has no booleans but integers of one digit."""
    rows = place.rows(stream) or []
    flags = {source for source, _, sql in place.shape(stream) if sql == "tinyint(1)"} if rows else ()
    return [{name: bool(v) if name in flags and v is not None else v for name, v in row.items()} for row in rows]


def named(message, name):
    return {**message, "stream": f"{name} {message['stream']}"} if "stream" in message else message


def load(place, chance, data, out, run_id, pipeline):
    """One run, committed at any STATE, with any room in memory, its bytes in pieces of any length."""
    given = pieces(chance, data)
    serve_target(
        place.module,
        place.settings(**({"max_delete_share": 1.0} if place.can("versions") else {})),
        read=lambda _size: next(given, b""),
        out=out,
        request=OpenRequest(
            pipeline=pipeline,
            run_id=run_id,
            source="shop",
            folder=place.folder / run_id,
            memory_bytes=chance.choice([2000, 64 << 20]),
        ),
        options=ParseOptions(
            on_bad_record="quarantine", flatten_depth=0, batch_bytes=chance.choice([300, 3000, 8 << 20])
        ),
        flush=Flush(size=chance.choice([0, 0, 3000, 1 << 30]), seconds=1e9),
    )


def expected(table):
    rows = []
    for row in table.rows.values():
        plain = {called(name): value for name, value in row.items() if not isinstance(name, tuple)}
        rows.append(frozen({**plain, "_extra": row.get(("extra",))}))
    return Counter(rows)


def called(name):
    """The column of a property: `_extra` is where unknown fields go."""
    return "_extra__23339f47" if name == "_extra" else name


def frozen(row):
    """A row without its nulls, its values in one spelling."""
    return frozenset((name, canonical(value)) for name, value in row.items() if value is not None)


def canonical(value):
    """One spelling for a value and for the text that it became when its column did."""
    if isinstance(value, str):
        with_content = value[:1] in "[{" and value[-1:] in "]}"
        if with_content or re.fullmatch(r'".*"', value):
            try:
                return canonical(json.loads(value))
            except ValueError:
                return value
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return f"{value}T00:00:00.000000Z"
        if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
            moment = dt.datetime.fromisoformat(value).astimezone(dt.UTC)
            return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", value):
            return number(Decimal(value))
        return value
    match value:
        case bool():
            return str(value).lower()
        case int() | float() | Decimal():
            return number(Decimal(str(value)))
        case dt.datetime():
            return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        case dt.date():
            return f"{value}T00:00:00.000000Z"
        case list() | dict():
            return json.dumps(value, sort_keys=True, default=str)
    return value


def number(value):
    return f"{value.normalize() + 0:f}" if value else "0"


def smaller(runs, is_wrong):
    """The case without the messages that it does not need to be wrong. At most 300 attempts."""
    left = 300
    size = max(map(len, runs))
    while size:
        for number in range(len(runs)):
            at = 0
            while at < len(runs[number]) and left:
                kept = runs[number][:at] + runs[number][at + size :]
                fewer, left = [*runs[:number], kept, *runs[number + 1 :]], left - 1
                if is_wrong(fewer):
                    runs = fewer
                else:
                    at += size
        size //= 2
    return runs


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_the_tables_are_those_of_the_model(place, seed):
    runs = case(seed, place)
    wrong = run_case(runs, place, seed, f"s{seed}")
    if wrong is None:
        return
    attempts = (f"s{seed} try {number}" for number in count())

    def is_wrong(fewer):
        found = run_case(fewer, place, seed, next(attempts))
        return found is not None and ("missing" in found) == ("missing" in wrong)

    runs = smaller(runs, is_wrong)
    messages = "\n".join(f"run {number}: {json.dumps(message)}" for number, run in enumerate(runs) for message in run)
    wrong = run_case(runs, place, seed, next(attempts))
    pytest.fail(f"HEADWATER_SEED={seed}, {wrong}\n{messages}", pytrace=False)

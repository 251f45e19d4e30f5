"""Mutated Singer streams against the parser: `python fuzz.py FIRST COUNT` tries the seeds FIRST … FIRST + COUNT − 1.

A stream may be refused, with an error of ours. What is accepted must be what a plain reading of the lines says: each
record once and in order, its values unchanged, the last state byte for byte. Prints the peak memory in MB.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import traceback
from decimal import Decimal, InvalidOperation
from functools import partial

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import Checkpoint, Rejected, Rows
from headwater.connect.singer import parse

LONGEST_SECONDS = 30

SCHEMAS = {
    "users": {
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "score": {"type": ["null", "number"]},
        "on": {"type": ["null", "boolean"]},
        "any": {},
    },
    "orders": {
        "id": {"type": "string"},
        "total": {"type": ["null", "string"], "format": "singer.decimal"},
        "at": {"type": ["null", "string"], "format": "date-time"},
        "lines": {"type": ["null", "array"]},
        "buyer": {"type": ["null", "object"], "properties": {"id": {"type": ["null", "integer"]}}},
    },
}
TOKENS = [
    *("null", "true", "0", "-0", "1e400", "1E5", "NaN", "-Infinity", "9007199254740993", "12345678901234567890"),
    *("1.10", '""', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"2024-02-30"', '"2024-01-01T00:00:00+05:30"'),
    *("{}", "[]", '{"a":{"b":[1,{"c":null}]}}', "[" * 50 + "]" * 50, '{"id":1,"id":2}', '"é"', '"\\/"'),
]


exact = partial(json.loads, parse_float=Decimal)


def record(chance: random.Random, stream: str, number: int) -> str:
    if stream == "users":
        return (
            f'{{"id": {number}, "name": "n{number}", "score": {chance.choice(["null", "1.5", "-2", "1e3"])}, '
            f'"on": {chance.choice(["true", "false", "null"])}, "any": {chance.choice(TOKENS)}}}'
        )
    return (
        f'{{"id": "o{number}", "total": "{number}.50", "at": "2024-01-{number % 28 + 1:02}T10:00:00Z", '
        f'"lines": [{number}, "x"], "buyer": {{"id": {number}}}}}'
    )


def stream(chance: random.Random) -> list[str]:
    lines = [
        json.dumps({"type": "SCHEMA", "stream": name, "schema": {"properties": properties}, "key_properties": ["id"]})
        for name, properties in SCHEMAS.items()
    ]
    for number in range(chance.randint(1, 40)):
        name = chance.choice(list(SCHEMAS))
        lines.append(f'{{"type": "RECORD", "stream": "{name}", "record": {record(chance, name, number)}}}')
        if chance.random() < 0.2:
            lines.append(f'{{"type": "STATE", "value": {{"bookmarks": {{"{name}": {number}.0}}}}}}')
    return lines


def mutated(chance: random.Random, lines: list[str]) -> bytes:
    """A few changes: of lines, of JSON tokens, of bytes."""
    lines = list(lines)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                lines.insert(at, lines[at])
            case 1:
                del lines[at]
                lines = lines or [""]
            case 2:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines.insert(at, chance.choice(["", "  ", "[]", "1", "INFO hello", "{}", '{"type": "FOO"}', "null"]))
            case 4:
                cut = lines[at].rfind(": ") + 2
                lines[at] = lines[at][:cut] + chance.choice(TOKENS) + "}" * lines[at][cut:].count("}")
            case 5:
                old = chance.choice(['"id"', '"stream"', "RECORD", "null", "users", '"type"', ": "])
                new = chance.choice(['"id"', '"ID"', "record", "ACTIVATE_VERSION", "orders", chance.choice(TOKENS)])
                lines[at] = lines[at].replace(old, new, 1)
            case 6:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    data = bytearray(chance.choice(["\n", "\r\n"]).join(lines).encode() + b"\n")
    for _ in range(chance.choice([0, 0, 1, 3])):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + chance.randint(1, 30)]
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 4))
        data = data or bytearray(b"\n")
    return bytes(data)


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(0, 4)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


def attempt(seed: int) -> str | None:
    """What is wrong with how a seed's stream was taken; None when nothing is."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    data = mutated(chance, stream(chance))
    rows: dict[str, list[tuple[dict, set[str]]]] = {}
    state, told = None, []
    try:
        for message in parse.messages(pieces(chance, data), parse.ParseOptions(batch_bytes=500), told.append):
            match message:
                case Rows():
                    repaired = set(message.repaired)
                    rows.setdefault(message.stream, []).extend((row, repaired) for row in message.batch.to_pylist())
                case Checkpoint():
                    state = message.state
                case Rejected():
                    return "a record was rejected, though the policy is to fail"
    except HeadwaterError as error:
        return None if error.what and "\n" not in error.what else f"a poor message: {error.what!r}"
    return difference(data, rows, state)


def difference(data: bytes, rows: dict, state: bytes | None) -> str | None:
    expected: dict[str, list[dict]] = {}
    last = None
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.strip():
            continue
        message = exact(line)
        kind = str(message["type"]).upper()
        if kind == "RECORD":
            expected.setdefault(message["stream"], []).append(message["record"])
        elif kind == "STATE":
            last = message["value"]
    if state is None and last not in (None, {}):
        return "the last state is missing"
    if state is not None and exact(state) != last:
        return f"the state is {state!r} and should be {last!r}"
    for name in {*rows, *expected}:
        found, wanted = rows.get(name, []), expected.get(name, [])
        if len(found) != len(wanted):
            return f"{len(found)} rows of {name} instead of {len(wanted)}"
        for (row, repaired), given in zip(found, wanted, strict=True):
            for key, value in given.items():
                if key in row and key not in repaired and not isinstance(value, dict) and not same(row[key], value):
                    return f"{name}.{key} is {row[key]!r} and should be {value!r}"
    return None


def same(found: object, given: object) -> bool:
    """Whether a cell holds what the record says. Times are left to the tests of values."""
    if hasattr(found, "isoformat"):
        return isinstance(given, str)
    if isinstance(given, list):
        return isinstance(found, str) and exact(found) == given
    if found is None or given is None:
        return (given is None and found in (None, "null")) or given != given  # noqa: PLR0124 - NaN is null here
    if isinstance(given, bool) or isinstance(found, bool):
        return str(found).lower() == str(given).lower()
    one, other = plain(found), plain(given)
    return one == other or (number(one) is not None and number(one) == number(other))


def plain(value: object) -> str:
    """Text as it is; a cell of an untyped column holds JSON."""
    if isinstance(value, str) and value[:1] == '"':
        try:
            return str(exact(value))
        except ValueError:
            return value
    return str(value)


def number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def main() -> int:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for seed in range(first, first + count):
        signal.alarm(LONGEST_SECONDS)
        try:
            wrong = attempt(seed)
        except BaseException:  # noqa: BLE001 - an error that is not ours is what is looked for
            wrong = traceback.format_exc()
        if wrong:
            sys.stdout.write(f"seed {seed}: {wrong}\n")
            return 1
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the functions of a source's file declare."""

from __future__ import annotations

import datetime as dt
from types import ModuleType

import pytest

from headwater.sources import Secret
from headwater.sources.declared import DeclarationError, arguments, streams

HEAD = """
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NotRequired, TypedDict
from headwater.sources import Bookmark, Secret, stream
"""


def offered(code):
    module = ModuleType("orders")
    exec(compile(HEAD + code, "orders.py", "exec", dont_inherit=True), vars(module))  # noqa: S102 - the test's own code
    return streams(module)


def test_every_public_function_is_a_stream():
    assert [one.name for one in offered("def a(): ...\ndef b(): ...\ndef _c(): ...")] == ["a", "b"]


def test_once_one_is_decorated_only_decorated_ones_are():
    code = "@stream(name='A', keys=['x', 'y'], cursor='x')\ndef a(): ...\ndef helper(): ..."
    (one,) = offered(code)
    assert (one.name, one.keys, one.cursor, one.takes_bookmark) == ("A", ("x", "y"), "x", False)


ORDER = """
class Address(TypedDict):
    city: str

class Order(TypedDict):
    id: int
    price: Decimal
    at: dt.datetime | None
    kind: Literal["a", "b"]
    tags: list[str]
    to: Address
    note: NotRequired[str]
    any: int | str
"""
COLUMNS = {
    "id": "int64",
    "price": "decimal128(38, 9)",
    "at": "timestamp[us, tz=UTC]",
    "kind": "string",
    "tags": "string",
    "to__city": "string",
    "note": "string",
    "any": "string",
}


@pytest.mark.parametrize(
    "function",
    [
        "def orders() -> Iterator[Order]: ...",
        "def orders() -> Iterator[Order | Bookmark]: ...",
        "def orders() -> Iterator[list[Order]]: ...",
        "def orders() -> Order: ...",
        "@stream(schema=Order)\ndef orders(): ...",
    ],
)
def test_a_row_type_is_a_schema(function):
    (one,) = offered(ORDER + function)
    assert one.schema is not None
    assert {field.name: str(field.type) for field in one.schema} == COLUMNS
    assert [field.name for field in one.schema if field.metadata] == ["tags", "any"]


def test_settings_come_in_the_types_that_are_asked_for():
    code = "def a(key: Secret, since: dt.date | None, most: int = 5, at: dt.datetime = None, bookmark: str = ''): ..."
    (one,) = offered(code)
    given = arguments(one, {"key": "k", "since": "2026-01-02", "at": "2026-01-02"}, dt.date(2026, 1, 1))
    assert given == {
        "key": "k",
        "since": dt.date(2026, 1, 2),
        "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "bookmark": "2026-01-01",
    }
    assert isinstance(given["key"], Secret)
    assert repr(given["key"]) == "Secret(…)"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def a(*args): ...", "can be no setting"),
        ("@stream(ordered=True)\ndef a(): ...", "has no cursor"),
        ("@stream(keys='no', schema={'id': int})\ndef a(): ...", "has no column `no`"),
        ("@stream(name='b')\ndef a(): ...\n@stream\ndef b(): ...", "two streams are called `b`"),
        ("@stream(schema=5)\ndef a(): ...", "is no schema"),
    ],
)
def test_what_can_not_be_meant_is_refused(code, why):
    with pytest.raises(DeclarationError, match=why):
        offered(code)

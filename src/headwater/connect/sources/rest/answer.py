"""What an answer holds: the texts of its records, and the values by which its next page is found.

Only what is asked for is decoded. A record stays the JSON text that it came as.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import msgspec
from msgspec import Raw, Struct

from headwater.base.text import listed
from headwater.connect.http_calls import CallFailedError, Reply
from headwater.connect.singer import repair

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_LIST = msgspec.json.Decoder(list[Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, Raw]])
_ANY = msgspec.json.Decoder()
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
_NULL = b"null"


class NoSuchPathError(Exception):
    """Says what stands there instead."""


class Answer(Struct, frozen=True):
    """`body` is UTF-8. `is_marked`: it was not JSON until `repair.marked` went over it."""

    body: bytes
    headers: dict[str, str]
    url: str
    is_marked: bool = False


def parsed(reply: Reply) -> Answer:
    """Raises CallFailedError when the body is not JSON: it may be cut off, so it is worth to ask again."""
    body = _utf8(reply)
    is_marked = False
    try:
        if body.strip():
            _check(body)
    except (msgspec.MsgspecError, RecursionError):
        marked = repair.marked(body)
        try:
            if marked == body:
                raise
            _check(marked)
        except (msgspec.MsgspecError, RecursionError) as error:
            kind = reply.headers.get("content-type", "").partition(";")[0]
            said = f", it says it is `{kind}`" if kind and "json" not in kind else ""
            raise CallFailedError(f"its answer of {len(body):,} bytes is not JSON{said}: {error}") from error
        body, is_marked = marked, True
    return Answer(body, reply.headers, reply.url, is_marked)


def _check(body: bytes) -> None:
    """Whether it is JSON to its end, without an object for any value."""
    msgspec.json.decode(body, type=Raw)


def _utf8(reply: Reply) -> bytes:
    body = reply.body.removeprefix(b"\xef\xbb\xbf")
    found = _CHARSET.search(reply.headers.get("content-type", ""))
    charset = found[1] if found else "utf-8"
    try:
        text = body.decode(charset)
    except (UnicodeDecodeError, LookupError) as error:
        raise CallFailedError(f"its answer is not {charset}: {error}") from error
    return body if charset.lower().replace("-", "") == "utf8" else text.encode()


def value(answer: Answer, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    return _value(answer.body, path)


def _value(text: bytes | Raw, path: str) -> Any:
    try:
        for name in path.split(".") if path else ():
            if bytes(text)[:1] == b"[" and name.lstrip("-").isdigit():
                text = _LIST.decode(text)[int(name)]
            else:
                text = _OBJECT.decode(text)[name]
        return _ANY.decode(text)
    except (msgspec.MsgspecError, KeyError, IndexError):
        return None


def record_value(record: Raw, path: str) -> Any:
    """The value at a dotted path of a record."""
    return _value(record, path)


def records(answer: Answer, path: str, key_field: str | None = None) -> list[Raw]:
    """The records at `path`. An object there is one record, or with `key_field` as many as it has values. Nothing, or
    null, are no records. Raises NoSuchPathError."""
    if not answer.body.strip():
        return []
    at, is_list = bytes(answer.body).strip(), False
    found: list[Raw] = []
    for name in _steps(path):
        if name == "[]":
            found = _list(at, path)
            is_list = True
        elif is_list:
            found = [one for one in map(dict.get, _objects(found, path), repeat(name)) if one is not None]
        else:
            at = _member(at, name, path)
            if bytes(at).strip() == _NULL:
                return []
    if is_list:
        return found
    text = bytes(at).strip()
    if text[:1] == b"[":
        return _list(text, path)
    if text[:1] != b"{":
        raise NoSuchPathError(f"holds no records at `{path or '.'}`, but {_kind(text)}")
    return [Raw(text)] if key_field is None else _keyed(text, key_field)


def _steps(path: str) -> list[str]:
    return [step for step in path.replace("[]", ".[]").split(".") if step]


def _list(text: bytes | Raw, path: str) -> list[Raw]:
    try:
        found = _LIST.decode(text)
    except msgspec.MsgspecError as error:
        raise NoSuchPathError(f"holds no list at `{path}`, but {_kind(bytes(text).strip())}") from error
    return found


def _objects(found: Sequence[Raw], path: str) -> list[dict[str, Raw]]:
    try:
        return _OBJECTS.decode(b"[" + b",".join(found) + b"]")
    except msgspec.MsgspecError as error:
        raise NoSuchPathError(f"holds at `{path}` a list of something else than objects") from error


def _member(text: bytes | Raw, name: str, path: str) -> Raw:
    try:
        members = _OBJECT.decode(text)
    except msgspec.MsgspecError as error:
        raise NoSuchPathError(f"has no `{name}`, where `{path}` leads, but {_kind(bytes(text).strip())}") from error
    if name not in members:
        raise NoSuchPathError(f"has no `{name}`, where `{path}` leads: there is {listed(list(members)) or 'nothing'}")
    return members[name]


def _keyed(text: bytes, key_field: str) -> list[Raw]:
    """Each value of an object with its name as a first member."""
    label = msgspec.json.encode(key_field) + b":"
    found = []
    for name, member in _OBJECT.decode(text).items():
        inner = bytes(member).strip()
        if inner[:1] != b"{":
            inner = b'{"value":' + inner + b"}"
        rest = inner[1:].lstrip()
        found.append(Raw(b"{" + label + msgspec.json.encode(name) + (b"" if rest == b"}" else b",") + rest))
    return found


def _kind(text: bytes) -> str:
    names = {b"{": "an object", b"[": "a list", b'"': "a text", b"t": "true", b"f": "false", b"n": "null"}
    return names.get(text[:1], "a number" if text else "nothing")

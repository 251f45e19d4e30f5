"""What the members of a Singer message say. Raises RunFailedError (`bad-message`) for what they can't mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from headwater.base.errors import RunFailedError
from headwater.connect.singer import repair
from headwater.connect.singer.lines import Block, Envelope, Marked


def named(message: Envelope) -> str:
    """The name of its stream, without which it means nothing."""
    if message.stream is None:
        raise RunFailedError("bad-message", f"a {message.type.upper()} message names no stream")
    return message.stream


def all_named(records: Iterable[Envelope]) -> None:
    for record in records:
        named(record)


def state(message: Envelope) -> bytes:
    """The value of a STATE message as the tap wrote it."""
    text = bytes(message.value)
    if not text:
        raise RunFailedError("bad-message", "a STATE message has no value")
    return repair.unmarked(text) if isinstance(message, Marked) else text


def content(message: Envelope, text: Raw) -> Any:
    """What a member of the message holds; None for one that is absent."""
    if not bytes(text):
        return None
    try:
        return msgspec.json.decode(repair.mended(bytes(text))[0] if isinstance(message, Marked) else text)
    except (msgspec.MsgspecError, RecursionError) as error:
        of = f" of stream `{message.stream}`" if message.stream else ""
        raise RunFailedError("bad-message", f"a {message.type} message{of} cannot be read", why=str(error)) from None


def line(message: Envelope) -> bytes:
    """A SCHEMA message as a line of its own, with what is needed to read records by it."""
    members = {
        "schema": message.schema,
        "key_properties": message.key_properties,
        "bookmark_properties": message.bookmark_properties,
    }
    said = {name: Raw(original(text, marked=isinstance(message, Marked))) for name, text in members.items() if text}
    return msgspec.json.encode({"type": "SCHEMA", "stream": message.stream, **said})


def version(given: float | str | None, stream: str) -> int | None:
    """`5`, `"5"` and `5.0` are the version 5."""
    try:
        if given is None or int(given) == float(given):
            return None if given is None else int(given)
    except (ValueError, OverflowError):
        pass
    raise RunFailedError("bad-message", f"the version of stream `{stream}` is not an integer")


def original(record: Raw, *, marked: bool) -> bytes:
    """A record as the tap wrote it."""
    return repair.unmarked(bytes(record)) if marked else bytes(record)


def records(block: Block, path: str) -> list[Raw]:
    """The records of a block of a BATCH file."""
    try:
        return msgspec.json.Decoder(Raw).decode_lines(block.data)
    except msgspec.DecodeError as error:
        raise RunFailedError("bad-message", f"the BATCH file `{path}` is not JSON lines", why=str(error)) from None

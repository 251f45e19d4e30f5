"""Records of a fixed number of fields with a NUL before each, which none of them can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import RunFailedError


def whole(pieces: Iterable[bytes], period: int, size: int) -> Iterator[pa.Array]:
    """The fields of whole records, some `size` bytes at a time; a record is never cut. Raises RunFailedError
    (`git-log-unreadable`) when the last one has fewer fields than `period`."""
    held = bytearray()
    wanted = size
    for piece in pieces:
        held += piece
        if len(held) < wanted:
            continue
        count = (held.count(0) - 1) // period
        if not count:
            wanted = 2 * len(held)  # a commit of a million files is not looked through again and again
            continue
        tokens = _split(held, count, period)
        held = bytearray(b"\0") + tokens[len(tokens) - 1].as_py()
        wanted = size
        yield tokens.slice(1, count * period)
    if held:
        held += b"\0"
        count = (held.count(0) - 1) // period
        tokens = _split(held, count, period)
        if len(tokens) != count * period + 2 or tokens[len(tokens) - 1].as_py():
            raise unreadable()
        yield tokens.slice(1, count * period)


def _split(held: bytearray, count: int, period: int) -> pa.Array:
    """What stands before the first NUL, the fields of so many records, and the rest behind the NUL that follows."""
    text = pa.array([bytes(held)], pa.binary())
    return pc.split_pattern(text, b"\0", max_splits=count * period + 1).flatten()


def field(tokens: pa.Array, at: int, period: int) -> pa.Array:
    """Field number `at` of each record."""
    return tokens.take(pa.array(range(at, len(tokens), period), pa.int64()))


def unreadable() -> RunFailedError:
    return RunFailedError("git-log-unreadable", "`git` wrote what is not as it was asked for", hint="git --version")

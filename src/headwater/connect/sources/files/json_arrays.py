"""JSON: an array of objects, at the top of the file or where `records` leads (`data.items`); or one object, which is
one row. Read in blocks that hold whole records, however long the array is. Columns are as in `by_field`."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.connect.sources.files import by_field
from headwater.connect.sources.files.by_field import RECORD_LIST, Block, Fields
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Piece
from headwater.connect.sources.files.lines import Bytes, malformed, utf8
from headwater.connect.sources.files.open import opened
from headwater.connect.sources.text_types import Look

_BLOCK = 4 << 20
_LONGEST_RECORD = 128 << 20
_HINT = "mend the file; an array of objects is read, or set `format` to jsonl for one object a line"

# What a byte does to the depth, where it is not in a string.
_STEPS = bytes.maketrans(
    bytes(range(256)), bytes({0x5B: 1, 0x7B: 1, 0x5D: 255, 0x7D: 255}.get(byte, 0) for byte in range(256))
)
_TOKEN = re.compile(rb'\s*(?:("(?:[^"\\]|\\.)*")(\s*:)?|([\[\]{},])|[^\s\[\]{},":]+)', re.DOTALL)


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`."""
    return by_field.looks(_blocks(file, min(_BLOCK, most or _BLOCK)), takes, most)


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`; fields that a row does not have are told from nulls."""
    return by_field.pieces(file, _blocks(file, min(_BLOCK, batch_bytes)), columns)


def _blocks(file: DataFile, block: int) -> Iterator[Block]:
    with opened(file) as unpacked:
        text = _Text(utf8(unpacked, file), block)
        is_array = _at_records(file, text)
        is_over = not is_array and not text.held.strip()
        while not is_over:
            before = text.line
            records, is_over = (_whole if is_array else _one)(file, text)
            decoded = _decoded(file, records, before)
            fields: Fields = {}
            by_field.spread(file, decoded, "", None, fields)
            yield Block(fields, len(decoded), len(records))
        _finish(file, text)


def _finish(file: DataFile, text: _Text) -> None:
    """Read what is behind the records: a packed file is whole when its end is."""
    while True:
        if text.held.strip() and not file.dialect.records:
            raise malformed(file, "something stands behind the array", text.line, hint=_HINT)
        text.take(len(text.held))
        if not text.grow():
            return


class _Text:
    """A text of which a part is `held`; `line` is where that begins."""

    def __init__(self, text: Bytes, block: int) -> None:
        self._text = text
        self._block = block
        self.held = text.read(block).removeprefix(codecs.BOM_UTF8)
        self.line = 1

    def grow(self) -> bool:
        """Hold more; False at the end."""
        more = self._text.read(max(self._block, len(self.held)))
        self.held += more
        return bool(more)

    def take(self, size: int) -> bytes:
        taken, self.held = self.held[:size], self.held[size:]
        self.line += taken.count(b"\n")
        return taken


def _whole(file: DataFile, text: _Text) -> tuple[bytes, bool]:
    """All whole records that are held, at least one; and whether the array ends behind them."""
    while True:
        end, is_over = _end(text.held)
        if end or is_over:
            records = text.take(end)
            behind = text.take(1)
            if is_over and behind != b"]":
                raise malformed(file, "an array ends with `}`", text.line, hint=_HINT)
            return records, is_over
        if len(text.held) > _LONGEST_RECORD:
            raise malformed(file, f"a record is longer than {_LONGEST_RECORD >> 20} MiB", text.line, hint=_HINT)
        if not text.grow():
            raise malformed(file, "the array does not end", text.line, hint=_HINT)


def _end(data: bytes) -> tuple[int, bool]:
    """Where the last whole record ends: before a comma of the array, or before its bracket."""
    steps = _outside_strings(data)
    if steps is None:
        return 0, False
    depth = pc.cumulative_sum(steps.cast(pa.int32()))
    over = pc.index(depth, pa.scalar(-1, pa.int32())).as_py()
    if over >= 0:
        return over, True
    # A record ends where the depth comes back to that of the array.
    ends = pc.indices_nonzero(pc.and_(pc.equal(depth, 0), pc.equal(steps, pa.scalar(-1, pa.int8()))))
    if not len(ends):
        return 0, False
    end = int(ends[len(ends) - 1].as_py()) + 1
    comma = re.compile(rb"\s*,").match(data, end)
    return (comma.end() - 1, False) if comma else (_before(ends, data), False)


def _before(ends: pa.Array, data: bytes) -> int:
    """The comma behind the last but one record: behind the last none is held yet."""
    if len(ends) < 2:
        return 0
    comma = re.compile(rb"\s*,").match(data, int(ends[len(ends) - 2].as_py()) + 1)
    return comma.end() - 1 if comma else 0


def _outside_strings(data: bytes) -> pa.Array | None:
    """For each byte what it does to the depth."""
    if not data:
        return None
    # Escapes in pairs of equal length: what is left of quotes are those that begin and end strings.
    plain = data.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    steps = pa.Array.from_buffers(pa.int8(), len(data), [None, pa.py_buffer(plain.translate(_STEPS))])
    if b'"' not in plain:
        return steps
    quotes = pc.equal(
        pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(plain)]), pa.scalar(34, pa.uint8())
    )
    inside = pc.equal(pc.bit_wise_and(pc.cumulative_sum(quotes.cast(pa.int32())), 1), 1)
    return pc.if_else(inside, pa.scalar(0, pa.int8()), steps)


def _one(file: DataFile, text: _Text) -> tuple[bytes, bool]:
    """The one object of the file."""
    while text.grow():
        if len(text.held) > _LONGEST_RECORD:
            raise malformed(file, f"an object is longer than {_LONGEST_RECORD >> 20} MiB", 1, hint=_HINT)
    return text.take(len(text.held)), True


def _decoded(file: DataFile, records: bytes, line: int) -> list[dict[str, msgspec.Raw]]:
    try:
        return RECORD_LIST.decode(b"[" + records + b"]")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _fault(file, records, line, error) from error


def _fault(file: DataFile, records: bytes, line: int, error: Exception) -> RunFailedError:
    """With the line, where the error says at which byte it is or which record it is of."""
    place = re.search(r"\(byte (\d+)\)", str(error))
    if place:
        line += records.count(b"\n", 0, max(0, int(place[1]) - 1))
        why = str(error)[: place.start()].strip()
        return malformed(file, why, line, hint=_HINT)
    return malformed(file, str(error), line, hint=_HINT)


def _at_records(file: DataFile, text: _Text) -> bool:
    """Takes off what comes before the first record. False for a file with one object."""
    path = [part for part in (file.dialect.records or "").removeprefix("$").split(".") if part]
    if not path:
        while not text.held.strip() and text.grow():
            pass
        text.take(len(text.held) - len(text.held.lstrip()))
        if text.held.startswith(b"["):
            text.take(1)
            return True
        return False
    if not _walked(text, path):
        raise InputError(
            "unknown-column",
            f"`{file.label}` has no array `{file.dialect.records}`",
            where=Where(file.shown),
            hint="set `records` to the names that lead to the array, as `data.items`",
        )
    return True


def _walked(text: _Text, path: list[str]) -> bool:
    """Takes off all up to the first record of the array at the path. False when there is none."""
    found: list[str | None] = []  # the names of the objects around, None for those in arrays
    name: str | None = None
    for string, colon, mark in _tokens(text):
        if string is not None and colon:
            name = msgspec.json.decode(string, type=str)
        elif mark in (b"[", b"{"):
            found.append(name)
            if mark == b"[" and found[1:] == path:
                return True
            name = None
        elif mark in (b"]", b"}"):
            del found[-1:]
            if not found:
                return False
        elif mark is None:
            name = None
    return False


def _tokens(text: _Text) -> Iterator[tuple[bytes | None, bytes | None, bytes | None]]:
    """Names and texts, the colons behind them, brackets and commas. What was yielded last is taken off the text."""
    at = 0
    while True:
        token = _TOKEN.match(text.held, at)
        # What reaches to the end of what is held may go on behind it.
        if token is not None and token.end() < len(text.held):
            at = token.end()
            if token[3] == b"[":  # may be the one that is looked for
                text.take(at)
                at = 0
            yield token[1], token[2], token[3]
            continue
        text.take(at)
        at = 0
        if len(text.held) > _LONGEST_RECORD or not text.grow():
            return

"""Result rows as they come over the wire, decoded a column at a time.

A query is asked for as `select F, F, …, M, V, M, V, M`. The F are columns of eight bytes each, which are never null:
they lie at fixed places of the row. The V are of any length, and M is a mark that the query itself selects, so a search
for it finds where each value ends. Whether it found what it should is no matter of chance: a row says how long it is.
Where a value happens to hold the mark, a row seems too short, and those rows are read one by one.
"""

from __future__ import annotations

import secrets

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

_MARK_BYTES = 5
_HEADER_BYTES = 4
_WORD = 8
_LONGEST_PACKET = 0xFF_FF_FF
# A value stands behind its length, in 1 byte up to here, in 3 up to 64 KiB, in 4 up to 16 MiB, in 9 beyond.
_SHORT = 250
_LONG = 0xFF_FF


class UnexpectedRowError(Exception):
    """The server sent a row of another form than was asked for."""


class Layout(Struct, frozen=True, kw_only=True):
    """`words` columns of eight bytes, then `texts` of any length."""

    words: int
    texts: int
    mark: bytes

    @property
    def columns(self) -> int:
        return self.words + 1 + 2 * self.texts

    @property
    def start(self) -> int:
        """Where the words begin: behind the packet's header, a zero, and a bit for each column that is null."""
        return _HEADER_BYTES + 1 + (self.columns + 9) // 8


class Block(Struct, frozen=True, kw_only=True):
    """Rows by column: words as int64, texts as binary. `size` is that of what they were decoded from, in bytes."""

    words: list[pa.Array]
    texts: list[pa.Array]
    rows: int
    size: int


def mark() -> bytes:
    """One that nobody can foresee, and that can't overlap with itself."""
    while True:
        found = secrets.token_bytes(_MARK_BYTES)
        if found[0] not in found[1:]:
            return found


def decoded(data: bytes, layout: Layout) -> Block | None:
    """The whole rows that `data` begins with; None when there is none. Raises UnexpectedRowError."""
    pieces = pc.split_pattern(_one(data), pattern=layout.mark).flatten()
    width = layout.texts + 1
    count = (len(pieces) - 1) // width
    if count == 0:
        return None
    table = pa.FixedSizeListArray.from_arrays(pieces.slice(0, count * width), width)
    first, *texts = (pc.list_element(table, number) for number in range(width))
    lengths = [pc.binary_length(column) for column in (first, *texts)]
    if not _are_whole(first, lengths, layout):
        return _one_by_one(data, layout)
    size = sum(int(pc.sum(length).as_py()) for length in lengths) + count * width * _MARK_BYTES
    area = pc.binary_slice(first, layout.start, -1)
    return Block(
        words=_words(area, layout.words),
        texts=[_values(*pair) for pair in zip(texts, lengths[1:], strict=True)],
        rows=count,
        size=size,
    )


def _one(data: bytes) -> pa.Array:
    ends = pa.array([0, len(data)], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(data)])


def _are_whole(first: pa.Array, lengths: list[pa.Array], layout: Layout) -> bool:
    """Whether each row is as long as its header says. As the first row begins where it should, so then does each."""
    head = layout.start + _WORD * layout.words + 1
    if pc.min_max(lengths[0]).as_py() != {"min": head, "max": head}:
        return False
    header = _viewed(pc.binary_slice(first, 0, _HEADER_BYTES), pa.uint32())
    said = pc.bit_wise_and(header, pa.scalar(_LONGEST_PACKET, pa.uint32())).cast(pa.int32())
    total = pa.scalar(len(lengths) * _MARK_BYTES - _HEADER_BYTES, pa.int32())
    for length in lengths:
        total = pc.add(total, length)
    # Of a row that fills its packet the rest is in another one, behind a header.
    return bool(pc.all(pc.equal(total, said)).as_py()) and pc.max(said).as_py() < _LONGEST_PACKET


def _words(area: pa.Array, words: int) -> list[pa.Array]:
    if words == 0:
        return []
    flat = _viewed(area, pa.int64(), words)
    if words == 1:
        return [flat]
    table = pa.FixedSizeListArray.from_arrays(flat, words)
    return [pc.list_element(table, number) for number in range(words)]


def _viewed(values: pa.Array, to: pa.DataType, times: int = 1) -> pa.Array:
    """The bytes of values of one length, as numbers: so many of each."""
    return pa.Array.from_buffers(to, len(values) * times, [None, values.buffers()[2]])


def _values(pieces: pa.Array, lengths: pa.Array) -> pa.Array:
    """What stands behind the length, and before the length of the mark. Of a null there is only that of the mark."""
    sizes = pc.subtract(lengths, 1)
    most = pc.max(sizes).as_py()
    found = pc.binary_slice(pieces, 1, -1)
    for limit, ahead in ((_SHORT + 1, 3), (_LONG + 3, 4), (_LONGEST_PACKET + 4, 9)):
        if most > limit:
            found = pc.if_else(pc.greater(sizes, limit), pc.binary_slice(pieces, ahead, -1), found)
    is_there = pc.greater(sizes, 0)
    if pc.all(is_there).as_py():
        return found
    _, offsets, content = found.buffers()
    return pa.Array.from_buffers(pa.binary(), len(found), [is_there.buffers()[1], offsets, content])


# What follows is for rows that hold the mark, and rows of 16 MiB and more, of which there are few.


def _one_by_one(data: bytes, layout: Layout) -> Block | None:
    area = bytearray()
    texts: list[list[bytes | None]] = [[] for _ in range(layout.texts)]
    rows = size = 0
    while (packet := _packet(data, size)) is not None:
        row, end = packet
        if row[:1] != b"\0":
            break
        at = layout.start - _HEADER_BYTES
        absent = int.from_bytes(row[1:at], "little") >> 2
        area += row[at : (at := at + _WORD * layout.words)]
        at += 1 + _MARK_BYTES
        for number, values in enumerate(texts):
            is_null = absent >> (layout.words + 1 + 2 * number) & 1
            value, at = (None, at) if is_null else _value(row, at)
            values.append(value)
            at += 1 + _MARK_BYTES
        if at != len(row):
            raise UnexpectedRowError
        rows, size = rows + 1, end
    if rows == 0:
        return None
    fixed = pa.Array.from_buffers(pa.binary(_WORD), rows * layout.words, [None, pa.py_buffer(bytes(area))])
    flat = pa.Array.from_buffers(pa.int64(), len(fixed), [None, fixed.buffers()[1]])
    table = pa.FixedSizeListArray.from_arrays(flat, layout.words) if layout.words else None
    return Block(
        words=[pc.list_element(table, number) for number in range(layout.words)],
        texts=[pa.array(values, pa.binary()) for values in texts],
        rows=rows,
        size=size,
    )


def _packet(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The content that begins there, and where it ends; None when it is not all there."""
    parts = []
    while at + _HEADER_BYTES <= len(data):
        length = int.from_bytes(data[at : at + 3], "little")
        end = at + _HEADER_BYTES + length
        if end > len(data):
            return None
        parts.append(data[at + _HEADER_BYTES : end])
        at = end
        if length < _LONGEST_PACKET:
            return b"".join(parts), at
    return None


def _value(row: bytes, at: int) -> tuple[bytes, int]:
    length = row[at]
    at += 1
    if length > _SHORT:
        digits = {0xFC: 2, 0xFD: 3, 0xFE: 8}[length]
        length = int.from_bytes(row[at : at + digits], "little")
        at += digits
    return row[at : at + length], at + length

"""Columns as the text that LOAD DATA or an INSERT reads, made by Arrow a column at a time.

Every value is written exactly, so that the server has nothing to round, cut or guess.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.connect import types


class Form(Struct, frozen=True, kw_only=True):
    """A way of writing rows. `signs` are the bytes that texts can't hold as they are, with what stands for them."""

    signs: tuple[tuple[bytes, bytes], ...]
    null: bytes
    open: bytes
    between: bytes
    close: bytes
    text_quote: bytes = b""
    byte_quote: bytes = b""


LOAD_DATA = Form(
    signs=((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n")), null=b"\\N", open=b"", between=b"\t", close=b"\n"
)
# What LOAD DATA must be told to read it so. `binary` takes the bytes as they are; they are UTF-8 already.
LOAD_DATA_CLAUSE = r"character set binary fields terminated by '\t' escaped by '\\' lines terminated by '\n'"
INSERT = Form(
    signs=((b"\\", b"\\\\"), (b"'", b"\\'")),
    null=b"NULL",
    open=b"(",
    between=b",",
    close=b"),",
    text_quote=b"'",
    byte_quote=b"_binary'",
)

_FIRST_DAY, _LAST_DAY = -719162, 2932896  # 0001-01-01 and 9999-12-31, the first and last day that can be stored
_DAY = 86_400_000_000  # microseconds


class OutOfRangeError(Exception):
    """A value of the column at `position` has no like among the server's values of its type."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def rows(columns: list[pa.Array], form: Form) -> pa.Array:
    """A binary array with the text of each row. Raises OutOfRangeError for NaN, infinity, and years that MySQL does not
    have."""
    cells: list[pa.Array | pa.Scalar] = []
    for position, values in enumerate(columns):
        if not _fits(values):
            raise OutOfRangeError(position)
        cells.append(_cells(values, form))
    first = _joined([pa.scalar(form.open), cells[0]], b"", form) if form.open else cells[0]
    last = _joined([first if len(cells) == 1 else cells[-1], pa.scalar(form.close)], b"", form)
    if len(cells) == 1:
        return last
    return _joined([first, *cells[1:-1], last], form.between, form)


def data(lines: pa.Array) -> memoryview:
    """All lines, one after another. The array must have no offset, as that of `rows`."""
    buffer = lines.buffers()[2]
    return memoryview(b"") if buffer is None else memoryview(buffer)


def _joined(parts: list[pa.Array | pa.Scalar], separator: bytes, form: Form) -> pa.Array:
    return pc.binary_join_element_wise(
        *parts, pa.scalar(separator), null_handling="replace", null_replacement=form.null
    )


def _fits(values: pa.Array) -> bool:
    match types.kind(values.type):
        case "float64":
            return pc.all(pc.is_finite(values)).as_py() is not False
        case "date32":
            first, last = _FIRST_DAY, _LAST_DAY
            numbers = values.cast(pa.int32())
        case "timestamp":
            first, last = _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1
            numbers = values.cast(pa.int64())
        case _:
            return True
    bounds = pc.min_max(numbers).as_py()
    return bounds["min"] is None or (bounds["min"] >= first and bounds["max"] <= last)


def _cells(values: pa.Array, form: Form) -> pa.Array:
    match types.kind(values.type):
        case "string" | "binary":
            return _texts(values, form)
        case "bool":
            return values.cast(pa.int8()).cast(pa.string()).cast(pa.binary())
        case "timestamp":
            cells = values.cast(pa.timestamp("us")).cast(pa.string()).cast(pa.binary())
        case "date32" | "time64":
            cells = values.cast(pa.string()).cast(pa.binary())
        case _:
            return values.cast(pa.string()).cast(pa.binary())
    return _quoted(cells, form.text_quote, form)


def _texts(values: pa.Array, form: Form) -> pa.Array:
    quote = form.byte_quote if pa.types.is_binary(values.type) else form.text_quote
    cells = values.cast(pa.binary())
    held = _bytes(cells)
    for sign, written in form.signs:
        if sign in held:
            cells = pc.replace_substring(cells, sign, written)
    return _quoted(cells, quote, form)


def _quoted(cells: pa.Array, quote: bytes, form: Form) -> pa.Array:
    if not quote:
        return cells
    # Without a replacement for nulls a null stays one.
    return pc.binary_join_element_wise(pa.scalar(quote), cells, pa.scalar(form.text_quote), pa.scalar(b""))


def _bytes(cells: pa.Array) -> bytes:
    """The values' bytes, and maybe those of their neighbours."""
    buffer = cells.buffers()[2]
    return b"" if buffer is None else buffer.to_pybytes()

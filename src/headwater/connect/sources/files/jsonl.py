"""JSON lines: one object a line, read in blocks; no number passes through a float on the way. Columns are as in
`by_field`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pyarrow as pa

from headwater.base.errors import RunFailedError
from headwater.connect.sources.files import by_field
from headwater.connect.sources.files.by_field import RECORDS, Block, Fields
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad, Piece
from headwater.connect.sources.files.lines import malformed, whole_lines
from headwater.connect.sources.text_types import Look

_BLOCK = 8 << 20
_LONGEST_LINE = 128 << 20
_HINT = "mend the file; JSON lines hold one object each"

_Records = list[dict[str, msgspec.Raw]]


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`."""
    return by_field.looks(_blocks(file, min(_BLOCK, most or _BLOCK)), takes, most)


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`; fields that a row does not have are told from nulls."""
    return by_field.pieces(file, _blocks(file, batch_bytes), columns)


def _blocks(file: DataFile, block: int) -> Iterator[Block]:
    line, row = 1, 0
    for data, size in whole_lines(file, block, _LONGEST_LINE):
        records, bad = _records(file, data, line, row)
        line += data.count(b"\n")
        row += len(records)
        fields: Fields = {}
        by_field.spread(file, records, "", None, fields)
        yield Block(fields, len(records), size, bad)


def _records(file: DataFile, data: bytes, line: int, row: int) -> tuple[_Records, tuple[Bad, ...]]:
    try:
        records = RECORDS.decode_lines(data)
        # One object a line: neither two in one, nor one over several.
        if len(records) == sum(map(bool, map(bytes.strip, data.split(b"\n")))):
            return records, ()
    except (msgspec.MsgspecError, RecursionError):
        pass
    records, bad = _sorted_out(data, line, row)
    if file.sets_aside and bad:
        return records, tuple(bad)
    raise _fault(file, bad[0] if bad else Bad(row=row, line=line, record=b"", why="one object spans several lines"))


def _sorted_out(data: bytes, line: int, row: int) -> tuple[_Records, list[Bad]]:
    """The records of a block with lines that can't be read, and these."""
    records: _Records = []
    bad = []
    for number, text in enumerate(data.split(b"\n"), start=line):
        if not text.strip():
            continue
        try:
            records.append(RECORDS.decode(text))
        except (msgspec.MsgspecError, RecursionError) as error:
            bad.append(Bad(row=row + len(records), line=number, record=text.rstrip(b"\r"), why=str(error)))
    return records, bad


def _fault(file: DataFile, bad: Bad) -> RunFailedError:
    shown = f": {bad.record[:80].decode(errors='replace')}" if bad.record else ""
    return malformed(file, f"{bad.why}{shown}", bad.line, hint=_HINT)

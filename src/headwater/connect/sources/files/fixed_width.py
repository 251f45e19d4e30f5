"""Files with fixed widths: each column is some characters of the line, without the blanks around them; nothing but
blanks is null. A line that ends before its last column begins can't be read. Empty lines are no rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.sources import text_types
from headwater.connect.sources.files import written
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad, Piece
from headwater.connect.sources.files.lines import malformed, whole_lines, wrong_byte
from headwater.connect.sources.files.open import changed_while_read
from headwater.connect.sources.text_types import NOTHING, Look

_BLOCK = 4 << 20
_LONGEST_LINE = 16 << 20
_NO_TEXT = pa.scalar(None, pa.string())


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`."""
    seen = {place.name: NOTHING for place in file.dialect.positions if takes(place.name)}
    looked_at, is_empty = 0, True
    for batch, size, _ in _blocks(file, takes, min(_BLOCK, most or _BLOCK)):
        is_empty = is_empty and not batch.num_rows
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            seen[name] = text_types.joined(seen[name], written.looked_at(values, file.dialect))
        looked_at += size
        if most is not None and looked_at >= most:
            break
    return {} if is_empty and file.sets_aside and looked_at else seen


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`."""
    for batch, size, bad in _blocks(file, columns.names.__contains__, min(batch_bytes, _BLOCK)):
        fields = [columns.field(name) for name in batch.schema.names]
        try:
            arrays = [
                written.converted(values, field.type, file.dialect)
                for field, values in zip(fields, batch.columns, strict=True)
            ]
        except pa.ArrowInvalid as error:
            raise changed_while_read(file, str(error)) from error
        yield Piece(batch=pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), size=size, bad=bad)


def _blocks(
    file: DataFile, takes: Callable[[str], bool], block: int
) -> Iterator[tuple[pa.RecordBatch, int, tuple[Bad, ...]]]:
    """Strings, the bytes they came from, and what could not be read among them."""
    places = [place for place in file.dialect.positions if takes(place.name)]
    least = max(place.start for place in file.dialect.positions)
    nulls = pa.array(file.dialect.null_values, pa.string())
    line, row = 1, 0
    for data, size in whole_lines(file, block, _LONGEST_LINE):
        lines = _lines(file, data)
        good = pc.greater_equal(pc.utf8_length(lines), least)
        bad = _bad(file, lines, good, line, row)
        line += data.count(b"\n")
        lines = lines.filter(good)
        row += len(lines)
        arrays = []
        for place in places:
            start = place.start - 1
            values = pc.utf8_trim_whitespace(pc.utf8_slice_codeunits(lines, start, start + place.width))
            is_null = pc.or_(pc.equal(values, ""), pc.is_in(values, nulls))
            arrays.append(pc.if_else(is_null, _NO_TEXT, values))
        yield pa.RecordBatch.from_arrays(arrays, [place.name for place in places]), size, bad


def _lines(file: DataFile, data: bytes) -> pa.Array:
    ends = data.replace(b"\r\n", b"\n").removesuffix(b"\n")
    try:
        return pa.array(ends.split(b"\n"), pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise wrong_byte(file, str(error)) from error


def _bad(file: DataFile, lines: pa.Array, good: pa.Array, line: int, row: int) -> tuple[Bad, ...]:
    """Lines that are too short, but not empty ones. Raises RunFailedError for one that may not be set aside."""
    if pc.all(good).as_py():
        return ()
    found = []
    rows_before = pc.cumulative_sum(good.cast(pa.int64()))
    for place in pc.indices_nonzero(pc.invert(good)).to_pylist():
        text = str(lines[place])
        if text.strip():
            why = f"the line has {len(text)} characters, its last column begins at {_last(file)}"
            before = row + int(rows_before[place].as_py())
            found.append(Bad(row=before, line=line + place, record=text.encode(), why=why))
    if found and not file.sets_aside:
        raise malformed(file, found[0].why, found[0].line, hint="mend the file, or correct `positions`")
    return tuple(found)


def _last(file: DataFile) -> int:
    return max(place.start for place in file.dialect.positions)

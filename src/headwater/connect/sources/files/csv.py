"""CSV and TSV: read as text in blocks, typed over the whole file, converted without a change of any value.

The dialect is never guessed. An unquoted empty field is null, a quoted one is an empty text. A row with a wrong
number of fields, an open quote or text behind a closing quote stops the read and names its line; the first of these
can be set aside instead. Blank lines are no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.csv

from headwater.connect.sources import text_types
from headwater.connect.sources.files import csv_faults as faults
from headwater.connect.sources.files import written
from headwater.connect.sources.files.csv_blocks import (
    Done,
    NotInBlocksError,
    convert_options,
    in_blocks,
    in_order,
    parse_options,
)
from headwater.connect.sources.files.csv_text import Text, end_mark
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad, Piece, UnexpectedError
from headwater.connect.sources.files.open import changed_while_read, opened
from headwater.connect.sources.text_types import Look

T = TypeVar("T")

# Rows are cut into blocks; the longest row must fit into one. A file with longer rows is tried with larger blocks.
_BLOCK = 4 << 20


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`. Also the check of the whole file: `batches` looks for less."""
    seen: dict[str, Look] = {}

    def looked_at(batch: pa.RecordBatch) -> dict[str, Look]:
        return {
            name: text_types.TEXT if _is_text(seen, name) else written.looked_at(column, file.dialect)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }

    size = 0
    for block in _read(file, takes, min(_BLOCK, most or _BLOCK), looked_at, strict=True, tells=False):
        for name, look in block.found.items():
            seen[name] = text_types.joined(seen.get(name, text_types.NOTHING), look)
        size += block.size
        if most is not None and size >= most:
            break
    return seen


def _is_text(seen: dict[str, Look], name: str) -> bool:
    return name in seen and seen[name].kind is text_types.Kind.TEXT


class _Fitted(NamedTuple):
    batch: pa.RecordBatch
    looks: dict[str, Look]


def checked(file: DataFile, looks: dict[str, Look], batch_bytes: int) -> Iterator[Piece]:
    """As `batches`, without a look at the whole file before: `looks` are kept up to date. Raises UnexpectedError for a
    batch with which a column would have another type, and the errors of `looks`."""
    expected = {**looks}  # any look of these types tells as well whether values fit them

    def fitted(batch: pa.RecordBatch) -> _Fitted:
        arrays, found = [], {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            seen = written.fitted(values, expected[name], file.dialect)
            if seen is None:
                raise UnexpectedError(name)
            arrays.append(seen.values)
            found[name] = seen.look
        fields = [text_types.field_of(name, look) for name, look in found.items()]
        return _Fitted(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), found)

    for block in _read(file, looks.__contains__, min(batch_bytes, _BLOCK), fitted, strict=True):
        for name, look in block.found.looks.items():
            looks[name] = text_types.joined(looks[name], look)
        yield Piece(batch=block.found.batch, size=block.size, bad=block.bad)


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`."""

    def converted(batch: pa.RecordBatch) -> pa.RecordBatch:
        fields = [columns.field(name) for name in batch.schema.names]
        arrays = [_converted(file, field, column) for field, column in zip(fields, batch.columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    for block in _read(file, columns.names.__contains__, min(batch_bytes, _BLOCK), converted):
        yield Piece(batch=block.found, size=block.size, bad=block.bad)


def _converted(file: DataFile, field: pa.Field, values: pa.Array) -> pa.Array:
    try:
        return written.converted(values, field.type, file.dialect)
    except pa.ArrowInvalid as error:
        raise changed_while_read(file, str(error)) from error


def _read(
    file: DataFile,
    takes: Callable[[str], bool],
    block: int,
    work: Callable[[pa.RecordBatch], T],
    *,
    strict: bool = False,
    tells: bool = True,
) -> Iterator[Done[T]]:
    """What `work` makes of the file's rows, block by block, and what was set aside among them where it `tells`.
    `strict` adds a look for misplaced quotes."""
    rows = told = 0
    try:
        for done in in_blocks(file, takes, block, work, strict=strict, tells=tells):
            rows += done.rows
            told += len(done.bad)
            yield done
    except NotInBlocksError:
        texts = _texts(file, takes, block, strict=strict, tells=tells, rows=rows, told=told)
        yield from in_order((partial(_done, work, *one), one[1]) for one in texts)


def _done(work: Callable[[pa.RecordBatch], T], batch: pa.RecordBatch, size: int, bad: tuple[Bad, ...]) -> Done[T]:
    return Done(work(batch), batch.num_rows, size, bad)


def _texts(
    file: DataFile, takes: Callable[[str], bool], block: int, *, strict: bool, tells: bool, rows: int, told: int
) -> Iterator[tuple[pa.RecordBatch, int, tuple[Bad, ...]]]:
    """Batches of strings, with what was set aside among their rows; those behind the first `rows` and without the first
    `told` that were set aside."""
    delivered = rows
    aside = faults.Aside(file, tells=tells, told=told)
    while True:
        rows = 0
        try:
            for batch, size in _streamed(file, takes, block, aside if file.sets_aside else None, strict=strict):
                rows += batch.num_rows
                if rows > delivered or not batch.num_rows:
                    yield batch.slice(max(0, batch.num_rows - (rows - delivered))), size, aside.before(rows)
                    delivered = max(delivered, rows)
            if bad := aside.rest():
                yield batch.slice(0, 0), 0, bad
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block >= faults.LARGEST_ROW:
                raise faults.explained(file, error, block) from error
            block *= 8
        else:
            return


def _streamed(
    file: DataFile, takes: Callable[[str], bool], block: int, aside: faults.Aside | None, *, strict: bool
) -> Iterator[tuple[pa.RecordBatch, int]]:
    if aside is not None:
        aside.begin()
    with opened(file) as unpacked:
        text = Text(unpacked, file, strict=strict)
        names = text.names
        if not names:
            return
        wanted = [name for name in names if takes(name)]
        reader = pyarrow.csv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=block),
            parse_options=parse_options(file.dialect, aside, chunks=True),
            convert_options=convert_options(file.dialect, names, wanted),
        )
        ended, before, mark = False, 0, end_mark(file.dialect)
        for batch in reader:
            rows = batch.num_rows
            if rows and batch.column(0)[rows - 1].as_py() == mark:
                ended, rows = True, rows - 1
            yield batch.slice(0, rows).select(wanted), unpacked.position - before
            before = unpacked.position
        if not ended:
            raise faults.malformed(file, "a quote is left open at the end of the file")

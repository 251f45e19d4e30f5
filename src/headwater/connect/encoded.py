"""Rows as the bytes that their destination takes: a batch of one column with a value for each row.

A source and a destination of one kind need not know what is in a row. They agree on a form by its name; the rows are
counted, kept and committed like all others. Where nobody needs to know where a row begins either, they come in blocks:
all bytes of a batch are in the values of some of its rows, those of the others are empty.
"""

from __future__ import annotations

import pyarrow as pa

# A row of PostgreSQL's binary COPY: the number of its fields, then each as its length and its bytes. Every value comes
# in the type that `destinations.postgres` makes for its column.
POSTGRES_COPY = "postgres-copy"
# No form, but said with one: the stream has no table there yet, so its rows are best sent without a checkpoint between,
# and may come in blocks then.
AT_ONCE = "at-once"

_FORM = b"headwater.form"
_COLUMNS = b"headwater.columns"
_UNIQUE = b"headwater.unique"
_BLOCKS = b"headwater.blocks"


def column(form: str, columns: pa.Schema, *, is_unique: bool, in_blocks: bool = False) -> pa.Schema:
    """The schema of batches whose rows have those columns, of the contract, in that order. With `is_unique` no two rows
    of a read have the same key."""
    metadata = {
        _FORM: form.encode(),
        _COLUMNS: columns.serialize().to_pybytes(),
        _UNIQUE: b"yes" if is_unique else b"",
        _BLOCKS: b"yes" if in_blocks else b"",
    }
    return pa.schema([pa.field("row", pa.binary(), metadata=metadata)])


def form(batch: pa.RecordBatch) -> str | None:
    """None for rows that are not encoded."""
    metadata = batch.schema.field(0).metadata if batch.num_columns == 1 else None
    return metadata[_FORM].decode() if metadata and _FORM in metadata else None


def columns(batch: pa.RecordBatch) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(batch.schema.field(0).metadata[_COLUMNS]))


def is_unique(batch: pa.RecordBatch) -> bool:
    return bool(batch.schema.field(0).metadata[_UNIQUE])


def in_blocks(batch: pa.RecordBatch) -> bool:
    """False for rows that are not encoded."""
    return form(batch) is not None and bool(batch.schema.field(0).metadata[_BLOCKS])


def content(batch: pa.RecordBatch) -> memoryview:
    """All rows, one after another."""
    rows = batch.column(0)
    _, offsets, data = rows.buffers()
    bounds = memoryview(offsets).cast("i")[rows.offset : rows.offset + len(rows) + 1]
    return memoryview(data).cast("B")[bounds[0] : bounds[-1]]

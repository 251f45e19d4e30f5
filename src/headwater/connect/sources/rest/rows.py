"""The records of one stream as Arrow batches. Where a page holds what the stream's columns do not, they learn it first.

What is known is read at once, by the same ways as records of Singer taps; a page that surprises costs more, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa
from msgspec import Raw

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.singer import shape
from headwater.connect.singer.records import BadRecordsError, Builder, Built
from headwater.connect.singer.schema import Family, Leaf
from headwater.connect.singer.shape import Shape
from headwater.connect.sources.rest import learn
from headwater.sources.rows import MISSING

_MOST_COLUMNS = 10_000


class Bad(Exception):  # noqa: N818 - a finding
    """Records that can't be loaded, and why, by their number."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class Records:
    """`known` are the columns to begin with. Types only ever get wider."""

    def __init__(self, stream: str, known: Sequence[Leaf], *, keys: tuple[str, ...]) -> None:
        self._stream = stream
        self._keys = keys
        self._builder = Builder(Shape(stream=stream))
        self._adopt(known)

    @property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Of each column that is a member of an object, or has another name than its field, where it stands."""
        return {column.name: column.path for column in self._builder.shape.columns if column.path != (column.name,)}

    def batch(self, records: Sequence[Raw], *, marked: bool) -> tuple[pa.RecordBatch, dict[str, int]]:
        """A batch with a column for each field that has had a value, and what was changed to fit, by column. With keys,
        a column `MISSING` says of each record what it did not send. Raises Bad, RunFailedError (`bad-answer`)."""
        try:
            built = self._built(records, marked=marked)
        except msgspec.DecodeError as error:
            raise RunFailedError(
                "bad-answer",
                f"a record of stream `{self._stream}` is no object",
                why=str(error),
                hint="correct `records`, the path to the list of objects",
            ) from error
        columns: dict[str, pa.Array] = dict(zip(built.batch.schema.names, built.batch.columns, strict=True))
        empty = [column.name for column in self._builder.shape.columns if column.family is Family.NULL]
        fields = [field for field in built.batch.schema if field.name not in empty]
        plain = [pa.field(one.name, one.type, metadata=JSON_FIELD if types.is_json(one) else None) for one in fields]
        arrays = [columns[field.name] for field in plain]
        if built.missing is not None:
            plain.append(pa.field(MISSING, pa.list_(pa.string())))
            arrays.append(built.missing)
        if not plain:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * len(records), pa.struct([]))), built.repaired
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(plain)), built.repaired

    def _built(self, records: Sequence[Raw], *, marked: bool) -> Built:
        if not self._builder.shape.columns:
            self._learn(records)
        for _ in range(3):
            try:
                built = self._builder.build(records, marked=marked)
            except BadRecordsError as bad:
                if not self._learn(records):
                    raise Bad(bad.reasons) from bad
                continue
            if not self._surprises(built):
                return built
            self._learn(records)
        return built

    def _surprises(self, built: Built) -> bool:
        """Whether there are fields without a column, or the first values of a column that had none."""
        known = self._builder.shape
        if built.extras or known.extra_name is not None:
            return True
        return any(
            column.family is Family.NULL and array.null_count < len(array)
            for column, array in zip(known.columns, built.batch.columns, strict=True)
        )

    def _learn(self, records: Sequence[Raw]) -> bool:
        """Take the fields and types of these records in. False when that changes nothing."""
        known = {column.path: column for column in self._builder.shape.columns}
        before = self._builder.shape.revision
        wanted: list[Leaf] = []
        for leaf in learn.leaves(records):
            column = known.get(leaf.path)
            if column is None:
                wanted.append(leaf)
            elif (family := learn.joined(column.family, leaf.family)) is not None:
                kind = leaf.type if column.family is Family.NULL else types.STRING
                column.family, column.first, column.type, column.loose = family, kind, kind, family is Family.TEXT
                self._builder.shape.revision += 1
        self._forget_extras()
        self._adopt(wanted)
        return self._builder.shape.revision != before

    def _forget_extras(self) -> None:
        known = self._builder.shape
        if known.extras or known.extra_name is not None:
            known.extras.clear()
            known.extra_name = None
            known.walk = False
            known.revision += 1
            self._builder.told.clear()

    def _adopt(self, leaves: Sequence[Leaf]) -> None:
        known = self._builder.shape
        if len(known.columns) + len(leaves) > _MOST_COLUMNS:
            raise RunFailedError(
                "too-many-columns",
                f"the records of stream `{self._stream}` have more than {_MOST_COLUMNS:,} fields",
                hint="their names may be data: with `key_field`, an object's members are records",
            )
        names = {"__".join(leaf.path) for leaf in leaves} | {column.name for column in known.columns}
        keys = tuple(key for key in self._keys if key in names)
        paths = {"__".join(leaf.path): leaf.path for leaf in leaves} | {c.name: c.path for c in known.columns}
        flat = tuple(key for key in keys if len(paths[key]) == 1)
        shape.adopt(known, leaves, keys=flat, cursor=None, required=frozenset())


def with_constants(batch: pa.RecordBatch, values: Mapping[str, object]) -> pa.RecordBatch:
    """The batch with a column for each value, the same in every row."""
    for name, value in values.items():
        is_json = isinstance(value, dict | list)
        plain = pa.scalar(msgspec.json.encode(value).decode() if is_json else value)
        field = pa.field(name, plain.type, metadata=JSON_FIELD if is_json else None)
        array = pa.repeat(plain, batch.num_rows)
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, field, array) if at >= 0 else batch.append_column(field, array)
    return batch

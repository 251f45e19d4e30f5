"""What the steps of a stage work on: a stream's shape, and the rows of one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NoReturn, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.connect import types
from headwater.connect.contract import Schema

Masks = Mapping[str, pa.Array]


class View(Struct, frozen=True, kw_only=True):
    """A stream as it is at one point on the way."""

    stream: str
    columns: pa.Schema
    keys: tuple[str, ...] = ()
    cursor: str | None = None

    def field(self, name: str) -> pa.Field:
        return self.columns.field(self.columns.get_field_index(name))

    def has(self, name: str) -> bool:
        return name in self.columns.names


class Part(Struct, frozen=True, kw_only=True):
    """Rows of a batch that are still there. `origin` says for each of them which row of the batch it came as,
    `missing` by column in which rows it was not sent, `bad` by such a row why it cannot go on."""

    batch: pa.RecordBatch
    origin: pa.Array
    missing: Masks
    repaired: dict[str, int]
    bad: dict[int, str]

    def taken(self, wanted: pa.Array) -> Part:
        """Only the rows where `wanted`, which has no nulls, is true."""
        return replace(
            self,
            batch=self.batch.filter(wanted),
            origin=self.origin.filter(wanted),
            missing={name: mask.filter(wanted) for name, mask in self.missing.items()},
        )

    def without(self, bad: Mapping[int, str]) -> Part:
        """Without the rows in `bad`, which are numbered as they stand now."""
        if not bad:
            return self
        rows = sorted(bad)
        reasons = {self.origin[row].as_py(): bad[row] for row in rows}
        stays = pc.invert(pc.is_in(numbers(self.batch.num_rows), pa.array(rows, types.INT64)))
        return replace(self.taken(stays), bad={**self.bad, **reasons})


Work = Callable[[Part], Part]


class Step(Protocol):
    def ready(self, view: View) -> tuple[View, Work]:
        """The stream's shape after the step, and what does it. Raises InputError when the step does not fit."""
        ...


class Site(Struct, frozen=True, kw_only=True):
    """Where a step stands, for its errors: `mapper `tidy``, the place in the project file."""

    owner: str
    where: Where | None = None
    pattern: str = ""
    step: str = ""

    def fail(
        self, reference: str, what: str, *, stream: str = "", why: str | None = None, hint: str | None = None
    ) -> NoReturn:
        place = f"stream `{stream}`" if stream else f"stages of `{self.pattern}`" if self.pattern else ""
        at = ", ".join(part for part in (self.owner, place, self.step) if part)
        raise InputError(reference, f"{at}: {what}", where=self.where, why=why, hint=hint)

    def unknown(self, column: str, view: View, hint: str | None = None) -> NoReturn:
        guess = did_you_mean(column, view.columns.names)
        self.fail(
            "unknown-column",
            f"there is no column `{column}`",
            stream=view.stream,
            hint=f"did you mean `{guess}`?" if guess else hint or f"there are: {', '.join(view.columns.names[:20])}",
        )


def view_of(schema: Schema) -> View:
    return View(stream=schema.stream, columns=schema.columns, keys=schema.keys, cursor=schema.cursor)


def numbers(count: int) -> pa.Array:
    """0, 1, …, count - 1."""
    return pa.array(range(count), types.INT64)


def assembled(fields: Sequence[pa.Field], arrays: Sequence[pa.Array], rows: int) -> pa.RecordBatch:
    """A batch of these columns; one without columns still has its rows."""
    if fields:
        return pa.RecordBatch.from_arrays(list(arrays), schema=pa.schema(fields))
    return pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([])).take(pa.repeat(0, rows)))


def masks(missing: pa.Array | None, rows: int) -> dict[str, pa.Array]:
    """`Rows.missing` by column: in which rows it is missing."""
    if missing is None:
        return {}
    names, parents = pc.list_flatten(missing), pc.list_parent_indices(missing)
    found = {}
    for name in pc.unique(names).to_pylist():
        present = parents.filter(pc.equal(names, name))
        found[name] = pc.is_in(numbers(rows), present.cast(types.INT64))
    return found


def lists(missing: Masks, rows: int) -> pa.Array | None:
    """`masks` turned back."""
    present = {name: mask for name, mask in missing.items() if pc.any(mask).as_py()}
    if not present:
        return None
    places = pa.concat_arrays([pc.indices_nonzero(mask) for mask in present.values()])
    names = pa.concat_arrays([pa.repeat(name, pc.sum(mask).as_py()) for name, mask in present.items()])
    counts: Any = reduce(pc.add, [mask.cast(pa.int32()) for mask in present.values()])
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts).cast(pa.int32())])
    assert len(offsets) == rows + 1
    return pa.ListArray.from_arrays(offsets, names.take(pc.sort_indices(places)), mask=pc.equal(counts, 0))


def all_missing(part: Part, inputs: Sequence[str]) -> pa.Array | None:
    """In which rows none of `inputs` was sent; None when there is no such row."""
    if not inputs or any(name not in part.missing for name in inputs):
        return None
    mask = reduce(pc.and_, [part.missing[name] for name in inputs])
    return mask if pc.any(mask).as_py() else None

"""The columns of one stream while a run goes on: what its schemas said, widened by what its records hold.

A shape only grows. A property that a later schema no longer has keeps its column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
from msgspec import Struct, field

from headwater.connect import members, types
from headwater.connect.names import digest
from headwater.connect.singer import schema
from headwater.connect.singer.schema import SEPARATOR, Family, Leaf

EXTRA = "_extra"
# Beyond this many unknown fields a stream's names are data themselves; they are then read record by record.
MOST_EXTRAS = 200

Path = tuple[str, ...]


class Column(Struct):
    """`type` is what the column has become, `first` what its schema says, `loose` that values came as something
    else and each one is looked at. `exact` columns (keys, cursors) are never repaired. `items` is what a JSON column's
    lists hold, as the first schema had it."""

    path: Path
    name: str
    family: Family
    first: pa.DataType
    type: pa.DataType
    exact: bool = False
    loose: bool = False
    stated: bytes = b""
    items: pa.DataType | None = None


class Node(Struct):
    """A member of a record: a column (by its index), an unknown field that was met, an object with members."""

    column: int | None = None
    extra: bool = False
    members: dict[str, Node] | None = None


class Shape(Struct):
    """`extras` are the unknown fields met so far. `walk` says that records cannot be decoded in bulk.
    `revision` grows with each change that matters to decoding."""

    stream: str
    keys: tuple[str, ...] = ()
    cursor: str | None = None
    required: frozenset[str] = frozenset()
    columns: list[Column] = field(default_factory=list)
    extras: set[Path] = field(default_factory=set)
    extra_name: str | None = None
    walk: bool = False
    revision: int = 0

    @property
    def wants_presence(self) -> bool:
        """Whether a missing field differs from a null: without a key there is no old row whose value would stay."""
        return bool(self.keys or self.required)


def adopt(
    shape: Shape, leaves: Sequence[Leaf], *, keys: tuple[str, ...], cursor: str | None, required: frozenset[str]
) -> bool:
    """Take over a schema message. False when it changes nothing."""
    before = arrow_schema(shape), shape.keys, shape.required, shape.cursor
    known = {column.path: column for column in shape.columns}
    # The shallow path comes first where two of them want one name, whatever the order in the schema.
    names = {column.path: column.name for column in shape.columns}
    for leaf in sorted(leaves, key=lambda leaf: len(leaf.path)):
        if leaf.path not in names:
            names[leaf.path] = column_name(leaf.path, [*names.values(), EXTRA])
    for leaf in leaves:
        column = known.get(leaf.path)
        if column is None:
            column = Column(
                leaf.path, names[leaf.path], leaf.family, leaf.type, leaf.type, stated=leaf.stated, items=leaf.items
            )
            shape.columns.append(column)
            shape.extras.discard(leaf.path)
            shape.revision += 1
        elif (column.family, column.first) != (leaf.family, leaf.type):
            _redeclare(column, leaf)
            shape.revision += 1
    shape.keys, shape.required = tuple(names[(key,)] for key in keys), required
    shape.cursor = None if cursor is None else names.get((cursor,))
    for column in shape.columns:
        column.exact = column.name in (*shape.keys, shape.cursor)
    shape.revision += (shape.keys, required) != before[1:3]
    return before[1:] != (shape.keys, shape.required, shape.cursor) or not same(before[0], arrow_schema(shape))


def _redeclare(column: Column, leaf: Leaf) -> None:
    """A property whose declaration changed. What the lattice refuses is passed on: the destination must say no."""
    if Family.JSON in (column.family, leaf.family):
        # Stored text cannot become JSON without rewriting it; JSON holds everything as it is.
        column.family = Family.JSON if column.family is Family.JSON else Family.TEXT
        column.first = column.type = types.STRING
    elif types.widen(column.first, leaf.type) is None:
        column.family, column.first, column.type = leaf.family, leaf.type, leaf.type
    else:
        both = types.widen(column.type, leaf.type) or types.widen(leaf.type, column.type) or types.STRING
        column.family, column.first, column.type = leaf.family, leaf.type, both
    column.loose = False


def column_name(path: Path, taken: Collection[str]) -> str:
    """`a__b`, or with a hash of the path when another column has that name."""
    name = SEPARATOR.join(path)
    return f"{name}{SEPARATOR}{digest(chr(0).join(path))}" if name in taken else name


def add_extras(shape: Shape, paths: Iterable[Path]) -> None:
    """Remember unknown fields. The first of all makes the `_extra` column, whose name no property gets."""
    fresh = sorted(set(paths) - shape.extras)
    if fresh:
        shape.extra_name = EXTRA
    if len(shape.extras) + len(fresh) > MOST_EXTRAS:
        shape.walk = True
        fresh = fresh[: MOST_EXTRAS - len(shape.extras)]
    shape.extras.update(fresh)
    shape.revision += bool(fresh)


def arrow_schema(shape: Shape) -> pa.Schema:
    """The columns as they are now."""
    fields = [
        schema.field(column.name, column.family, column.type, column.first, column.stated) for column in shape.columns
    ]
    if shape.extra_name is not None:
        fields.append(pa.field(shape.extra_name, types.STRING, metadata=members.FIELD))
    return pa.schema(fields)


def same(one: pa.Schema, other: pa.Schema) -> bool:
    """Whether two schemas say the same, their metadata included."""
    return bool(one.equals(other, check_metadata=True))


def tree(shape: Shape) -> Node:
    """The columns and known extras as the objects of a record."""
    root = Node(members={})
    for index, column in enumerate(shape.columns):
        _place(root, column.path).column = index
    for path in shape.extras:
        _place(root, path).extra = True
    return root


def _place(root: Node, path: Path) -> Node:
    node = root
    for name in path:
        if node.members is None:
            node.members = {}
        node = node.members.setdefault(name, Node())
    return node

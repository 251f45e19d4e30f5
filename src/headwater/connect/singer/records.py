"""Records of one stream to one Arrow batch.

Three ways lead there and end in equal tables: by Arrow's reader (`columnar`), through objects of the stream's
`Layout`, and member by member. A batch with something in it that the first or second does not expect goes the next
one. The third learns, so the next batch takes the others again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw, Struct, field

from headwater.connect import types
from headwater.connect.singer import columnar, layout, repair, shape, values
from headwater.connect.singer.columnar import Reader
from headwater.connect.singer.layout import Layout, Members
from headwater.connect.singer.shape import Node, Path, Shape

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
# Fewer records than this gain nothing by Arrow's reader.
_FEW = 100
# Of a source with records that Arrow's reader can't take, every 64th batch is still tried.
_MOST_UNSURE = 6


class BadRecordsError(Exception):
    """Some records of the batch cannot be loaded: `reasons` by row."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class Built(Struct):
    """`missing` as in `contract.Rows`; `extras` are unknown fields met for the first time."""

    batch: pa.RecordBatch
    missing: pa.Array | None
    repaired: dict[str, int]
    extras: list[Path] = field(default_factory=list)


class Builder(Struct):
    """Builds the batches of one stream. `read` and `walked` count the records that took the first and the third way;
    `skipped` batches are left out of the first after it was `unsure` so often, and for nothing."""

    shape: Shape
    read: int = 0
    walked: int = 0
    revision: int = -1
    reader: Reader | None = None
    ready: Layout | None = None
    unsure: int = 0
    skipped: int = 0
    told: set[Path] = field(default_factory=set)

    def build(self, records: Sequence[Raw], *, marked: bool = False) -> Built:
        """`records` are JSON texts; `marked` says that `repair.marked` went over some of them.

        Widens the shape's columns where values ask for it. Raises BadRecordsError, and then widens nothing.
        """
        if self.revision != self.shape.revision:
            self.reader = columnar.make(self.shape)
            self.ready = layout.make(self.shape)
            self.revision = self.shape.revision
        found = None if marked or self.reader is None else self._read(self.reader, records)
        if found is not None:
            return found
        if self.ready is not None and not marked:
            try:
                members = layout.decode(self.ready, records, presence=self.shape.wants_presence)
            except (msgspec.DecodeError, RecursionError, OverflowError):
                pass
            else:
                return self._built(members, len(records), marked=False)
        self.walked += len(records)
        walk = _Walk(self.shape, len(records))
        members = walk.members(records)
        if walk.bad:
            raise BadRecordsError(walk.bad)
        shape.add_extras(self.shape, walk.unknown)
        if walk.mixed and not self.shape.walk:
            self.shape.walk = True
            self.shape.revision += 1
        return self._built(members, len(records), marked=marked)

    def _read(self, reader: Reader, records: Sequence[Raw]) -> Built | None:
        """None when the records have to take another way."""
        if len(records) < _FEW or self.skipped:
            self.skipped = max(0, self.skipped - 1)
            return None
        try:
            members = columnar.decode(reader, records, presence=self.shape.wants_presence)
            built = self._built(members, len(records), marked=False)
        except (columnar.UnsureError, pa.ArrowInvalid):
            self.unsure = min(self.unsure + 1, _MOST_UNSURE)
            self.skipped = 2**self.unsure
            return None
        self.unsure = 0
        self.read += len(records)
        return built

    def _built(self, members: Members, rows: int, *, marked: bool) -> Built:
        built = _columns(self.shape, members, rows, marked=marked)
        built.extras = sorted(self.shape.extras - self.told)
        self.told.update(built.extras)
        return built


def _columns(known: Shape, members: Members, rows: int, *, marked: bool) -> Built:
    """The members as columns; the shape takes over the widened types only when all went well."""
    arrays: list[pa.Array] = []
    repaired: dict[str, int] = {}
    bad: dict[int, str] = {}
    loose: list[int] = []
    for index, column in enumerate(known.columns):
        found = members.columns.get(index)
        if found is None:
            arrays.append(pa.nulls(rows, column.type))
            continue
        if isinstance(found, pa.Array):
            fitted = values.from_array(column.family, column.type, found, exact=column.exact)
        elif index in members.raw:
            fitted = values.from_tokens(
                column.family, column.type, found, exact=column.exact, loose=column.loose, marked=marked
            )
        else:
            fitted = values.from_values(column.family, column.type, found, exact=column.exact)
        arrays.append(fitted.array)
        if fitted.repaired:
            repaired[column.name] = fitted.repaired
        for row, reason in (fitted.bad or {}).items():
            bad.setdefault(row, f"column `{column.name}`: {reason}")
        if fitted.loose:
            loose.append(index)
    _require(known, arrays, members.absent, bad)
    if bad:
        raise BadRecordsError(bad)
    for column, array in zip(known.columns, arrays, strict=True):
        column.type = array.type
    for index in loose:
        known.columns[index].loose = True
        known.revision += 1
    without_extra = None
    if known.extra_name is not None:
        extra, changed = _extra(members.extras, rows, marked=marked)
        arrays.append(extra)
        if known.keys and extra.null_count:
            # A record without unknown fields says nothing of those that came before.
            without_extra = extra.is_null().to_pylist()
        if changed:
            repaired[known.extra_name] = changed
    batch = pa.RecordBatch.from_arrays(arrays, schema=shape.arrow_schema(known))
    return Built(batch, _missing(known, members.absent, without_extra), repaired)


def _require(known: Shape, arrays: list[pa.Array], absent: dict[str, list[bool]], bad: dict[int, str]) -> None:
    """Every key has a value, every required field is there."""
    for column, array in zip(known.columns, arrays, strict=True):
        if column.name in known.keys and array.null_count:
            for row in pc.indices_nonzero(array.is_null()).to_pylist():
                bad.setdefault(row, f"the key `{column.name}` has no value")
    for name in known.required & absent.keys():
        for row in compress(count(), absent[name]):
            bad.setdefault(row, f"the required field `{name}` is missing")


def _missing(known: Shape, absent: dict[str, list[bool]], without_extra: list[bool] | None) -> pa.Array | None:
    """For each record the columns it did not send. There are few patterns, so they are built once and taken."""
    if not known.keys:
        return None
    groups = [(flags, [c.name for c in known.columns if c.path[0] == top]) for top, flags in absent.items()]
    if without_extra is not None:
        groups.append((without_extra, [shape.EXTRA]))
    if not groups:
        return None
    patterns = list(zip(*(flags for flags, _ in groups), strict=True))
    numbers = {pattern: number for number, pattern in enumerate(set(patterns))}
    order = [*(column.name for column in known.columns), known.extra_name]
    lists = [
        sorted(
            (name for flag, (_, names) in zip(pattern, groups, strict=True) if flag for name in names), key=order.index
        )
        or None
        for pattern in numbers
    ]
    indices = pa.array(list(map(numbers.__getitem__, patterns)), pa.int32())
    return pa.array(lists, pa.list_(types.STRING)).take(indices)


def _extra(extras: dict[Path, Sequence[bytes]], rows: int, *, marked: bool) -> tuple[pa.Array, int]:
    """The unknown fields of each record as one JSON object; null for a record that has none."""
    pieces: list[pa.Array] = []
    taken: set[str] = set()
    changed = 0
    for path in sorted(extras):
        name = shape.column_name(path, taken)
        taken.add(name)
        tokens = extras[path]
        if marked:
            mended = [repair.mended(bytes(token)) for token in tokens]
            changed += sum(was for _, was in mended)
            tokens = [text.encode() for text, _ in mended]
        strings = values.texts(tokens)
        label = "," + msgspec.json.encode(name).decode() + ":"
        pieces.append(pc.if_else(pc.equal(strings, ""), "", pc.binary_join_element_wise(label, strings, "")))
    if not pieces:
        return pa.nulls(rows, types.STRING), 0
    # No null takes part: a join that skips nulls drops whole rows (pyarrow 26).
    joined = pc.binary_join_element_wise(*pieces, "")
    objects = pc.binary_join_element_wise(pc.binary_replace_slice(joined, 0, 1, "{"), "}", "")
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, types.STRING), objects), changed


class _Walk:
    """The slow way: every record member by member."""

    def __init__(self, known: Shape, count: int) -> None:
        self.root = shape.tree(known)
        self.count = count
        self.tokens = {index: [b""] * count for index in range(len(known.columns))}
        self.extras: dict[Path, list[bytes]] = {path: [b""] * count for path in known.extras}
        self.absent: dict[str, list[bool]] = {}
        self.unknown: set[Path] = set()
        self.mixed = False
        self.bad: dict[int, str] = {}
        self.presence = known.wants_presence

    def members(self, records: Sequence[Raw]) -> Members:
        for row, record in enumerate(records):
            try:
                members = _MEMBERS.decode(record)
            except (msgspec.DecodeError, RecursionError):
                self.bad[row] = "the record is not an object"
                continue
            self._spread(row, self.root, members, ())
        return Members(dict(self.tokens), frozenset(self.tokens), dict(self.extras), self.absent)

    def _spread(self, row: int, node: Node, members: dict[str, Raw], path: Path) -> None:
        for name, member in (node.members or {}).items():
            token = members.pop(name, None)
            if token is not None:
                self._put(row, member, bytes(token), (*path, name))
            elif self.presence and not path and not member.extra:
                self.absent.setdefault(name, [False] * self.count)[row] = True
        for name, token in members.items():
            self._keep(row, bytes(token), (*path, repair.mended_name(name)))

    def _put(self, row: int, member: Node, token: bytes, path: Path) -> None:
        if member.members is not None and token[:1] == b"{":
            self._spread(row, member, _MEMBERS.decode(token), path)
        elif member.column is not None:
            self.tokens[member.column][row] = token
        elif member.members is None or token != b"null":
            self._keep(row, token, path)
            self.mixed = self.mixed or member.members is not None

    def _keep(self, row: int, token: bytes, path: Path) -> None:
        self.unknown.add(path)
        self.extras.setdefault(path, [b""] * self.count)[row] = token

"""A struct type made from a stream's columns: one C call decodes a batch of records, strictly and exactly.

Ordinary values are decoded as what they are; numbers, JSON and everything loose stay bytes. A record that has a
field or a value the struct does not know makes the whole call fail, and the batch goes the exact way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter, is_
from typing import Any

import msgspec
from msgspec import Raw, Struct

from headwater.connect.singer.shape import Node, Path, Shape, tree
from headwater.connect.singer.values import DECODED

# What a field holds when the record does not: Arrow takes this very object for null, identity tells it from null.
ABSENT = float("nan")
ABSENT_TEXT = Raw(b"")


class Slot(Struct, frozen=True):
    """Where to find a column or an extra: which object of the record, which field of it."""

    owner: int
    field: str
    top: str
    column: int | None = None
    extra: Path | None = None
    raw: bool = False


class Layout(Struct, frozen=True):
    """`owners` are the objects that hold other objects' fields: (index of the parent, field); the record itself is
    number 0 and not listed."""

    decoder: Any
    owners: tuple[tuple[int, str], ...]
    owner_names: tuple[str, ...]
    slots: tuple[Slot, ...]


class Members(Struct):
    """A decoded batch, column by column. `absent` has a flag per record for each top-level field, where asked."""

    columns: dict[int, Sequence[Any]]
    raw: frozenset[int]
    extras: dict[Path, Sequence[bytes]]
    absent: dict[str, list[bool]]


def make(shape: Shape) -> Layout | None:
    """None when these names or objects cannot be a struct."""
    if shape.walk:
        return None
    owners: list[tuple[int, str]] = []
    names: list[str] = []
    slots: list[Slot] = []

    def struct(node: Node, owner: int, path: Path) -> type[Struct]:
        fields: list[tuple[str, Any, Any]] = []
        rename: dict[str, str] = {}
        for number, (name, member) in enumerate((node.members or {}).items()):
            label = f"f{number}"
            rename[label] = name
            top = path[0] if path else name
            if member.members is not None:
                if member.column is not None or member.extra:
                    raise ValueError("both an object and a value")
                owners.append((owner, label))
                names.append(top if not path else "")
                inner = struct(member, len(owners), (*path, name))
                fields.append((label, inner | None, ABSENT))
                continue
            raw = True
            python: Any = Raw
            if member.column is not None:
                column = shape.columns[member.column]
                raw = column.loose or column.family not in DECODED
                python = Raw if raw else DECODED[column.family] | None
            fields.append((label, python, ABSENT_TEXT if raw else ABSENT))
            extra = (*path, name) if member.column is None else None
            slots.append(Slot(owner, label, top, member.column, extra, raw))
        return msgspec.defstruct("Record", fields, rename=rename, gc=False, forbid_unknown_fields=True)

    try:
        record = struct(tree(shape), 0, ())
    except ValueError:  # msgspec takes no quote, backslash or control character in a name
        return None
    return Layout(msgspec.json.Decoder(list[record]), tuple(owners), tuple(names), tuple(slots))  # type: ignore[valid-type]  # a type made at run time


def decode(layout: Layout, records: Sequence[Raw], *, presence: bool) -> Members:
    """Decode a batch. Raises msgspec.DecodeError when a record is not as the layout has it."""
    decoded = layout.decoder.decode(b"[" + b",".join(records) + b"]")
    objects: list[Sequence[Any]] = [decoded]
    absent: dict[str, list[bool]] = {}
    for (parent, label), name in zip(layout.owners, layout.owner_names, strict=True):
        # getattr with a default is one C call for an object, a null and a missing field alike.
        objects.append(list(map(getattr, objects[parent], repeat(label), repeat(None))))
        if presence and name:
            note_absent(absent, name, objects[-1], ABSENT)
    members = Members(
        {}, frozenset(slot.column for slot in layout.slots if slot.raw and slot.column is not None), {}, absent
    )
    for slot in layout.slots:
        nothing = ABSENT_TEXT if slot.raw else ABSENT
        if slot.owner == 0:
            values = list(map(attrgetter(slot.field), decoded))
            if presence and slot.column is not None:
                note_absent(absent, slot.top, values, nothing)
        else:
            values = list(map(getattr, objects[slot.owner], repeat(slot.field), repeat(nothing)))
        if slot.column is not None:
            members.columns[slot.column] = values
        else:
            assert slot.extra is not None
            members.extras[slot.extra] = values
    return members


def note_absent(absent: dict[str, list[bool]], name: str, values: Sequence[Any], nothing: object) -> None:
    """Flag the records that do not have the field; no entry when all have it."""
    flags = list(map(is_, values, repeat(nothing)))
    if True in flags:
        absent[name] = flags

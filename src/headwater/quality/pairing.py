"""Which column of a source is compared with which of the destination, and in which form."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from headwater.connect.digest import Column, Item, Relation

_NUMBERS = frozenset(("int64", "whole", "decimal"))
_TEXTS = frozenset(("string", "json"))
# Their canonical text is what a text column holds of them.
_WRITTEN = frozenset(("bool", "int64", "date32", "time64", "timestamp"))


class Pairing(Struct, frozen=True, kw_only=True):
    """`source` and `destination` have the same columns in the same order, `keys` are numbers of them. `left_out` says
    which columns are not compared, and why."""

    source: tuple[Item, ...]
    destination: tuple[Item, ...]
    keys: tuple[int, ...]
    left_out: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.source)

    @property
    def is_indexed(self) -> bool:
        """Whether the key is one integer on both sides."""
        kinds = {side[number].column.kind for side in (self.source, self.destination) for number in self.keys}
        return len(self.keys) == 1 and kinds == {"int64"}


def paired(source: Relation, destination: Relation) -> Pairing:
    """Metadata columns of the destination are never compared. Without all of its keys, a stream has none."""
    mine: list[Item] = []
    theirs: list[Item] = []
    left_out = [f"`{name}` is only in the destination" for name in destination.columns if name not in source.columns]
    for name, column in source.columns.items():
        other = destination.columns.get(name)
        if other is None:
            left_out.append(f"`{name}` is not in the destination")
            continue
        found = _forms(column, other)
        if found is None:
            left_out.append(f"`{name}` is {column.type} here and {other.type} there")
            continue
        here, there, is_text = found
        is_typed = here.kind == there.kind
        mine.append(Item(name, here, is_text, is_typed))
        theirs.append(Item(name, there, is_text, is_typed))
    numbers = {item.name: number for number, item in enumerate(mine)}
    keys = tuple(numbers[key] for key in source.keys if key in numbers)
    return Pairing(
        source=tuple(mine),
        destination=tuple(theirs),
        keys=keys if len(keys) == len(source.keys) else (),
        left_out=tuple(left_out),
    )


def _forms(here: Column, there: Column) -> tuple[Column, Column, bool] | None:
    """Both columns as they are to be compared, and whether as texts of any length; None when they can't be."""
    if there.normal is not None:  # it holds JSON in a form of its own
        if here.normal is None:
            return None
        return replace(here, sql=here.normal, kind="json"), replace(there, sql=there.normal, kind="json"), True
    if here.kind in _TEXTS and there.kind in _TEXTS:
        return here, there, True
    if here.kind == there.kind or {here.kind, there.kind} <= _NUMBERS:
        return here, there, False
    if here.kind == "decimal" and there.kind == "string":  # some had more digits than a decimal holds
        return here, replace(there, kind="digits"), False
    if here.kind in _WRITTEN and there.kind == "string":
        return here, there, True
    return None

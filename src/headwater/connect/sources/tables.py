"""What sources that read tables of a database have in common: streams by name, and the key to replicate by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed


class Ordered(Protocol):
    """A column; `is_ordered` when rows can be read in its order, and on from a value of it."""

    @property
    def name(self) -> str: ...

    @property
    def is_ordered(self) -> bool: ...


class Placed(Protocol):
    """A table, and the name of its stream."""

    @property
    def schema(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def stream(self) -> str: ...


AnyTable = TypeVar("AnyTable", bound=Placed)


def by_stream(found: Iterable[AnyTable], *, place: str, hint: Callable[[AnyTable], str]) -> list[AnyTable]:
    """The tables in their order; `place` is what the database calls a schema. Raises InputError (`ambiguous-stream`)
    for two that would have one name as streams, with what `hint` says of the second."""
    streams: dict[str, AnyTable] = {}
    for table in found:
        other = streams.setdefault(table.stream, table)
        if other is not table:
            raise InputError(
                "ambiguous-stream",
                f"two tables would be stream `{table.stream}`",
                why=f"`{table.name}` in {place} `{table.schema}`, and `{other.name}` in {place} `{other.schema}`",
                hint=hint(table),
            )
    return list(streams.values())


def replication_key(tap: str, stream: str, columns: Sequence[Ordered], wanted: str | None) -> str:
    """The name of the column, if rows can be read by it. Raises InputError (`no-replication-key`)."""
    names = [one.name for one in columns]
    fitting = [one.name for one in columns if one.is_ordered]
    if wanted in fitting:
        return str(wanted)
    how = f"headwater config set {tap} _metadata.{stream}.replication-key COLUMN"
    if wanted in names:
        raise InputError(
            "no-replication-key",
            f"stream `{stream}` can't be replicated by `{wanted}`: values of its type have no order to go by",
            why=f"these columns can be used: {listed(fitting)}" if fitting else "none of its columns can be used",
            hint=how,
        )
    guess = did_you_mean(wanted, names) if wanted else None
    raise InputError(
        "no-replication-key",
        f"stream `{stream}` is to be replicated by its key `{wanted}`, which is no column of it"
        if wanted
        else f"stream `{stream}` is to be replicated incrementally and has no replication key",
        hint=f"did you mean `{guess}`?" if guess else how,
    )

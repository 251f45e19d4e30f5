"""What the code of a source of your own may import. A source is a file of functions that yield rows:

    @stream(keys="id", cursor="updated_at")
    def orders(api_key: Secret, bookmark: datetime | None = None):
        yield from ...

It runs in a process of its own, maybe with a Python that has none of Headwater's packages: here and in what runs
beside it (`child`) nothing is imported but the standard library and Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, overload

__all__ = ["Bookmark", "Secret", "stream"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Secret(str):
    """A text that is kept out of logs and screens. As an annotation it makes a setting a secret one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"


class Bookmark(NamedTuple):
    """Yielded between rows: all rows before it are covered by `value`, which the next run gets as `bookmark`.

    `value` is a text, number, bool, date, datetime, Decimal, or a list or dict of these.
    """

    value: Any


class Stream(NamedTuple):
    """What the decorator was told."""

    name: str | None
    keys: tuple[str, ...]
    cursor: str | None
    is_ordered: bool
    schema: Any


@overload
def stream(function: _Function, /) -> _Function: ...


@overload
def stream(
    *,
    name: str | None = None,
    keys: str | Sequence[str] = (),
    cursor: str | None = None,
    ordered: bool = False,
    schema: Any = None,
) -> Callable[[_Function], _Function]: ...


def stream(
    function: _Function | None = None,
    /,
    *,
    name: str | None = None,
    keys: str | Sequence[str] = (),
    cursor: str | None = None,
    ordered: bool = False,
    schema: Any = None,
) -> _Function | Callable[[_Function], _Function]:
    """Makes a function a stream; the function itself stays as it is.

    `keys` names the columns that identify a row. `cursor` names the column whose greatest value is the next run's
    `bookmark`; it is noted at the stream's end, and with `ordered` (rows come by rising cursor) after each batch.
    `schema` is a TypedDict, a dataclass, a msgspec Struct, a dict of names to types or an Arrow schema; without it the
    function's return annotation says, and else the rows do.
    """
    told = Stream(name, (keys,) if isinstance(keys, str) else tuple(keys), cursor, ordered, schema)

    def mark(marked: _Function) -> _Function:
        marked.__headwater_stream__ = told  # type: ignore[attr-defined]  # functions take any attribute
        return marked

    return mark if function is None else mark(function)

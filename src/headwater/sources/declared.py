"""What a source's file declares: its streams, what they take and what their rows look like."""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import types as python_types
import typing
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from headwater.sources import Secret, Stream
from headwater.sources.rows import DECIMAL, JSON_FIELD, TIMESTAMP, text

# Parameters that are no settings: both get what the last run noted.
BOOKMARKS = ("bookmark", "state")


class DeclarationError(Exception):
    """Something in the file can't be meant as it stands; `line` says where."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class Offered(NamedTuple):
    """A stream of the file. `hints` are the types of the function's parameters."""

    name: str
    keys: tuple[str, ...]
    cursor: str | None
    is_ordered: bool
    schema: pa.Schema | None
    function: Callable[..., Any]
    parameters: Mapping[str, inspect.Parameter]
    hints: Mapping[str, Any]
    line: int

    @property
    def takes_bookmark(self) -> bool:
        return any(name in self.parameters for name in BOOKMARKS)


def streams(module: Any) -> list[Offered]:
    """The decorated functions of a module; when there is none, all public ones that it defines."""
    named = {name: value for name, value in vars(module).items() if callable(value)}
    marked = {name: value for name, value in named.items() if isinstance(_told(value), Stream)}
    plain = {
        name: value
        for name, value in named.items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    found = [_offered(name, function) for name, function in (marked or plain).items()]
    for one in found:
        if next(other for other in found if other.name == one.name) is not one:
            raise DeclarationError(f"two streams are called `{one.name}`", one.line)
    return found


def _told(function: Any) -> Any:
    return getattr(function, "__headwater_stream__", None)


def _offered(name: str, function: Callable[..., Any]) -> Offered:
    told = _told(function) or Stream(None, (), None, is_ordered=False, schema=None)
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError) as error:
        raise DeclarationError(f"an annotation of `{name}` can't be read: {error}", line) from error
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(f"`{name}` takes `{parameter}`, which can be no setting", line)
    given = told.schema if told.schema is not None else _row(hints.pop("return", None))
    schema = None if given is None else schema_of(given, line)
    if told.is_ordered and told.cursor is None:
        raise DeclarationError(f"`{name}` is ordered, but has no cursor", line)
    for column in (*told.keys, *filter(None, [told.cursor])):
        if schema is not None and column not in schema.names:
            raise DeclarationError(f"the schema of `{name}` has no column `{column}`", line)
    return Offered(
        told.name or name, told.keys, told.cursor, told.is_ordered, schema, function, parameters, hints, line
    )


def _row(annotation: Any) -> Any:
    """What `Iterator[Order]`, `Iterator[Order | Bookmark]`, `list[Order]` or plain `Order` says of a row; None when
    nothing."""
    if _members(annotation) is not None:
        return annotation
    for inner in typing.get_args(annotation)[:1]:
        for candidate in typing.get_args(inner) if _is_union(inner) else (inner,):
            if (found := _row(candidate)) is not None:
                return found
    return None


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, python_types.UnionType)


def _members(annotation: Any) -> dict[str, Any] | None:
    """The fields of a TypedDict, a dataclass, a Struct or a model with their types; None for any other type."""
    is_record = typing.is_typeddict(annotation) or any(
        hasattr(annotation, name) for name in ("__dataclass_fields__", "__struct_fields__", "model_fields", "_fields")
    )
    if not isinstance(annotation, type) and not typing.is_typeddict(annotation):
        return None
    if not is_record or issubclass(annotation, Stream):
        return None
    if getattr(annotation, "__module__", "") == "headwater.sources":
        return None
    return typing.get_type_hints(annotation)


def schema_of(given: Any, line: int) -> pa.Schema:
    """A declared schema as columns, nested records as columns `a__b`."""
    if isinstance(given, pa.Schema):
        return given
    members = given if isinstance(given, dict) else _members(given)
    if members is None:
        raise DeclarationError(f"`{given!r}` is no schema: a TypedDict, a dataclass or a dict of types is", line)
    return pa.schema(list(_fields(members, "")))


def _fields(members: Mapping[str, Any], prefix: str) -> typing.Iterator[pa.Field]:
    for name, annotation in members.items():
        inner = bare(annotation)
        if isinstance(inner, pa.DataType):
            yield pa.field(f"{prefix}{name}", inner)
        elif (below := _members(inner)) is not None:
            yield from _fields(below, f"{prefix}{name}__")
        else:
            kind = _arrow_type(inner)
            yield pa.field(f"{prefix}{name}", kind or pa.string(), metadata=None if kind else JSON_FIELD)


def bare(annotation: Any) -> Any:
    """A type without `None`, `Annotated`, `Required` and `NotRequired`; Any for a union of several."""
    while True:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired):
            annotation = arguments[0]
        elif _is_union(annotation):
            rest = [item for item in arguments if item is not type(None)]
            if len(rest) > 1:
                return Any
            annotation = rest[0]
        else:
            return annotation


_TYPES: tuple[tuple[type, pa.DataType], ...] = (
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    (str, pa.string()),
    (bytes, pa.binary()),
    (dt.datetime, TIMESTAMP),
    (dt.date, pa.date32()),
    (dt.time, pa.time64("us")),
    (Decimal, DECIMAL),
    (uuid.UUID, pa.string()),
    (enum.Enum, pa.string()),
)


def _arrow_type(annotation: Any) -> pa.DataType | None:
    """None for what becomes JSON."""
    if typing.get_origin(annotation) is typing.Literal:
        kinds = {type(value) for value in typing.get_args(annotation)}
        annotation = kinds.pop() if len(kinds) == 1 else Any
    if not isinstance(annotation, type):
        return None
    return next((kind for known, kind in _TYPES if issubclass(annotation, known)), None)


def arguments(offered: Offered, config: Mapping[str, Any], bookmark: Any) -> dict[str, Any]:
    """What the function is called with: settings in the types that it asks for. What is not set is left to it."""
    given: dict[str, Any] = {}
    for name, parameter in offered.parameters.items():
        wanted = bare(offered.hints.get(name, Any))
        if name in BOOKMARKS:
            if bookmark is not None or parameter.default is parameter.empty:
                given[name] = as_type(wanted, bookmark)
        elif name in config:
            try:
                given[name] = as_type(wanted, config[name])
            except (ValueError, TypeError, ArithmeticError) as error:
                raise DeclarationError(f"the setting `{name}` can't be read: {error}", offered.line) from error
        elif parameter.default is parameter.empty:
            given[name] = None
    return given


def as_type(wanted: Any, value: Any) -> Any:
    """A value of a file or of JSON in the type that a parameter asks for. Raises ValueError, TypeError,
    ArithmeticError."""
    origin = typing.get_origin(wanted) or wanted
    wanted_type: Callable[[Any], Any] = origin
    if (
        value is None
        or wanted is Any
        or not isinstance(origin, type)
        or (isinstance(value, origin) and origin is not dt.date)
    ):
        return value
    if issubclass(origin, Secret):
        return Secret(value)
    if issubclass(origin, dt.datetime):
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        elif isinstance(value, dt.date):
            value = dt.datetime.combine(value, dt.time())
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if issubclass(origin, dt.date):
        return dt.datetime.fromisoformat(value).date() if isinstance(value, str) else value
    if issubclass(origin, Decimal):
        return Decimal(str(value))
    if issubclass(origin, str):
        return origin(text(value))
    return wanted_type(value)

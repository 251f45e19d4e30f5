"""The YAML of a REST or GraphQL source, and its errors with file and line. Light: read when the plugin is looked up.

Texts may hold expressions (`expressions`); which names they may use depends on the place.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Struct, field

from headwater.base import yaml
from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean, listed
from headwater.connect.sources.rest import expressions
from headwater.model.setting import Setting

_Form = TypeVar("_Form", bound=Struct)


class Basic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="basic"):
    username: str
    password: str = ""


class Bearer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="bearer"):
    token: str


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="api_key"):
    """`into` is where it goes: a header or a parameter, called `name`."""

    value: str
    name: str = "X-API-Key"
    into: Literal["header", "query"] = field(default="header", name="in")


class OAuth2(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="oauth2"):
    """The grant is `refresh_token` when there is one, else `client_credentials`."""

    token_url: str
    client_id: str
    client_secret: str = ""
    refresh_token: str | None = None
    scope: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    client_in: Literal["body", "header"] = "body"


class Aws(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="aws"):
    access_key: str
    secret_key: str
    region: str
    service: str
    session_token: str | None = None


class NoAuth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    pass


Auth = NoAuth | Basic | Bearer | ApiKey | OAuth2 | Aws

# Where the values of a pagination go: among the parameters, in the body, or among the variables of a GraphQL query.
Into = Literal["query", "body", "variables"]


class OnePage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    pass


class Numbered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="page"):
    """`total` leads to the number of pages."""

    parameter: str = "page"
    start: int = 1
    size: int | None = None
    size_parameter: str | None = None
    total: str | None = None
    into: Into = field(default="query", name="in")


class Offset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="offset"):
    """`total` leads to the number of records."""

    size: int
    parameter: str = "offset"
    size_parameter: str | None = "limit"
    start: int = 0
    total: str | None = None
    into: Into = field(default="query", name="in")


class Cursor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cursor"):
    """The next page's cursor stands at `path` in the answer, or at `record` in its last record. `more` leads to whether
    there is one."""

    parameter: str
    path: str | None = None
    record: str | None = None
    more: str | None = None
    size: int | None = None
    size_parameter: str | None = None
    into: Into = field(default="query", name="in")


class Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="link"):
    rel: str = "next"
    size: int | None = None
    size_parameter: str | None = None


class NextUrl(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="next_url"):
    path: str
    size: int | None = None
    size_parameter: str | None = None


class Relay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="relay"):
    """A GraphQL connection: `page_info` leads to its `pageInfo`, `variable` takes the `endCursor`."""

    page_info: str
    variable: str = "after"


Pagination = OnePage | Numbered | Offset | Cursor | Link | NextUrl | Relay


class Incremental(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`start` is where the first run begins. With a `window` it is asked for in spans of that length up to `end`.
    `ordered`: records come by rising cursor. `cursor_format` says what instant a cursor that is a number or text is."""

    cursor: str | None = None
    start: str | int | None = None
    end: str | None = None
    window: str | None = None
    lookback: str | int | None = None
    ordered: bool = False
    cursor_format: Literal["iso", "epoch", "epoch_ms"] = "iso"


class Parent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each record of `stream` the child is asked once. `fields` are added to the child's records."""

    stream: str
    fields: dict[str, str] = field(default_factory=dict)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requests` may be sent `per` second, minute, or hour, by all streams together. A server that wants a longer wait
    than `longest_wait` seconds ends the run."""

    requests: int | None = None
    per: Literal["second", "minute", "hour"] = "second"
    tries: int = 6
    longest_wait: int = 900
    retry_statuses: tuple[int, ...] = (408, 425, 429, 500, 502, 503, 504)
    timeout: int = 60
    max_answer_bytes: int = 256 << 20
    max_pages: int = 1_000_000


class GraphQL(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: str
    variables: dict[str, Any] = field(default_factory=dict)


class Stream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`records` is the path of the records in an answer: `data.items`, `data.edges[].node`; empty for the whole answer.
    `key_field`: the records are the values of an object there, whose names become this field."""

    path: str = ""
    method: Literal["GET", "POST", "PUT"] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    graphql: GraphQL | None = None
    records: str = ""
    key_field: str | None = None
    keys: tuple[str, ...] | str = ()
    pagination: Pagination | None = None
    incremental: Incremental | None = None
    parent: Parent | None = None
    columns: dict[str, str] = field(default_factory=dict)
    empty_statuses: tuple[int, ...] = ()
    selected: bool = True

    @property
    def key_columns(self) -> tuple[str, ...]:
        found = (self.keys,) if isinstance(self.keys, str) else self.keys
        return tuple(column_of(name) for name in found)

    @property
    def cursor_column(self) -> str | None:
        cursor = self.incremental.cursor if self.incremental else None
        return None if cursor is None else column_of(cursor)


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pagination`, `parameters` and `headers` are those of every stream that says nothing else. `streams` is filled
    stream by stream."""

    base_url: str
    description: str | None = None
    settings: tuple[Setting, ...] = ()
    auth: Auth = field(default_factory=NoAuth)
    headers: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    pagination: Pagination = field(default_factory=OnePage)
    limits: Limits = field(default_factory=Limits)
    hosts: tuple[str, ...] = ()
    ca_file: str | None = None
    concurrency: int = 4
    streams: dict[str, Stream] = field(default_factory=dict)


# Names that expressions may use, by place.
EVERYWHERE = frozenset({"config", "now", "today"})
_OF_STREAM = EVERYWHERE | {"start", "end", "parent"}
_COLUMN_TYPES = ("integer", "number", "boolean", "string", "date", "time", "timestamp", "json")
_DECIMAL = re.compile(r"decimal\(([1-9]|[12][0-9]|3[0-8]),\s*([0-9]|[12][0-9]|3[0-8])\)")
_AT = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def column_of(path: str) -> str:
    """The column of a dotted path in a record."""
    return path.replace(".", "__")


def decimal_of(kind: str) -> tuple[int, int] | None:
    """Precision and scale of a column's type `decimal(P,S)`."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else None


def read(path: Path, shown: str) -> Spec:
    """The source in that file. Raises InputError (`bad-source`, and those of `yaml.read`) with file and line."""
    document = yaml.read(path, shown=shown)
    return checked(document)


def checked(document: yaml.Document) -> Spec:
    data = document.data
    if not isinstance(data, dict):
        raise _bad("the file describes no source", document, (), hint="headwater tap new rest NAME")
    streams = data.get("streams")
    if not isinstance(streams, dict) or not streams:
        hint = "streams: {items: {path: /items, records: data}}"
        raise _bad("`streams` names each stream of the source", document, ("streams",), hint=hint)
    spec = _converted({key: value for key, value in data.items() if key != "streams"}, Spec, document, ())
    found = {}
    for name, given in streams.items():
        at = ("streams", name)
        if not isinstance(name, str) or not isinstance(given, dict):
            raise _bad(f"stream `{name}` needs at least a `path`", document, at, hint="path: /items")
        found[name] = _converted(given, Stream, document, at)
    spec = msgspec.structs.replace(spec, streams=found)
    _check_source(spec, document)
    for name, stream in found.items():
        _check_stream(name, stream, spec, document)
    return spec


def _converted(given: dict[Any, Any], form: type[_Form], document: yaml.Document, at: tuple[Any, ...]) -> _Form:
    try:
        return msgspec.convert(given, form)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _AT.search(text)
        steps = [name or number for name, number in _STEP.findall(place[1])] if place else []
        within = tuple(int(step) if step.isdigit() else step for step in steps if step != "...")
        what = text[: place.start()] if place else text
        unknown = re.search(r"unknown field `(.*)`", what)
        if unknown is not None:
            _refuse_unknown(unknown[1], given, form, document, (*at, *within))
        where = ".".join(map(str, (*at, *within))) or "the file"
        raise _bad(f"{what[:1].lower()}{what[1:]} in `{where}`", document, (*at, *within)) from error


def _refuse_unknown(
    word: str, given: Any, form: type[Struct], document: yaml.Document, place: tuple[Any, ...]
) -> NoReturn:
    known = [item.encode_name for item in msgspec.structs.fields(form)] if word in given else _names_like(form)
    near = did_you_mean(word, known)
    raise _bad(
        f"there is nothing called `{word}` here",
        document,
        (*place, word),
        hint=f"did you mean `{near}`?" if near else "docs/guides/rest.md has all of them",
    )


def _names_like(form: type[Struct]) -> list[str]:
    inner = (Basic, Bearer, ApiKey, OAuth2, Aws, Numbered, Offset, Cursor, Link, NextUrl, Relay, Incremental, Parent)
    forms = (form, *inner, Limits, GraphQL)
    return sorted({item.encode_name for one in forms for item in msgspec.structs.fields(one)})


def _check_source(spec: Spec, document: yaml.Document) -> None:
    for key in ("base_url", "auth", "headers", "parameters"):
        _check_names(getattr(spec, key), EVERYWHERE, document, (key,))
    if not spec.base_url.startswith(("http://", "https://", "{{")):
        raise _bad("`base_url` begins with `https://` or `http://`", document, ("base_url",))
    for name in ("requests", "tries", "timeout", "max_answer_bytes", "max_pages"):
        if (value := getattr(spec.limits, name)) is not None and value < 1:
            raise _bad(f"`{name}` is at least 1", document, ("limits", name))
    if not 1 <= spec.concurrency <= 64:
        raise _bad("`concurrency` is a number from 1 to 64", document, ("concurrency",))


def _check_stream(name: str, stream: Stream, spec: Spec, document: yaml.Document) -> None:
    at = ("streams", name)
    for key in ("path", "parameters", "headers", "body", "graphql"):
        _check_names(
            getattr(stream, key), _OF_STREAM if stream.parent else _OF_STREAM - {"parent"}, document, (*at, key)
        )
    if stream.graphql is not None and stream.body is not None:
        raise _bad("a stream has `graphql` or a `body`, not both", document, (*at, "body"))
    for key, kind in stream.columns.items():
        if kind not in _COLUMN_TYPES and decimal_of(kind) is None:
            where = (*at, "columns", key)
            raise _bad(
                f"`{kind}` is no type", document, where, hint=f"types: {listed([*_COLUMN_TYPES, 'decimal(P,S)'])}"
            )
    if stream.parent is not None:
        _check_parent(name, stream.parent, spec, document)
    if stream.incremental is not None:
        _check_incremental(stream.incremental, document, (*at, "incremental"))
    given = stream.pagination
    if isinstance(given, Cursor) and (given.path is None) == (given.record is None):
        raise _bad(
            "the next cursor stands at a `path` of the answer or of its last `record`", document, (*at, "pagination")
        )


def _check_parent(name: str, parent: Parent, spec: Spec, document: yaml.Document) -> None:
    at = ("streams", name, "parent")
    _check_names(parent.fields, EVERYWHERE | {"parent"}, document, (*at, "fields"))
    seen = {name}
    above: Parent | None = parent
    while above is not None:
        if above.stream not in spec.streams:
            near = did_you_mean(above.stream, spec.streams)
            hint = f"did you mean `{near}`?" if near else f"streams: {listed(list(spec.streams))}"
            raise _bad(f"there is no stream `{above.stream}`", document, (*at, "stream"), hint=hint)
        if above.stream in seen:
            raise _bad(f"stream `{name}` is among its own parents", document, at)
        if spec.streams[name].incremental is not None and not spec.streams[above.stream].keys:
            what = (
                f"`{name}` has a bookmark for each record of `{above.stream}`, which has no `keys` to tell them apart"
            )
            raise _bad(what, document, at, hint=f"give stream `{above.stream}` its `keys`")
        seen.add(above.stream)
        above = spec.streams[above.stream].parent


def _check_incremental(given: Incremental, document: yaml.Document, at: tuple[Any, ...]) -> None:
    for key in ("start", "end"):
        _check_names(getattr(given, key), EVERYWHERE, document, (*at, key))
    if given.cursor is None and given.window is None:
        raise _bad("`incremental` needs a `cursor`, or a `window`", document, at)
    if given.window is not None and given.start is None:
        raise _bad("with a `window` there must be a `start`", document, at, hint='start: "2024-01-01"')
    if given.window is not None and isinstance(given.lookback, int):
        raise _bad("with a `window`, `lookback` is a span of time", document, (*at, "lookback"), hint="lookback: 2h")
    for key in ("window", "lookback"):
        value = getattr(given, key)
        if isinstance(value, str):
            try:
                length = expressions.span(value)
            except ValueError as error:
                raise _bad(str(error), document, (*at, key)) from error
            if not length:
                raise _bad(f"`{key}` is longer than nothing", document, (*at, key))


def _check_names(given: Any, roots: frozenset[str], document: yaml.Document, at: tuple[Any, ...]) -> None:
    try:
        expressions.check(given, roots)
    except expressions.ExpressionError as error:
        raise _bad(f"{error} (in `{'.'.join(map(str, at))}`)", document, _deepest(given, roots, at)) from error


def _deepest(given: Any, roots: frozenset[str], at: tuple[Any, ...]) -> tuple[Any, ...]:
    """The place of the text that is wrong."""
    if isinstance(given, Struct):
        given = {name: getattr(given, name) for name in given.__struct_fields__}
    for key, value in given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ():
        try:
            expressions.check(value, roots)
        except expressions.ExpressionError:
            return _deepest(value, roots, (*at, key))
    return at


def _bad(what: str, document: yaml.Document, at: tuple[Any, ...], *, hint: str | None = None) -> InputError:
    return InputError("bad-source", what, where=Where(document.file, document.line(at)), hint=hint)

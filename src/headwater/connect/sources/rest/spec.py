"""What the YAML of a REST or GraphQL source may say. `spec_file` reads it.

Texts may hold expressions (`expressions`); which names they may use depends on the place.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from msgspec import Struct, field

from headwater.model.setting import Setting


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


_DECIMAL = re.compile(r"decimal\(([1-9]|[12][0-9]|3[0-8]),\s*([0-9]|[12][0-9]|3[0-8])\)")


def column_of(path: str) -> str:
    """The column of a dotted path in a record."""
    return path.replace(".", "__")


def decimal_of(kind: str) -> tuple[int, int] | None:
    """Precision and scale of a column's type `decimal(P,S)`."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else None

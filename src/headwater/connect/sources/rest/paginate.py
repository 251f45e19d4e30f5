"""From one page of an answer to the call for the next one. No I/O: an answer comes in, what to ask for goes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from msgspec import Raw, Struct, field

from headwater.connect.sources.rest import answer, spec
from headwater.connect.sources.rest.answer import Answer

_LINK = re.compile(r"<([^>]*)>((?:\s*;\s*[^,;]*(?:=(?:\"[^\"]*\"|[^,;]*))?)*)")
_REL = re.compile(r"""rel\s*=\s*(?:"([^"]*)"|([^\s;,]+))""", re.IGNORECASE)

# What servers have for their largest page, whatever is asked for.
USUAL_SIZES = frozenset({10, 20, 25, 30, 40, 50, 60, 100, 150, 200, 250, 500, 1000, 2000, 5000, 10_000})


class EndlessPagesError(Exception):
    """The server sends the same over and over. Says what."""


class Step(Struct, frozen=True, kw_only=True):
    """How the next page is asked for: values that go `into` the call, or another address."""

    values: dict[str, Any] = field(default_factory=dict)
    into: spec.Into = "query"
    url: str | None = None


class Pages:
    """The pages of one answer. `first`, then `after` each page until it gives None."""

    def __init__(self, given: spec.Pagination, *, most: int) -> None:
        self._given = given
        self._most = most
        self._pages = 0
        self._records = 0
        self._size = 0
        self._seen: set[int] = set()
        self._last: int | None = None

    def first(self) -> Step:
        given = self._given
        values: dict[str, Any] = {}
        if isinstance(given, spec.Numbered | spec.Offset):
            values[given.parameter] = given.start
        size, parameter = getattr(given, "size", None), getattr(given, "size_parameter", None)
        if size is not None and parameter is not None:
            values[parameter] = size
        return Step(values=values, into=_into(given))

    def after(self, page: Answer, records: list[Raw]) -> Step | None:
        """The step to the next page; None after the last one. Raises EndlessPagesError."""
        self._pages += 1
        self._records += len(records)
        step = self._next(page, records)
        if step is None:
            return None
        if self._pages >= self._most:
            raise EndlessPagesError(f"there are more than {self._most:,} pages")
        self._check(step, records)
        return step

    def _next(self, page: Answer, records: list[Raw]) -> Step | None:
        match self._given:
            case spec.Numbered() as given:
                return self._numbered(given, page, records)
            case spec.Offset() as given:
                return self._offset(given, page, records)
            case spec.Cursor() as given:
                return self._cursor(given, page, records)
            case spec.Relay() as given:
                info = answer.value(page, given.page_info)
                if not isinstance(info, dict) or not info.get("hasNextPage") or info.get("endCursor") is None:
                    return None
                return Step(values={given.variable: info["endCursor"]}, into="variables")
            case spec.Link(rel=rel):
                url = link(page.headers.get("link", ""), rel)
                return None if url is None else Step(url=urljoin(page.url, url))
            case spec.NextUrl(path=path):
                url = answer.value(page, path)
                return Step(url=urljoin(page.url, url)) if isinstance(url, str) and url else None
        return None

    def _numbered(self, given: spec.Numbered, page: Answer, records: list[Raw]) -> Step | None:
        if given.total is not None:
            total = answer.value(page, given.total)
            if isinstance(total, int) and self._pages >= total:
                return None
        if not records or (given.total is None and given.size is not None and self._is_short(records, given.size)):
            return None
        return self._with_size(given, {given.parameter: given.start + self._pages})

    def _offset(self, given: spec.Offset, page: Answer, records: list[Raw]) -> Step | None:
        total = None if given.total is None else answer.value(page, given.total)
        if isinstance(total, int) and self._records >= total:
            return None
        # With a total, a server may well give less at a time than was asked for.
        if not records or (not isinstance(total, int) and self._is_short(records, given.size)):
            return None
        return self._with_size(given, {given.parameter: given.start + self._records})

    def _cursor(self, given: spec.Cursor, page: Answer, records: list[Raw]) -> Step | None:
        if given.more is not None and not answer.value(page, given.more):
            return None
        if given.path is not None:
            cursor = answer.value(page, given.path)
        else:
            cursor = answer.record_value(records[-1], str(given.record)) if records else None
            if given.more is None and given.size is not None and self._is_short(records, given.size):
                cursor = None
        if cursor is None or cursor == "" or cursor is False:
            return None
        return self._with_size(given, {given.parameter: cursor})

    def _with_size(self, given: spec.Numbered | spec.Offset | spec.Cursor, values: dict[str, Any]) -> Step:
        if given.size is not None and given.size_parameter is not None:
            values[given.size_parameter] = given.size
        return Step(values=values, into=given.into)

    def _is_short(self, records: list[Raw], size: int) -> bool:
        """Whether a page has so few records that none comes after it. A server may give less than it is asked for:
        where the first page looks like that, those that follow are to be as large."""
        if self._pages == 1:
            self._size = len(records) if len(records) in USUAL_SIZES else size
        return len(records) < min(size, self._size)

    def _check(self, step: Step, records: list[Raw]) -> None:
        """A server may not know the parameter, or lead in a circle."""
        key = hash(step.url or str(sorted(step.values.items())))
        if key in self._seen:
            what = "address" if step.url else "cursor"
            raise EndlessPagesError(f"page {self._pages} leads to a page that was read already, by the same {what}")
        self._seen.add(key)
        content = hash(b",".join(records)) if records else None
        if content is not None and content == self._last:
            raise EndlessPagesError(f"page {self._pages} holds the same {len(records)} records as the one before")
        self._last = content


def link(header: str, rel: str) -> str | None:
    """The address of that relation in a `Link` header."""
    for url, parameters in _LINK.findall(header):
        found = _REL.search(parameters)
        if found is not None and rel in (found[1] or found[2]).split():
            return str(url)
    return None


def _into(given: spec.Pagination) -> spec.Into:
    return "variables" if isinstance(given, spec.Relay) else getattr(given, "into", "query")


def placed(step: Step, parameters: Mapping[str, Any], body: Any) -> tuple[dict[str, Any], Any]:
    """The parameters and the body with the step's values."""
    if step.into == "query":
        return {**parameters, **step.values}, body
    if step.into == "body":
        return dict(parameters), {**(body or {}), **step.values}
    inner = {**(body or {}).get("variables", {}), **step.values}
    return dict(parameters), {**(body or {}), "variables": inner}

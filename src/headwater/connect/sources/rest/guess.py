"""What an API that nobody has described looks like: its records, their key and cursor, and how its pages follow.

It is guessed from one answer, and where that is possible tried with a second one. Each finding says how sure it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from headwater.connect.singer.schema import Family, Leaf
from headwater.connect.sources.rest import answer, learn, paginate
from headwater.connect.sources.rest.answer import Answer, NoSuchPathError

Sure = Literal["sure", "likely", "a guess"]
Ask = Callable[[Mapping[str, Any]], "Answer | None"]

_LISTS = ("data", "items", "results", "records", "value", "values", "rows", "entries", "list", "content", "features")
_NEXT_URLS = ("next", "next_url", "nextUrl", "next_page_url", "nextLink", "@odata.nextLink")
_CURSORS = {
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "next_token": "next_token",
    "nextToken": "nextToken",
    "cursor": "cursor",
    "continuation": "continuation",
    "after": "after",
    "offset": "offset",
}
_WRAPPERS = (
    "",
    "meta",
    "links",
    "_links",
    "pagination",
    "paging",
    "page",
    "page_info",
    "pageInfo",
    "response_metadata",
)
_TOTAL_PAGES = ("total_pages", "totalPages", "last_page", "lastPage", "page_count", "pages", "num_pages")
_TOTALS = ("total", "total_count", "totalCount", "count", "total_results")
_KEYS = ("id", "uuid", "guid", "key", "code", "name", "slug", "sku")
_CHANGED = re.compile(r"(updat|modif|chang|last_?edit)", re.IGNORECASE)
_DEPTH = 3


class Finding(Struct, frozen=True, kw_only=True):
    """`what` was looked for, `found` in words, and `sure` how much that is worth."""

    what: str
    found: str
    sure: Sure


class Guess(Struct, kw_only=True):
    """`pagination` is as in the YAML; None when there is one page, as far as could be seen."""

    records: str = ""
    count: int = 0
    columns: list[Leaf] = msgspec.field(default_factory=list)
    key: str | None = None
    cursor: str | None = None
    pagination: dict[str, Any] | None = None
    findings: list[Finding] = msgspec.field(default_factory=list)


def guess(first: Answer, parameters: Mapping[str, Any], ask: Ask) -> Guess:
    """`parameters` are those of the first call. `ask` calls again with others added; None when that is refused."""
    body = answer.value(first, "")
    found = Guess()
    found.records, sure = _records(body)
    records = _at(first, found.records) or []
    found.count = len(records)
    place = f"at `{found.records}`" if found.records else "the answer itself"
    kind = f"{len(records)} records" if len(records) != 1 else "1 record"
    found.findings.append(Finding(what="records", found=f"{kind}, {place}", sure=sure))
    try:
        found.columns = learn.leaves(records) if records else []
    except msgspec.DecodeError:
        found.columns = []
    decoded = [one for one in map(_decoded, records) if isinstance(one, dict)]
    _key(found, decoded)
    _cursor(found)
    _pages(found, first, body, records, parameters, ask)
    return found


def _decoded(record: Raw) -> Any:
    return msgspec.json.decode(record)


def _at(page: Answer, path: str) -> list[Raw] | None:
    try:
        return answer.records(page, path)
    except NoSuchPathError:
        return None


def _records(body: Any) -> tuple[str, Sure]:
    if isinstance(body, list):
        return "", "sure"
    lists = list(_lists(body, "", _DEPTH))
    if not lists:
        empty = [name for name in _LISTS if isinstance(body, dict) and body.get(name) == []]
        return (empty[0], "likely") if empty else ("", "a guess")
    usual = [path for path, _ in lists if path.split(".")[-1].removesuffix("[]") in _LISTS]
    longest = max(lists, key=lambda one: one[1])[0]
    path = usual[0] if usual else longest
    return path, "sure" if len(lists) == 1 else "likely" if path == longest else "a guess"


def _lists(value: Any, at: str, depth: int) -> list[tuple[str, int]]:
    """The paths of lists of objects, with their lengths; `edges[].node` for those of GraphQL."""
    found: list[tuple[str, int]] = []
    for name, inner in value.items() if isinstance(value, dict) else ():
        path = f"{at}.{name}" if at else str(name)
        if isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            is_edges = name == "edges" and all(isinstance(one.get("node"), dict) for one in inner)
            found.append((f"{path}[].node" if is_edges else path, len(inner)))
        elif isinstance(inner, dict) and depth:
            found.extend(_lists(inner, path, depth - 1))
    return found


def _key(found: Guess, records: Sequence[Mapping[str, Any]]) -> None:
    names = [*_KEYS, *(name for leaf in found.columns if (name := leaf.path[0]).lower().endswith(("_id", "id")))]
    for name in dict.fromkeys(names):
        values = [one.get(name) for one in records]
        if records and all(isinstance(value, str | int) for value in values) and len(set(values)) == len(values):
            found.key = name
            sure: Sure = (
                "sure" if name in ("id", "uuid") and len(values) > 1 else "likely" if len(values) > 1 else "a guess"
            )
            found.findings.append(Finding(what="key", found=f"`{name}`, once in each record", sure=sure))
            return
    if records:
        found.findings.append(Finding(what="key", found="none: every run loads all records anew", sure="a guess"))


def _cursor(found: Guess) -> None:
    moments = [leaf for leaf in found.columns if leaf.family in (Family.TIMESTAMP, Family.DATE)]
    changed = [".".join(leaf.path) for leaf in moments if _CHANGED.search(leaf.path[-1])]
    if changed:
        found.cursor = changed[0]
        text = f"`{found.cursor}`, by its name when a record changed"
        found.findings.append(Finding(what="cursor", found=text, sure="likely"))


def _pages(
    found: Guess, first: Answer, body: Any, records: Sequence[Raw], parameters: Mapping[str, Any], ask: Ask
) -> None:
    sure: Sure
    if paginate.link(first.headers.get("link", ""), "next") is not None:
        found.pagination, text, sure = {"type": "link"}, "a `Link` header leads to the next page", "sure"
    elif (path := _next_url(body)) is not None:
        found.pagination, text, sure = (
            {"type": "next_url", "path": path},
            f"`{path}` is the next page's address",
            "sure",
        )
    else:
        found.pagination, text, sure = _tried(found, body, records, parameters, ask)
    found.findings.append(Finding(what="pages", found=text, sure=sure))


def _next_url(body: Any) -> str | None:
    for path, holder in _holders(body):
        for name in _NEXT_URLS:
            value = holder.get(name)
            value, inner = (value.get("href"), f"{name}.href") if isinstance(value, dict) else (value, name)
            if isinstance(value, str) and value.startswith(("http://", "https://", "/", "?")) and "." not in name:
                return f"{path}.{inner}" if path else inner
    return None


def _holders(body: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """The objects in which an answer speaks of its pages."""
    if not isinstance(body, dict):
        return []
    return [(name, holder) for name in _WRAPPERS if isinstance(holder := (body.get(name) if name else body), dict)]


def _named(body: Any, names: Sequence[str], kind: type | tuple[type, ...]) -> tuple[str, str, Any] | None:
    for path, holder in _holders(body):
        for name in names:
            value = holder.get(name)
            if isinstance(value, kind) and not isinstance(value, bool) and value != "":
                return f"{path}.{name}" if path else name, name, value
    return None


def _tried(
    found: Guess, body: Any, records: Sequence[Raw], parameters: Mapping[str, Any], ask: Ask
) -> tuple[dict[str, Any] | None, str, Sure]:
    given: dict[str, Any]
    if not records:
        return None, "nothing could be seen without records", "a guess"
    if (cursor := _named(body, tuple(_CURSORS), str)) is not None:
        path, name, value = cursor
        parameter = next((known for known in parameters if known in _CURSORS.values()), _CURSORS[name])
        works = _leads_on(found, records, ask, {parameter: value})
        given = {"type": "cursor", "parameter": parameter, "path": path}
        text = f"`{path}` is the next page's cursor, sent as `{parameter}`"
        return given, text if works else f"{text}, which was not taken", "sure" if works else "a guess"
    offset = next((name for name in ("offset", "skip", "start") if name in parameters), None)
    names = [offset] if offset else ["page", "offset"]
    for name in names:
        is_page = name == "page"
        value = 1 + _number(parameters.get("page"), 1) if is_page else _number(parameters.get(name), 0) + len(records)
        if not _leads_on(found, records, ask, {name: value}):
            continue
        given = {"type": "page"}
        if not is_page:
            given = {"type": "offset", "parameter": name, "size": len(records)}
        if (total := _named(body, _TOTAL_PAGES if is_page else _TOTALS, int)) is not None:
            given["total"] = total[0]
        if not is_page:
            given["size_parameter"] = next((one for one in ("limit", "size", "count") if one in parameters), None)
        return given, f"`{name}={value}` gives other records", "sure"
    return (
        None,
        "`page=2` gives no other records: all seems to come at once",
        "likely" if len(records) not in paginate.USUAL_SIZES else "a guess",
    )


def _number(value: Any, otherwise: int) -> int:
    return int(value) if str(value or "").isdigit() else otherwise


def _leads_on(found: Guess, records: Sequence[Raw], ask: Ask, parameters: Mapping[str, Any]) -> bool:
    """Whether these parameters give records, and others."""
    page = ask(parameters)
    more = None if page is None else _at(page, found.records)
    return bool(more) and list(map(bytes, more or ())) != list(map(bytes, records))

"""Pages of records, in order: of a stream's windows and of its parents' records, a few of them asked for at a time.

What is asked for together is a *unit*: one window of one parent's records, or all of a stream that has neither.
"""

from __future__ import annotations

import datetime as dt
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from headwater.base import clock
from headwater.base.errors import InputError, RunFailedError
from headwater.connect.http_calls import CallFailedError
from headwater.connect.sources.rest import answer, request, spec
from headwater.connect.sources.rest.answer import Answer, NoSuchPathError
from headwater.connect.sources.rest.call import Call
from headwater.connect.sources.rest.calls import Calls
from headwater.connect.sources.rest.expressions import ExpressionError, filled, instant, span
from headwater.connect.sources.rest.paginate import EndlessPagesError, Pages, Step

_T = TypeVar("_T")
_RECORD = msgspec.json.Decoder(dict[str, Any])
_MOST_WINDOWS = 100_000


class Unit(Struct, frozen=True, kw_only=True):
    """`names` are what expressions may use. `parent_key` tells the parent's record from others, `constants` are added
    to each record. `window` are its two ends; `is_last`: none comes after it, of this parent."""

    names: dict[str, Any]
    parent_key: str = ""
    constants: dict[str, Any] = field(default_factory=dict)
    window: tuple[dt.datetime, dt.datetime] | None = None
    is_last: bool = True


class Page(Struct, frozen=True, kw_only=True):
    """`is_last` of its unit."""

    unit: Unit
    records: list[Raw]
    size: int
    is_marked: bool
    is_last: bool


class Server(Struct, frozen=True, kw_only=True):
    """Whom to ask for what. `start_of` gives the bookmark from which a stream goes on, by the key of a parent's record:
    None to begin with its `start`."""

    source: spec.Spec
    calls: Calls
    names: Mapping[str, Any]
    now: dt.datetime


StartOf = Callable[[str], Any]


def pages(server: Server, name: str, start_of: StartOf) -> Iterator[Page]:
    """All pages of a stream."""
    units = _units(server, name, start_of)
    for unit, first in _in_order(units, lambda unit: _first(server, name, unit), server.source.concurrency):
        yield from _of_unit(server, name, unit, first)


def sample(server: Server, name: str, *, most_parents: int = 3) -> list[Raw]:
    """The records of a first page that has some: of the last window or the first, of one of the first parents."""
    stream = server.source.streams[name]
    every = _parents(server, stream) if stream.parent else iter([None])
    for parent in islice(every, most_parents):
        windows = list(_windows(server, stream, None, parent))
        for unit in dict.fromkeys([len(windows) - 1, 0]) if windows else ():
            _, records, _ = _first(server, name, windows[unit])
            if records:
                return records
    return []


_FirstPage = tuple["Answer | None", list[Raw], Pages]


def _first(server: Server, name: str, unit: Unit) -> _FirstPage:
    found = Pages(_pagination(server, name), most=server.source.limits.max_pages)
    page, records = _asked(server, name, unit, found.first())
    return page, records, found


def _of_unit(server: Server, name: str, unit: Unit, first: _FirstPage) -> Iterator[Page]:
    page, records, found = first
    while page is not None:
        try:
            step = found.after(page, records)
        except EndlessPagesError as error:
            raise RunFailedError(
                "endless-pages",
                f"the pages of stream `{name}` have no end: {error}",
                hint="correct `pagination`: its parameter may not be what the server calls it",
            ) from error
        yield Page(unit=unit, records=records, size=len(page.body), is_marked=page.is_marked, is_last=step is None)
        if step is None:
            return
        page, records = _asked(server, name, unit, step)
    # A status that stands for nothing.
    yield Page(unit=unit, records=[], size=0, is_marked=False, is_last=True)


def _pagination(server: Server, name: str) -> spec.Pagination:
    return server.source.streams[name].pagination or server.source.pagination


def _asked(server: Server, name: str, unit: Unit, step: Step) -> tuple[Answer | None, list[Raw]]:
    stream, calls = server.source.streams[name], server.calls
    call = request.call(
        server.source, name, step, base_url=calls.base_url, names=unit.names, credentials=calls.auth.parameters
    )
    found: list[Answer] = []
    reply = calls.answer(call, empty=stream.empty_statuses, check=lambda reply: found.append(answer.parsed(reply)))
    if reply is None:
        return None, []
    page = found[-1] if found else _kept(call, reply)
    if stream.graphql is not None:
        _refuse_errors(calls, call, page, name)
    try:
        return page, answer.records(page, stream.records, stream.key_field)
    except NoSuchPathError as error:
        said = answer.value(page, "message") or answer.value(page, "error")
        raise RunFailedError(
            "records-missing",
            calls.redact(f"the answer to `{call.place}` {error}"),
            why=calls.redact(said[:300]) if isinstance(said, str) else None,
            hint=f"correct `records` of stream `{name}`",
        ) from error


def _kept(call: Call, reply: Any) -> Answer:
    try:
        return answer.parsed(reply)
    except CallFailedError as error:
        raise RunFailedError("bad-answer", f"the kept answer to `{call.place}` can't be used: {error}") from error


def _refuse_errors(calls: Calls, call: Call, page: Answer, name: str) -> None:
    """GraphQL answers with status 200 whatever happens."""
    errors = answer.value(page, "errors")
    if errors:
        first = errors[0] if isinstance(errors, list) else errors
        text = first.get("message") if isinstance(first, dict) else first
        raise RunFailedError(
            "graphql-error",
            f"the query sent to `{call.place}` was refused",
            why=calls.redact(str(text)[:300]),
            hint=f"correct `graphql` of stream `{name}`",
        )


def _units(server: Server, name: str, start_of: StartOf) -> Iterator[Unit]:
    stream = server.source.streams[name]
    for parent in _parents(server, stream) if stream.parent else (None,):
        key = "" if parent is None else parent[0]
        yield from _windows(server, stream, start_of(key), parent)


def _windows(
    server: Server, stream: spec.Stream, bookmark: Any, parent: tuple[str, dict[str, Any]] | None
) -> Iterator[Unit]:
    names = {**server.names, "start": None, "end": None}
    key, constants = "", {}
    if parent is not None and stream.parent is not None:
        key, names["parent"] = parent
        constants = {spec.column_of(column): _filled(text, names) for column, text in stream.parent.fields.items()}
    given = stream.incremental
    if given is None:
        yield Unit(names=names, parent_key=key, constants=constants)
        return
    start = _moved_back(bookmark, given) if bookmark is not None else _filled(given.start, names)
    if given.window is None:
        end = _filled(given.end, names)
        yield Unit(names={**names, "start": start, "end": end}, parent_key=key, constants=constants)
        return
    end = server.now if given.end is None else _instant(_filled(given.end, names), "end")
    for window, is_last in _spans(_instant(start, "start"), end, span(given.window)):
        found = {**names, "start": window[0], "end": window[1]}
        yield Unit(names=found, parent_key=key, constants=constants, window=window, is_last=is_last)


def _spans(
    start: dt.datetime, end: dt.datetime, length: dt.timedelta
) -> Iterator[tuple[tuple[dt.datetime, dt.datetime], bool]]:
    if (end - start) / length > _MOST_WINDOWS:
        raise InputError(
            "bad-source",
            f"from {start:%Y-%m-%d} on there are more than {_MOST_WINDOWS:,} windows",
            hint="widen `window`",
        )
    while start < end:
        stop = min(start + length, end)
        yield (start, stop), stop >= end
        start = stop


def _moved_back(bookmark: Any, given: spec.Incremental) -> Any:
    if given.cursor_format != "iso" and isinstance(bookmark, int | float):
        bookmark = moment(bookmark, given)
    if given.lookback is None:
        return bookmark
    if isinstance(given.lookback, str):
        base = bookmark if isinstance(bookmark, dt.date) else _instant(bookmark, "lookback")
        return base - span(given.lookback)
    if not isinstance(bookmark, int | float):
        raise InputError("bad-source", "`lookback` is a number, but the cursor is none", hint="lookback: 2h")
    return bookmark - given.lookback


def moment(cursor: Any, given: spec.Incremental) -> dt.datetime:
    """The instant that a cursor's value stands for."""
    if isinstance(cursor, int | float):
        seconds = cursor / 1000 if given.cursor_format == "epoch_ms" else cursor
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    return _instant(cursor, "cursor")


def _instant(value: Any, what: str) -> dt.datetime:
    try:
        return instant(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            "bad-source", f"`{what}` is no moment: {value!r:.40}", hint="write it as 2024-01-31"
        ) from error


def _filled(given: Any, names: Mapping[str, Any]) -> Any:
    try:
        return filled(given, names)
    except ExpressionError as error:
        raise InputError("bad-source", str(error)) from error


def _parents(server: Server, stream: spec.Stream) -> Iterator[tuple[str, dict[str, Any]]]:
    """A key and the members of each record of the parent stream, all of it: a child of an old record may be new."""
    assert stream.parent is not None
    name = stream.parent.stream
    above = server.source.streams[name]
    keys = (above.keys,) if isinstance(above.keys, str) else above.keys
    for page in pages(server, name, lambda _key: None):
        for record in page.records:
            members = {**_RECORD.decode(record), **page.unit.constants, "parent": page.unit.names.get("parent")}
            values = [answer.record_value(record, key) for key in keys]
            yield msgspec.json.encode([page.unit.parent_key, *values]).decode(), members


def _in_order(items: Iterable[_T], work: Callable[[_T], _FirstPage], at_once: int) -> Iterator[tuple[_T, _FirstPage]]:
    """Each item with what `work` makes of it, in their order; up to `at_once` are worked on in threads of their own."""
    given = iter(items)
    waiting: deque[tuple[_T, queue.SimpleQueue[Any]]] = deque()
    is_over = False
    while True:
        while not is_over and len(waiting) < at_once:
            item = next(given, None)
            if item is None:
                is_over = True
            else:
                waiting.append((item, _begun(work, item)))
        if not waiting:
            return
        item, slot = waiting.popleft()
        result = slot.get()
        if isinstance(result, BaseException):
            raise result
        yield item, result


def _begun(work: Callable[[_T], _FirstPage], item: _T) -> queue.SimpleQueue[Any]:
    slot: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            slot.put(work(item))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is taken
            slot.put(error)

    # A thread that waits for a server must not keep the process.
    threading.Thread(target=run, name="rest", daemon=True).start()
    return slot


def names(config: Mapping[str, Any]) -> tuple[dict[str, Any], dt.datetime]:
    """What all expressions may use, and the instant that `now` is."""
    now = clock.now().replace(microsecond=0)
    return {"config": config, "now": now, "today": now.date()}, now

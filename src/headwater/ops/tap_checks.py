"""What is promised of every extractor, each tried on one.

A check answers what was seen; it raises BrokenError where the promise does not hold, and SkippedError where there is
nothing to try it on.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pyarrow.compute as pc

from headwater.base.clock import monotonic
from headwater.base.text import byte_size, counted, listed
from headwater.connect import types
from headwater.connect.contract import Rows
from headwater.connect.singer.schema import leaves
from headwater.connect.stages.select import taken
from headwater.model.catalog import Catalog, CatalogStream
from headwater.ops.selection import offered_catalog
from headwater.ops.tap_seen import Place, Seen, StreamSeen
from headwater.ops.tap_subject import BrokenError, SkippedError, Subject
from headwater.plan.select import without_logs
from headwater.run import discover

_MOST_BATCH_BYTES = 64 << 20
_MOST_PROCESS_BYTES = 1 << 30
_CANCEL_SECONDS = 10.0
_KILLS = (0.0, 0.3, 0.7)
# How long states are gone on from, one after the other, where there are many.
_STATES_SECONDS = 20.0
_FULL = "FULL_TABLE"


def _discovers(subject: Subject) -> str:
    subject.is_unknown = True
    subject.raw = discover.selected_catalog(
        subject.step, subject.lab.run, lambda: offered_catalog(subject.step, subject.lab)
    )
    subject.is_unknown = False
    if subject.raw is None:
        raise SkippedError("it knows no catalogs")
    subject.raw, logged = without_logs(subject.raw)
    for stream in subject.catalog.streams:
        names = {".".join(leaf.path) for leaf in leaves(stream.schema)} if stream.schema.get("properties") else set()
        for column in (*(stream.key_properties or ()), *filter(None, [_cursor(stream)])):
            if names and column not in names:
                raise BrokenError(f"`{column}` of stream `{stream.name}` is a key or cursor, but no property")
    names_of = [one.name for one in subject.catalog.streams]
    found = f"{counted(len(names_of), 'stream')}: {listed(names_of)}"
    # Each read from a log moves what the server keeps of it for the pipeline.
    return f"{found}; tried in full and not from the log: {listed(logged)}" if logged else found


def _reads(subject: Subject) -> str:
    if subject.is_unknown:
        raise SkippedError("what it offers is not known")
    subject.whole = subject.read()
    seen = subject.whole
    rows, streams = counted(seen.rows, "row"), counted(len(seen.streams), "stream")
    return f"{rows} of {streams}, {counted(seen.checkpoints, 'state')}"


def _is_true_to_schema(subject: Subject) -> str:
    seen = subject.first()
    if seen.faults:
        raise BrokenError("; ".join(seen.faults[:3]))
    count = 0
    for name, one in seen.streams.items():
        declared = _declared(subject.catalog, name)
        for column in one.columns or ():
            wanted = declared.get(column.name)
            if declared and wanted is None:
                raise BrokenError(f"`{column.name}` of stream `{name}` is not in the catalog")
            if wanted not in (None, "json", _said(column)):
                raise BrokenError(f"`{column.name}` of stream `{name}` is {_said(column)}, the catalog says {wanted}")
            count += 1
    if not count:
        raise SkippedError("there were no rows")
    return f"{count} columns are what the catalog says"


def _has_good_keys(subject: Subject) -> str:
    keyed = {name: one for name, one in subject.first().streams.items() if one.keys and one.rows}
    if not keyed:
        raise SkippedError("no stream has keys and rows")
    for name, one in keyed.items():
        if one.null_keys:
            raise BrokenError(f"{one.null_keys:,} rows of stream `{name}` have no {' and '.join(one.keys)}")
        if len(one.found) < one.rows:
            raise BrokenError(f"{one.rows - len(one.found):,} rows of stream `{name}` have the key of another")
    return f"unique and never null: {listed(list(keyed))}"


def _goes_on(subject: Subject) -> str:
    first = subject.first()
    if first.state is None:
        raise BrokenError("it sent no state, so that every run begins anew")
    again = subject.read(first.state)
    tried, ends_before = [], []
    for name, one in _incremental(subject, first).items():
        other = again.streams.get(name)
        tried.append(name)
        if other is None or not other.rows:
            if one.highest is not None:
                ends_before.append(name)
            continue
        if one.highest is not None and other.lowest is not None:
            if pc.less(other.lowest, one.highest.cast(other.lowest.type)).as_py():
                raise BrokenError(
                    f"`{name}` sends rows from before its bookmark again: `{one.cursor}` {other.lowest} < {one.highest}"
                )
        elif one.found and other.found.keys() == one.found.keys() and one.rows > 1:
            raise BrokenError(f"`{name}` sends all of its {one.rows:,} rows again")
    if not tried:
        raise SkippedError("no stream is incremental")
    said = f"from the state on nothing old but the boundary: {listed(tried)}"
    if ends_before:
        said += f"; without it {listed(ends_before)}, so that a later row with the last value may be missed"
    return said


def _resumes(subject: Subject) -> str:
    first = subject.first()
    if not first.batches:
        raise SkippedError("there were no rows")
    places = sorted({int(first.batches * share) for share in _KILLS})
    for place in places:
        cut = subject.read(stop_after=place)
        rest = subject.read(cut.state)
        for name, one in first.streams.items():
            # What is replaced comes whole again; of what is not, rows that a state covers stay.
            before = set() if one.is_replaced else cut.covered_keys(name)
            after = rest.streams.get(name, StreamSeen())
            lost = one.found.keys() - before - after.found.keys()
            if one.keys and lost:
                raise BrokenError(
                    f"killed in batch {place + 1}, `{name}` never sends {len(lost):,} of its rows, such as "
                    f"{dict(zip(one.keys, min(lost, key=str), strict=True))}"
                )
    return f"killed in batch {', '.join(str(place + 1) for place in places)} of {first.batches}: no row is lost"


def _goes_on_from_any_state(subject: Subject) -> str:
    """A kill at any record is one at the state before it: what that does not cover has to come again."""
    first = subject.first()
    if not first.places:
        raise SkippedError("it sent no state")
    until, tried = monotonic() + _STATES_SECONDS, 0
    for place in _spread(first.places):
        rest = subject.read(place.state)
        tried += 1
        for name, one in first.streams.items():
            after = rest.streams.get(name, StreamSeen())
            before = 0 if one.is_replaced else place.keys.get(name, 0)
            lost = one.found.keys() - first.first_keys(name, before) - after.found.keys()
            if one.keys and lost:
                raise BrokenError(
                    f"from the state {place.state[:200].decode(errors='replace')} on `{name}` never sends "
                    f"{len(lost):,} of its rows, such as {dict(zip(one.keys, min(lost, key=str), strict=True))}"
                )
            few = one.rows - after.rows - (0 if one.is_replaced else place.rows.get(name, 0))
            if not one.keys and few > 0:
                raise BrokenError(
                    f"from the state {place.state[:200].decode(errors='replace')} on `{name}` sends {few:,} rows "
                    "too few"
                )
        if monotonic() > until:
            break
    return f"from {tried} of {len(first.places)} states on no row is lost"


def _spread(places: list[Place]) -> list[Place]:
    """The last, the first, the one between, and so on: the first few of them are everywhere."""
    bits = len(f"{len(places):b}")
    order = sorted(range(len(places)), key=lambda at: int(f"{at:0{bits}b}"[::-1], 2))
    return [places[-1], *(places[at] for at in order if at < len(places) - 1)]


def _ends_empty(subject: Subject) -> str:
    seen, empty = subject.first(), []
    for stream in subject.catalog.streams:
        one = seen.streams.get(stream.name)
        if taken(stream) is None or (one is not None and one.rows):
            continue
        empty.append(stream.name)
        is_whole = not (_cursor(stream) or _method(stream) not in (None, _FULL))
        if one is None and is_whole and stream.schema.get("properties") and subject.step.extractor.native:
            raise BrokenError(f"`{stream.name}` has no rows and does not say so: what was loaded before would stay")
    if not empty:
        raise SkippedError("every stream has rows")
    return f"end well without rows: {listed(empty)}"


def _takes_nothing_new(subject: Subject) -> str:
    first = subject.first()
    if first.state is None:
        raise SkippedError("it sent no state")
    again = subject.read(first.state)
    third = subject.read(again.state or first.state)
    if again.state is not None and third.state is not None and _json(again.state) != _json(third.state):
        raise BrokenError("with nothing new between two runs the state still changes")
    empty = [name for name, one in third.streams.items() if not one.rows]
    return f"ends well; without rows: {listed(empty)}" if empty else "ends well, and the state stays"


def _stays_small(subject: Subject) -> str:
    seen = subject.first()
    if seen.largest > _MOST_BATCH_BYTES:
        raise BrokenError(f"a batch has {byte_size(seen.largest)}; {byte_size(_MOST_BATCH_BYTES)} are allowed")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    if most > _MOST_PROCESS_BYTES:
        raise BrokenError(f"a process took {byte_size(most)}; {byte_size(_MOST_PROCESS_BYTES)} are allowed")
    process = f"largest process {byte_size(most)}" if most else "no process of its own"
    return f"largest batch {byte_size(seen.largest)}, {process}"


def _stops(subject: Subject) -> str:
    if not subject.first().batches:
        raise SkippedError("there were no rows")
    wanted: list[float] = []
    with closing(subject.messages(None, lambda: bool(wanted))) as found:
        for message in found:
            if not wanted and isinstance(message, Rows):
                wanted.append(monotonic())
    took = monotonic() - (wanted[0] if wanted else monotonic())
    if took > _CANCEL_SECONDS:
        raise BrokenError(f"told to stop, it ended after {took:.1f} s; {_CANCEL_SECONDS:.0f} s are allowed")
    return f"ended {took:.1f} s after it was told to"


CHECKS: tuple[tuple[str, Callable[[Subject], str]], ...] = (
    ("discovers what its source offers", _discovers),
    ("sends valid messages to the end", _reads),
    ("data are as the schema says", _is_true_to_schema),
    ("keys are unique and not null", _has_good_keys),
    ("a second run sends nothing old", _goes_on),
    ("nothing is lost when it is killed", _resumes),
    ("any state is one to go on from", _goes_on_from_any_state),
    ("a stream without rows ends well", _ends_empty),
    ("a run with nothing new ends well", _takes_nothing_new),
    ("memory is bounded", _stays_small),
    ("stops when told to", _stops),
)


def _json(state: bytes) -> Any:
    return msgspec.json.decode(state)


def _top(stream: CatalogStream) -> dict[str, Any]:
    return next((mark.metadata for mark in stream.metadata if not mark.breadcrumb), {})


def _method(stream: CatalogStream) -> Any:
    top = _top(stream)
    return top.get("replication-method") or top.get("forced-replication-method") or stream.replication_method


def _cursor(stream: CatalogStream) -> str | None:
    named = stream.replication_key or _top(stream).get("replication-key")
    return named or next(iter(_top(stream).get("valid-replication-keys", ())), None)


def _incremental(subject: Subject, seen: Seen) -> dict[str, StreamSeen]:
    """The streams that go on from a state, and not those that are read whole each time."""
    found = {}
    for stream in subject.catalog.streams:
        method = _method(stream)
        one = seen.streams.get(stream.name)
        if one is not None and not one.is_replaced and (one.cursor is not None or method not in (None, _FULL)):
            found[stream.name] = one
    return found


def _declared(catalog: Catalog, name: str) -> dict[str, str]:
    """Columns and the kinds of their types, by the catalog; nothing for a stream that it does not describe."""
    stream = next((one for one in catalog.streams if one.name == name), None)
    if stream is None or not stream.schema.get("properties"):
        return {}
    return {
        "__".join(leaf.path): "json" if leaf.family.value in ("json", "null") else _kind(leaf.type)
        for leaf in leaves(stream.schema)
    }


def _said(column: Any) -> str:
    return "json" if types.is_json(column) else _kind(column.type)


def _kind(data_type: Any) -> str:
    """Numbers of every size are one kind: a catalog can't tell their digits."""
    kind = types.kind(data_type)
    return "number" if kind in ("int64", "float64", "decimal") else kind

"""The contract that every extractor is held to, native, Python or Singer: tried on the extractor itself, with the
settings and the selection of the project. Nothing is loaded, no run recorded, no state of the project read or written.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.compute as pc
from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import HeadwaterError
from headwater.base.text import byte_size, listed
from headwater.connect import types
from headwater.connect.contract import Message, ReadRequest, Rows
from headwater.connect.singer import parse
from headwater.connect.singer.schema import leaves
from headwater.model.catalog import Catalog, CatalogStream
from headwater.model.event import Emit
from headwater.model.plan import ExtractLoad
from headwater.model.plugin import PluginKind
from headwater.ops import planning, plugins
from headwater.ops.runs import Aside, aside
from headwater.ops.selection import offered_catalog
from headwater.ops.tap_seen import Seen, StreamSeen
from headwater.ops.workspace import Workspace
from headwater.plan import build
from headwater.run import discover, native
from headwater.run.cancel import Cancel
from headwater.run.chain import Chain, Start
from headwater.run.copy import parse_options
from headwater.run.legs import Leg
from headwater.run.singer_files import catalog_arguments, config_arguments, state_arguments

# Small, so that there are many places to be killed at.
_BATCH_BYTES = 64 << 10
_MOST_BATCH_BYTES = 64 << 20
_MOST_PROCESS_BYTES = 1 << 30
_CANCEL_SECONDS = 10.0
_KILLS = (0.0, 0.3, 0.7)
_FULL = "FULL_TABLE"


class Check(Struct, frozen=True, kw_only=True):
    """One promise of the contract. `outcome` is `passed`, `failed` or `skipped`; `detail` says what was seen."""

    name: str
    outcome: str
    detail: str
    seconds: float


class _BrokenError(Exception):
    """The promise does not hold."""


class _SkippedError(Exception):
    """There is nothing that the promise could be tried on."""


class _Subject:
    """The extractor, to be read again and again; what the first whole read showed is kept for the checks after it."""

    def __init__(self, step: ExtractLoad, lab: Aside) -> None:
        self.step = step
        self.lab = lab
        self.raw: dict[str, Any] | None = None
        self.whole: Seen | None = None

    @property
    def catalog(self) -> Catalog:
        return native.decoded_catalog(self.raw or {"streams": []})

    def first(self) -> Seen:
        if self.whole is None:
            raise _SkippedError("it could not be read")
        return self.whole

    def messages(
        self, state: bytes | None, should_stop: Callable[[], bool] = lambda: False
    ) -> Generator[Message, None, None]:
        block = self.step.extractor
        if block.native is not None:
            request = ReadRequest(
                catalog=self.catalog,
                state=state,
                folder=self.lab.folder,
                batch_bytes=_BATCH_BYTES,
                should_stop=lambda: should_stop() or self.lab.run.cancel.is_set(),
                idle_seconds=self.step.idle_timeout_seconds,
            )
            yield from native.read(block, root=Path(self.lab.run.plan.root), request=request)
            return
        text = None if state is None else state.decode()
        folder = self.lab.folder
        args = (
            *config_arguments(block, folder),
            *catalog_arguments(block, self.raw, folder),
            *state_arguments(block, text, folder),
        )
        with Chain(
            [Start(block=block, args=args)],
            step=self.step.name,
            run=self.lab.run,
            idle_seconds=self.step.idle_timeout_seconds,
        ) as chain:
            options = parse_options(self.step, Leg(programs=(block,), is_last=True), Path(self.lab.run.plan.root))
            strict = msgspec.structs.replace(options, batch_bytes=_BATCH_BYTES, tolerate_stdout_noise=False)
            for message in parse.messages(chain.chunks(lambda: None), strict, lambda _text: None):
                yield message
                if should_stop():
                    return
            chain.wait()
            failure = chain.failure()
            if failure is not None:
                raise failure

    def read(self, state: bytes | None = None, stop_after: int | None = None) -> Seen:
        """What comes, to the end or up to so many batches of rows: then whatever runs is ended at once."""
        seen = Seen()
        with closing(self.messages(state)) as found:
            for message in found:
                seen.take(message)
                if stop_after is not None and seen.batches > stop_after:
                    break
        self.lab.run.cancel.check()
        return seen


def run(workspace: Workspace, name: str, *, emit: Emit, cancel: Cancel, install: str | None = None) -> Iterator[Check]:
    """Try the promises one after the other, each as soon as it is asked for. Raises what keeps the extractor from being
    started at all; what goes wrong in it is a failed check."""
    plugin = planning.plugin(workspace, name, PluginKind.EXTRACTOR)
    plugins.install_as_asked(workspace, [plugin], install, emit=emit)
    step = build.extract(planning.facts(workspace), plugin, build.Options(refresh_catalog=True))
    with aside(workspace, emit=emit, cancel=cancel) as lab:
        subject = _Subject(step, lab)
        for title, check in _CHECKS:
            yield _tried(title, check, subject)
            cancel.check()


def _tried(title: str, check: Callable[[_Subject], str], subject: _Subject) -> Check:
    began = monotonic()
    try:
        outcome, detail = "passed", check(subject)
    except _SkippedError as reason:
        outcome, detail = "skipped", str(reason)
    except _BrokenError as fault:
        outcome, detail = "failed", str(fault)
    except HeadwaterError as error:
        subject.lab.run.cancel.check()
        place = f"{error.where}: " if error.where else ""
        outcome, detail = "failed", f"{place}{error.what} [{error.reference}]"
    return Check(name=title, outcome=outcome, detail=detail, seconds=round(monotonic() - began, 3))


# The checks, in their order -------------------------------------------------------------------------------------------


def _discovers(subject: _Subject) -> str:
    subject.raw = discover.selected_catalog(
        subject.step, subject.lab.run, lambda: offered_catalog(subject.step, subject.lab)
    )
    if subject.raw is None:
        raise _SkippedError("it knows no catalogs")
    for stream in subject.catalog.streams:
        names = {".".join(leaf.path) for leaf in leaves(stream.schema)} if stream.schema.get("properties") else set()
        for column in (*(stream.key_properties or ()), *filter(None, [_cursor(stream)])):
            if names and column not in names:
                raise _BrokenError(f"`{column}` of stream `{stream.name}` is a key or cursor, but no property")
    return f"{len(subject.catalog.streams)} streams: {listed([one.name for one in subject.catalog.streams])}"


def _reads(subject: _Subject) -> str:
    subject.whole = subject.read()
    seen = subject.whole
    return f"{seen.rows:,} rows of {len(seen.streams)} streams, {seen.checkpoints} states"


def _is_true_to_schema(subject: _Subject) -> str:
    seen = subject.first()
    if seen.faults:
        raise _BrokenError("; ".join(seen.faults[:3]))
    count = 0
    for name, one in seen.streams.items():
        declared = _declared(subject.catalog, name)
        for column in one.columns or ():
            wanted = declared.get(column.name)
            if declared and wanted is None:
                raise _BrokenError(f"`{column.name}` of stream `{name}` is not in the catalog")
            if wanted not in (None, "json", _said(column)):
                raise _BrokenError(f"`{column.name}` of stream `{name}` is {_said(column)}, the catalog says {wanted}")
            count += 1
    if not count:
        raise _SkippedError("there were no rows")
    return f"{count} columns are what the catalog says"


def _has_good_keys(subject: _Subject) -> str:
    keyed = {name: one for name, one in subject.first().streams.items() if one.keys and one.rows}
    if not keyed:
        raise _SkippedError("no stream has keys and rows")
    for name, one in keyed.items():
        if one.null_keys:
            raise _BrokenError(f"{one.null_keys:,} rows of stream `{name}` have no {' and '.join(one.keys)}")
        if len(one.found) < one.rows:
            raise _BrokenError(f"{one.rows - len(one.found):,} rows of stream `{name}` have the key of another")
    return f"unique and never null: {listed(list(keyed))}"


def _goes_on(subject: _Subject) -> str:
    first = subject.first()
    if first.state is None:
        raise _BrokenError("it sent no state, so that every run begins anew")
    again = subject.read(first.state)
    tried = []
    for name, one in _incremental(subject, first).items():
        other = again.streams.get(name)
        tried.append(name)
        if other is None or not other.rows:
            continue
        if one.highest is not None and other.lowest is not None:
            if pc.less(other.lowest, one.highest.cast(other.lowest.type)).as_py():
                raise _BrokenError(
                    f"`{name}` sends rows from before its bookmark again: `{one.cursor}` {other.lowest} < {one.highest}"
                )
        elif one.found and other.found.keys() == one.found.keys() and one.rows > 1:
            raise _BrokenError(f"`{name}` sends all of its {one.rows:,} rows again")
    if not tried:
        raise _SkippedError("no stream is incremental")
    return f"from the state on nothing old but the boundary: {listed(tried)}"


def _resumes(subject: _Subject) -> str:
    first = subject.first()
    if not first.batches:
        raise _SkippedError("there were no rows")
    places = sorted({int(first.batches * share) for share in _KILLS})
    for place in places:
        cut = subject.read(stop_after=place)
        rest = subject.read(cut.state)
        for name, one in first.streams.items():
            before = cut.covered_keys(name) if name in _incremental(subject, first) else set()
            after = rest.streams.get(name, StreamSeen())
            lost = one.found.keys() - before - after.found.keys()
            if one.keys and lost:
                raise _BrokenError(
                    f"killed in batch {place + 1}, `{name}` never sends {len(lost):,} of its rows, such as "
                    f"{dict(zip(one.keys, min(lost, key=str), strict=True))}"
                )
    return f"killed in batch {', '.join(str(place + 1) for place in places)} of {first.batches}: no row is lost"


def _takes_nothing_new(subject: _Subject) -> str:
    first = subject.first()
    if first.state is None:
        raise _SkippedError("it sent no state")
    again = subject.read(first.state)
    third = subject.read(again.state or first.state)
    if again.state is not None and third.state is not None and _json(again.state) != _json(third.state):
        raise _BrokenError("with nothing new between two runs the state still changes")
    empty = [name for name, one in third.streams.items() if not one.rows]
    return f"ends well; without rows: {listed(empty)}" if empty else "ends well, and the state stays"


def _stays_small(subject: _Subject) -> str:
    seen = subject.first()
    if seen.largest > _MOST_BATCH_BYTES:
        raise _BrokenError(f"a batch has {byte_size(seen.largest)}; {byte_size(_MOST_BATCH_BYTES)} are allowed")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    if most > _MOST_PROCESS_BYTES:
        raise _BrokenError(f"a process took {byte_size(most)}; {byte_size(_MOST_PROCESS_BYTES)} are allowed")
    return f"largest batch {byte_size(seen.largest)}, largest process {byte_size(most)}"


def _stops(subject: _Subject) -> str:
    if not subject.first().batches:
        raise _SkippedError("there were no rows")
    wanted: list[float] = []
    with closing(subject.messages(None, lambda: bool(wanted))) as found:
        for message in found:
            if not wanted and isinstance(message, Rows):
                wanted.append(monotonic())
    took = monotonic() - (wanted[0] if wanted else monotonic())
    if took > _CANCEL_SECONDS:
        raise _BrokenError(f"told to stop, it ended after {took:.1f} s; {_CANCEL_SECONDS:.0f} s are allowed")
    return f"ended {took:.1f} s after it was told to"


_CHECKS: tuple[tuple[str, Callable[[_Subject], str]], ...] = (
    ("discovers what its source offers", _discovers),
    ("sends valid messages to the end", _reads),
    ("data are as the schema says", _is_true_to_schema),
    ("keys are unique and not null", _has_good_keys),
    ("a second run sends nothing old", _goes_on),
    ("nothing is lost when it is killed", _resumes),
    ("a run with nothing new ends well", _takes_nothing_new),
    ("memory is bounded", _stays_small),
    ("stops when told to", _stops),
)


def _json(state: bytes) -> Any:
    return msgspec.json.decode(state)


def _top(stream: CatalogStream) -> dict[str, Any]:
    return next((mark.metadata for mark in stream.metadata if not mark.breadcrumb), {})


def _cursor(stream: CatalogStream) -> str | None:
    named = stream.replication_key or _top(stream).get("replication-key")
    return named or next(iter(_top(stream).get("valid-replication-keys", ())), None)


def _incremental(subject: _Subject, seen: Seen) -> dict[str, StreamSeen]:
    """The streams that go on from a state, and not those that are read whole each time."""
    found = {}
    for stream in subject.catalog.streams:
        top = _top(stream)
        method = top.get("replication-method") or top.get("forced-replication-method") or stream.replication_method
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

"""Records that were set aside, in files of JSON lines that the manifest lists.

    _rejects/shop.run-7.000001.jsonl

A file never changes. Where some of its records leave the quarantine, the others go into a file of the next commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headwater.connect.contract import Rejected
from headwater.connect.destinations.bookkeeping import rejects_changed
from headwater.connect.destinations.file_parts import Target
from headwater.connect.destinations.manifest import FileEntry, Manifest
from headwater.connect.rejects import Again, Origin, Reject, reject_id, shape_id
from headwater.connect.storage import Storage

FOLDER = "_rejects"


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record, and all that is known of it. `shape` names a SCHEMA line in the manifest."""

    stream: str
    reason: str
    record: str
    id: str
    run_id: str
    sequence: int
    rejected_at: datetime
    since: datetime
    position: int
    version: int | None = None
    stages: int = 0
    shape: str = ""

    def reject(self, pipeline: str | None, shapes: dict[str, str]) -> Reject:
        return Reject(
            id=self.id,
            pipeline=pipeline,
            origin=Origin(run_id=self.run_id, sequence=self.sequence, since=self.since, rejected_at=self.rejected_at),
            rejected=Rejected(
                stream=self.stream,
                record=self.record.encode("utf-8", "surrogatepass"),
                reason=self.reason,
                schema=shapes.get(self.shape, "").encode("utf-8", "surrogatepass"),
                version=self.version,
                stages=self.stages,
            ),
        )


def lines(pipeline: str | None, entry: tuple[str, int], origin: Origin, rejects: Iterable[Rejected]) -> Iterator[Line]:
    """What a commit sets aside. `entry` is its run and its number."""
    for position, one in enumerate(rejects, 1):
        yield Line(
            stream=one.stream,
            reason=one.reason,
            record=one.record.decode(errors="backslashreplace"),
            id=reject_id(pipeline, *entry, position),
            run_id=origin.run_id,
            sequence=origin.sequence,
            rejected_at=origin.rejected_at,
            since=origin.since,
            position=position,
            version=one.version,
            stages=one.stages,
            shape=shape_id(one.schema) if one.schema else "",
        )


def shapes(rejects: Iterable[Rejected]) -> dict[str, str]:
    """The SCHEMA lines that the records came under, by what names them."""
    return {shape_id(one.schema): one.schema.decode(errors="backslashreplace") for one in rejects if one.schema}


def read(storage: Storage, path: str, *, staged: str | None = None) -> list[Line]:
    """Of a file; one that the commit has not put in its place yet is looked for in the folder `staged`."""
    raw = storage.read(path)
    if raw is None and staged is not None:
        raw = next((storage.read(name) for name in storage.names(staged) if name.endswith(f"/{path}")), None)
    return msgspec.json.Decoder(Line).decode_lines(raw or b"")


def write(to: Target, path: str, found: Iterable[Line], sequence: int) -> tuple[FileEntry, ...]:
    """A new file of those lines; () when there are none."""
    encoder, rows = msgspec.json.Encoder(), 0
    waiting = iter(found)
    first = next(waiting, None)
    if first is None:
        return ()
    with to.storage.sink(f"{to.staged}/{path}") as sink:
        for line in (first, *waiting):
            sink.write(encoder.encode(line) + b"\n")
            rows += 1
    return (FileEntry(path=path, rows=rows, sequence=sequence),)


class Change(Struct, frozen=True, kw_only=True):
    """What a commit does to the quarantine: `rejects` are set aside as what `origin` says, `again` are taken out, and
    those of the streams in `replaced` that another run left are forgotten."""

    pipeline: str | None
    run_id: str
    sequence: int
    origin: Origin
    rejects: list[Rejected]
    again: Again | None
    replaced: frozenset[str]


def changed(to: Target, before: Manifest, change: Change, stem: str) -> Manifest:
    """The manifest with the quarantine after that commit; new files are staged. `stem` names those.

    Raises RunFailedError (`rejects-changed`) when one that is to be taken out is not there.
    """
    ids = frozenset(change.again.ids if change.again else ())

    def is_obsolete(line: Line) -> bool:
        return line.stream in change.replaced and line.run_id != change.run_id

    entries = before.rejects
    rest: list[Line] = []
    if ids or change.replaced:
        entries, rest, taken = _left(to.storage, before.rejects, lambda line: line.id in ids, is_obsolete)
        if taken != len(ids):
            raise rejects_changed()
    own = lines(change.pipeline, (change.run_id, change.sequence), change.origin, change.rejects)
    written = write(to, f"{FOLDER}/{stem}.jsonl", chain(own, rest), change.sequence)
    named = {**before.shapes, **shapes(change.rejects)} if entries or written else {}
    return replace(before, rejects=(*entries, *written), shapes=named)


def _left(
    storage: Storage,
    entries: Iterable[FileEntry],
    is_taken: Callable[[Line], bool],
    is_obsolete: Callable[[Line], bool],
) -> tuple[tuple[FileEntry, ...], list[Line], int]:
    """Of the files those that stay as they are, what is left of the others, and how many records were taken."""
    kept: list[FileEntry] = []
    rest: list[Line] = []
    taken = 0
    for entry in entries:
        found = read(storage, entry.path)
        taken += sum(map(is_taken, found))
        staying = [line for line in found if not is_taken(line) and not is_obsolete(line)]
        if len(staying) == len(found):
            kept.append(entry)
        else:
            rest += staying
    return tuple(kept), rest, taken

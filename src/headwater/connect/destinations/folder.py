"""Sessions that load into files of a folder or an object store; what a file looks like says a `Format`.

    output/_manifests/shop.json          what counts, and the checkpoint that stands with it
    output/_staged/shop/000001.run-7/…   files of a commit in the making
    output/users/shop.run-7.000001.csv   the files themselves

A commit stages its files, then puts a new manifest in the place of the last (that is the commit), then moves the files
to their names. A crash before the manifest leaves staged files, which a later session removes; a crash after it leaves
staged files that the manifest lists, which the next session moves. So a file that has its name is committed, and
nobody who lists a stream's folder ever sees rows twice. Which files make up a stream at one moment, only the manifest
says.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import datetime

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.clock import now
from headwater.base.errors import RunFailedError
from headwater.base.failpoint import reach
from headwater.connect.contract import (
    ActivateVersion,
    Change,
    OpenRequest,
    Receipt,
    Rejected,
    Rows,
    Schema,
    Stored,
    StreamReceipt,
)
from headwater.connect.destinations import file_columns, file_parts, file_rejects
from headwater.connect.destinations.file_parts import Format
from headwater.connect.destinations.file_rows import FileRows, levels_of, rows_of
from headwater.connect.destinations.file_settings import FileSettings, partitions_of
from headwater.connect.destinations.heads import Head, LeasedHead, NumberedHead
from headwater.connect.destinations.manifest import NO_STATE, FileEntry, Manifest, StreamEntry, safe_name
from headwater.connect.destinations.stored import Place, stored
from headwater.connect.destinations.write_ahead import WriteAhead
from headwater.connect.objects import SCHEMES, Bucket
from headwater.connect.rejects import Again, Origin
from headwater.connect.staging import (
    InexactError,
    Part,
    StagedStream,
    Staging,
    with_rejects,
)
from headwater.connect.storage import LocalFolder, Storage

STAGED = "_staged"
# Loads without a pipeline share one manifest and go on from whatever stands there: those at once take turns.
_TURNS = 20
# Of the session's memory, for rows that are put in order by partition.
_PARTITION_SHARE = 0.25
# A stream's files are begun before the commit when so much of it waits, if there are not too many of them.
_BEGIN_BYTES = 8 << 20
_MOST_BEGUN = 4


class _Begun(Struct, frozen=True):
    """Files that are being written ahead, and what they are right for."""

    files: WriteAhead
    stem: str
    rows: FileRows


class _Finished(Struct, frozen=True):
    stem: str
    rows: FileRows
    written: file_parts.Written


class FolderSession:
    """A load into one place. Rows wait elsewhere; each commit writes files for each stream that has rows."""

    def __init__(self, settings: FileSettings, file_format: Format, request: OpenRequest) -> None:
        self._settings = settings
        self._format = file_format
        self._request = request
        self._stem = safe_name(request.pipeline if request.pipeline is not None else f"{NO_STATE}{request.source}")
        self._storage, self._head = self._placed(settings)
        self._writer = f"{safe_name(request.run_id)}-{secrets.token_hex(4)}"
        self._staging = Staging(request.folder, request.memory_bytes)
        # By stream; None for one whose files wait for the commit.
        self._begun: dict[str, _Begun | None] = {}
        # When the first row of the next commit was written; all of its rows are stamped with that.
        self._moment: datetime | None = None
        self._again: Again | None = None
        self._manifest = self._head.read()
        if self._manifest.sequence:
            with self._head.alone():
                self._manifest = self._head.read()
                self._settle(self._manifest)
        self._since = now()

    def _placed(self, settings: FileSettings) -> tuple[Storage, Head]:
        request = self._request
        if settings.destination_path.partition("://")[0] in SCHEMES:
            bucket = Bucket(settings)
            return bucket, NumberedHead(bucket, self._stem)
        folder = LocalFolder(settings.destination_path)
        who = f"load of {request.pipeline or request.source}"
        return folder, LeasedHead(folder, self._stem, who, request.on_wait)

    def checkpoint(self) -> bytes | None:
        return None if self._request.pipeline is None else self._manifest.state

    def prepare(self, schema: Schema) -> bool:
        stream = self._staging.prepare(schema)
        if stream.is_reshaped:
            self._shaped(self._manifest.streams, stream)  # refuses now what the commit would refuse
        return self._is_replaced(stream)

    def takes(self, stream: str) -> frozenset[str]:  # noqa: ARG002 - it takes none
        return frozenset()

    def stage(self, rows: Rows) -> None:
        batch = self._staging.stage(rows)
        stream = self._staging.streams[rows.stream]
        begun = self._begun.get(stream.name)
        if begun is not None:
            begun.files.put(batch)
        elif stream.name not in self._begun and stream.spool.memory >= _BEGIN_BYTES:
            self._begin(stream)

    def reject(self, rejected: Rejected) -> None:
        self._staging.reject(rejected)

    def replay(self, again: Again) -> None:
        """As `rejects.ReplaySession` says."""
        self._again = again

    def activate(self, version: ActivateVersion) -> None:
        self._staging.activations.append(version)

    def staged_bytes(self) -> int:
        return self._staging.staged_bytes()

    def boundary(self) -> None:
        self._staging.boundary()

    def commit(self, checkpoint: bytes | None, *, final: bool = False, to_boundary: bool = False) -> Receipt:
        part = self._staging.part(to_boundary=to_boundary)
        state = self._manifest.state if checkpoint is None else checkpoint
        if self._request.pipeline is None:
            state = None
        swaps = final and any(map(self._is_replaced, self._staging.streams.values()))
        if part.is_empty() and state == self._manifest.state and not swaps and self._again is None:
            return Receipt(sequence=self._manifest.sequence, streams={}, checkpoint=checkpoint)
        while True:
            try:
                return self._write(part, state, final=final)
            except InexactError as error:
                # A value does not survive the type its column has: the column becomes text, and the commit starts over.
                self._staging.streams[error.stream].texts.add(error.column)

    def sends_ahead(self) -> bool:
        return self._request.pipeline is not None

    def stored(self) -> dict[str, Stored]:
        return {
            name: stored(
                stream,
                entry.folder,
                _places(entry),
                load_method="overwrite" if self._is_replaced(stream) else "append-only",
            )
            for name, stream in self._staging.streams.items()
            if (entry := self._manifest.streams.get(name)) is not None
        }

    def close(self) -> None:
        self._give_up()
        self._staging.clear()

    def _begin(self, stream: StagedStream) -> None:
        """Begin the stream's files of the next commit. Where others may load at once its number is not known yet."""
        self._begun[stream.name] = None
        if self._request.pipeline is None or len(self._begun) > _MOST_BEGUN:
            return
        entry = self._shaped(self._manifest.streams, stream)[0]
        sequence = self._manifest.sequence + 1
        stem = f"{entry.folder}/{self._batch_id(sequence)}"
        if entry.partitions or any(one is not None and one.stem == stem for one in self._begun.values()):
            return
        to, rows = self._target(sequence), rows_of(stream, entry)
        moment = self._moment = self._moment or now()

        def write(batches: Iterator[pa.RecordBatch]) -> file_parts.Written:
            return file_parts.write(to, stem, self._format, rows.conformed(batches, moment), rows.schema, [])

        files = WriteAhead(write)
        self._begun[stream.name] = _Begun(files, stem, rows)
        for batch in stream.spool.first(len(stream.spool)):
            files.put(batch)

    def _finished(self, part: Part) -> dict[str, _Finished]:
        """The files that were begun and have just as many batches as the commit takes."""
        finished = {}
        for name, begun in self._begun.items():
            if begun is None:
                continue
            if begun.files.count != part.batches[name]:
                begun.files.give_up()
            elif (written := begun.files.finish()) is not None:
                finished[name] = _Finished(begun.stem, begun.rows, written)
        self._begun = {}
        return finished

    def _give_up(self) -> None:
        for begun in self._begun.values():
            if begun is not None:
                begun.files.give_up()
        self._begun = {}

    def _is_replaced(self, stream: StagedStream) -> bool:
        return self._settings.load_method == "overwrite" or stream.schema.replace

    def _write(self, part: Part, state: bytes | None, *, final: bool) -> Receipt:
        for _ in range(_TURNS):
            with self._head.alone():
                before = self._head.read()
                if self._request.pipeline is not None:
                    if (before.sequence, before.run_id) == (self._manifest.sequence + 1, self._request.run_id):
                        # This very commit is durable already; only its answer got lost.
                        self._settle(before)
                        return self._committed(before, part, self._receipts(part, {}), ())
                    self._refuse_another_writer(before)
                after, repaired, changes = self._staged(before, part, state, final=final)
                reach("commit.booked")
                if self._head.swap(before, after):
                    reach("commit.done")
                    self._settle(after)
                    return self._committed(after, part, self._receipts(part, repaired), changes)
            if self._request.pipeline is not None:
                break
            time.sleep(secrets.randbelow(1000) / 1000)
        raise self._another_writer(self._head.read())

    def _staged(
        self, before: Manifest, part: Part, state: bytes | None, *, final: bool
    ) -> tuple[Manifest, dict[str, int], tuple[Change, ...]]:
        """Stage the files of the next commit. Answers its manifest, values changed by stream, and what to tell."""
        sequence = before.sequence + 1
        to, batch_id = self._target(sequence), self._batch_id(sequence)
        moment = self._moment = self._moment or now()
        finished = self._finished(part)
        # A commit that was begun before and had to start over left files there.
        begun = {f"{to.staged}/{path}" for one in finished.values() for path, _ in one.written.files}
        there = set(self._storage.names(to.staged))
        self._storage.delete(sorted(there - begun))
        streams, repaired = dict(before.streams), {}
        changes: list[Change] = []
        for name, stream in self._staging.streams.items():
            shaped, told = self._shaped(streams, stream)
            changes += told
            written: tuple[FileEntry, ...] = ()
            if part.batches[name]:
                stem, rows = f"{shaped.folder}/{batch_id}", rows_of(stream, shaped)
                done = _right(finished.get(name), stem, rows, to, there)
                if done is None:
                    levels = levels_of(stream, shaped)
                    batches = rows.conformed(stream.spool.first(part.batches[name]), moment)
                    done = file_parts.write(to, stem, self._format, batches, rows.schema, levels)
                _refuse_mismatch(stream, part.batches[name], done)
                written = tuple(FileEntry(path=path, rows=rows, sequence=sequence) for path, rows in done.files)
                repaired[name] = done.repaired
            streams[name] = self._with_files(shaped, written, final=final, replaced=self._is_replaced(stream))
        after = msgspec.structs.replace(
            file_rejects.changed(to, before, self._set_aside(sequence, part, final=final), batch_id),
            pipeline=self._request.pipeline,
            sequence=sequence,
            run_id=self._request.run_id,
            writer=self._writer,
            state=state,
            streams=streams,
        )
        after = msgspec.structs.replace(after, retired=tuple(sorted(before.files() - after.files())))
        changes += [_ignored(one) for one in self._staging.activations[: part.activations]]
        changes += [_repaired(name, count) for name, count in repaired.items() if count]
        return after, repaired, tuple(changes)

    def _set_aside(self, sequence: int, part: Part, *, final: bool) -> file_rejects.Change:
        run_id = self._request.run_id
        own = Origin(run_id=run_id, sequence=sequence, since=self._since, rejected_at=now())
        replaced = [name for name, stream in self._staging.streams.items() if final and self._is_replaced(stream)]
        return file_rejects.Change(
            pipeline=self._request.pipeline,
            run_id=run_id,
            sequence=sequence,
            origin=(self._again.origin if self._again else None) or own,
            rejects=self._staging.rejects[: part.rejects],
            again=self._again,
            replaced=frozenset(replaced),
        )

    def _target(self, sequence: int) -> file_parts.Target:
        return file_parts.Target(
            storage=self._storage,
            staged=f"{STAGED}/{self._stem}/{sequence:06}.{safe_name(self._request.run_id)}",
            scratch=self._request.folder,
            memory_bytes=int(self._request.memory_bytes * _PARTITION_SHARE),
        )

    def _batch_id(self, sequence: int) -> str:
        return f"{self._stem}.{safe_name(self._request.run_id)}.{sequence:06}"

    def _settle(self, current: Manifest) -> None:
        """Bring the place in step with its manifest: what it lists has its name, what it retired is gone, and so is
        what a session that died had staged."""
        listed, counted = current.files(), current.named()
        folder = f"{STAGED}/{self._stem}"
        staged = {path: path.removeprefix(f"{folder}/").partition("/") for path in self._storage.names(folder)}
        named = [(path, final) for path, (_, _, final) in staged.items() if final in counted]
        self._storage.delete(current.retired)  # first: who lists the place meanwhile finds no row twice
        self._storage.move(named)
        orphans = [
            path
            for path, (batch, _, final) in staged.items()
            if final not in listed and self._head.is_dead(_number(batch), current)
        ]
        self._storage.delete(orphans)
        self._storage.prune(folder)

    def _committed(
        self, after: Manifest, part: Part, receipts: dict[str, StreamReceipt], changes: tuple[Change, ...]
    ) -> Receipt:
        self._manifest = after
        self._staging.drop(part)
        self._again, self._moment, self._since = None, None, now()
        return Receipt(sequence=after.sequence, streams=receipts, changes=changes, checkpoint=after.state)

    def _refuse_another_writer(self, found: Manifest) -> None:
        mine = self._manifest
        if (found.sequence, found.writer, found.run_id) != (mine.sequence, mine.writer, mine.run_id):
            raise self._another_writer(found)

    def _another_writer(self, found: Manifest) -> RunFailedError:
        return RunFailedError(
            "another-writer",
            f"another run of `{self._request.pipeline or self._request.source}` loaded meanwhile",
            why=f"run {found.run_id} made commit {found.sequence}; this run had read commit {self._manifest.sequence}",
            hint="run it again: it goes on from where the other run came to",
        )

    def _receipts(self, part: Part, repaired: dict[str, int]) -> dict[str, StreamReceipt]:
        receipts = {}
        for name, count in part.batches.items():
            stream = self._staging.streams[name]
            if rows := stream.spool.rows(count):
                changed = sum(stream.repaired[:count]) + repaired.get(name, 0)
                receipts[name] = StreamReceipt(rows_in=rows, rows_out=rows, repaired=changed)
        return with_rejects(receipts, self._staging.rejects[: part.rejects])

    def _with_files(
        self, entry: StreamEntry, written: tuple[FileEntry, ...], *, final: bool, replaced: bool
    ) -> StreamEntry:
        """The stream with the new files. What a run that died had collected to replace its files is dropped."""
        run_id = self._request.run_id
        aside = entry.aside if entry.aside_run == run_id else ()
        if not replaced:
            return msgspec.structs.replace(entry, files=(*entry.files, *written), aside=(), aside_run=None)
        if final:
            return msgspec.structs.replace(entry, files=(*aside, *written), aside=(), aside_run=None)
        return msgspec.structs.replace(entry, aside=(*aside, *written), aside_run=run_id)

    def _shaped(self, known: dict[str, StreamEntry], stream: StagedStream) -> tuple[StreamEntry, list[Change]]:
        wanted = partitions_of(self._settings, stream.name)
        return file_columns.shaped(known, stream, wanted, is_replaced=self._is_replaced(stream))


def _right(
    finished: _Finished | None, stem: str, rows: FileRows, to: file_parts.Target, there: set[str]
) -> file_parts.Written | None:
    """The files when they are what the commit would write. One of another writer may have taken them for left over."""
    if finished is None or finished.stem != stem or not finished.rows.is_same(rows):
        return None
    written = finished.written
    return written if all(f"{to.staged}/{path}" in there for path, _ in written.files) else None


def _refuse_mismatch(stream: StagedStream, count: int, written: file_parts.Written) -> None:
    taken, staged = sum(rows for _, rows in written.files), stream.spool.rows(count)
    if taken != staged:
        raise RunFailedError(
            "count-mismatch",
            f"{staged} rows of stream `{stream.name}` were staged, but its files took {taken}",
        )


def _number(batch: str) -> int:
    """Of a staged commit, by its folder's name."""
    digits = batch.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


def _ignored(activation: ActivateVersion) -> Change:
    detail = f"version {activation.version} is not activated: rows in files can't be deleted"
    return Change(stream=activation.stream, column=None, change="version-ignored", detail=detail)


def _repaired(stream: str, count: int) -> Change:
    detail = "NaN and infinity are null in JSON"
    return Change(stream=stream, column=None, change="value-repaired", detail=detail, count=count)


def _places(entry: StreamEntry) -> list[Place]:
    return [Place(source, column.name, column.type) for source, column in entry.columns.items()]

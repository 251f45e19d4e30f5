"""Sessions that load into files of a folder; `parquet` and `jsonl` differ only in how they write one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.clock import now
from headwater.base.errors import InputError, RunFailedError
from headwater.base.lease import lease
from headwater.connect import names, types
from headwater.connect.contract import (
    JSON_FIELD,
    ActivateVersion,
    Change,
    OpenRequest,
    Receipt,
    Rejected,
    Rows,
    Schema,
    StreamReceipt,
)
from headwater.connect.destinations import manifest
from headwater.connect.destinations.manifest import ColumnEntry, FileEntry, Manifest, StreamEntry
from headwater.connect.staging import (
    VERSION,
    InexactError,
    Part,
    StagedStream,
    Staging,
    as_text,
    combined,
    conformed,
    grown,
    rider,
    with_rejects,
)

LOADED_AT = "__loaded_at"
RESERVED = frozenset((LOADED_AT, VERSION))
LONGEST_NAME = 255


class Format(Struct, frozen=True, kw_only=True):
    """How one file is written: `write` fills the path with batches of that schema and answers how many rows it
    wrote and how many values it had to change."""

    suffix: str
    write: Callable[[Path, pa.Schema, Iterator[pa.RecordBatch]], tuple[int, int]]


class FolderSession:
    """A load into one folder. Rows wait elsewhere; each commit writes a file for each stream that has rows."""

    def __init__(self, root: str, *, overwrite: bool, file_format: Format, request: OpenRequest) -> None:
        self._root = Path(root).expanduser()
        self._overwrite = overwrite
        self._format = file_format
        self._request = request
        self._path = manifest.manifest_path(self._root, request.pipeline, request.source)
        self._staging = Staging(request.folder, request.memory_bytes)
        self._as_text: set[tuple[str, str]] = set()
        self._manifest = Manifest()
        if self._path.exists():
            with self._leased():
                self._manifest = manifest.read(self._path)
                manifest.sweep(self._root, self._manifest, f"{self._path.stem}.")

    def checkpoint(self) -> bytes | None:
        return None if self._request.pipeline is None else self._manifest.state

    def prepare(self, schema: Schema) -> bool:
        stream = self._staging.prepare(schema)
        if stream.is_reshaped:
            self._columns(self._manifest, stream)  # refuses now what the commit would refuse
        return self._is_replaced(stream)

    def stage(self, rows: Rows) -> None:
        self._staging.stage(rows)

    def reject(self, rejected: Rejected) -> None:
        self._staging.reject(rejected)

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
        if part.is_empty() and state == self._manifest.state and not swaps:
            return Receipt(sequence=self._manifest.sequence, streams={}, checkpoint=checkpoint)
        while True:
            try:
                return self._write(part, state, final=final)
            except InexactError as error:
                # A value does not survive the type its column has: the column becomes text, and the commit starts over.
                self._as_text.add((error.stream, error.column))

    def close(self) -> None:
        self._staging.clear()

    def _leased(self) -> AbstractContextManager[None]:
        who = f"load of {self._request.pipeline or self._request.source}"
        return lease(self._path, exclusive=True, who=who, on_wait=self._request.on_wait)

    def _is_replaced(self, stream: StagedStream) -> bool:
        return self._overwrite or stream.schema.replace

    def _write(self, part: Part, state: bytes | None, *, final: bool) -> Receipt:
        run_id = self._request.run_id
        with self._leased():
            before = manifest.read(self._path)
            if self._request.pipeline is not None:
                if (before.sequence, before.run_id) == (self._manifest.sequence + 1, run_id):
                    # This very commit is durable already; only its answer got lost.
                    manifest.sweep(self._root, before, f"{self._path.stem}.")
                    return self._committed(before, part, self._receipts(part, {}), ())
                self._refuse_another_writer(before)
            batch_id = f"{self._path.stem}.{manifest.safe_name(run_id)}.{before.sequence + 1:06}"
            streams, repaired, changes = dict(before.streams), {}, []
            for name, stream in self._staging.streams.items():
                shaped, told = self._shaped(streams, stream)
                changes += told
                written: tuple[FileEntry, ...] = ()
                if part.batches[name]:
                    path = f"{shaped.folder}/{batch_id}{self._format.suffix}"
                    rows, repaired[name] = self._write_file(path, stream, shaped, part.batches[name])
                    written = (FileEntry(path=path, rows=rows, sequence=before.sequence + 1),)
                streams[name] = self._with_files(shaped, written, final=final, replaced=self._is_replaced(stream))
            rejects = self._write_rejects(f"_rejects/{batch_id}.jsonl", part, before.sequence + 1)
            after = Manifest(
                pipeline=self._request.pipeline,
                sequence=before.sequence + 1,
                run_id=run_id,
                state=state,
                streams=streams,
                rejects=(*before.rejects, *rejects),
            )
            manifest.commit(self._root, self._path, before, after)
        changes += [_ignored(one) for one in self._staging.activations[: part.activations]]
        changes += [_repaired(name, count) for name, count in repaired.items() if count]
        return self._committed(after, part, self._receipts(part, repaired), tuple(changes))

    def _committed(
        self, after: Manifest, part: Part, receipts: dict[str, StreamReceipt], changes: tuple[Change, ...]
    ) -> Receipt:
        self._manifest = after
        self._staging.drop(part)
        return Receipt(sequence=after.sequence, streams=receipts, changes=changes, checkpoint=after.state)

    def _refuse_another_writer(self, found: Manifest) -> None:
        mine = self._manifest
        if (found.sequence, found.run_id) != (mine.sequence, mine.run_id):
            raise RunFailedError(
                "another-writer",
                f"another run of `{self._request.pipeline}` loaded meanwhile",
                why=f"run {found.run_id} made commit {found.sequence}; this run had read commit {mine.sequence}",
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

    def _columns(self, held: Manifest, stream: StagedStream) -> dict[str, ColumnEntry]:
        return self._shaped(held.streams, stream)[0].columns

    def _shaped(self, held: dict[str, StreamEntry], stream: StagedStream) -> tuple[StreamEntry, list[Change]]:
        """The stream's entry with its columns able to hold the stream, and what changed for that.

        Raises InputError (`unsupported-change`). Files that are there keep the types they were written with.
        """
        name = stream.schema.stream
        entry = held.get(name)
        changes: list[Change] = []
        if entry is None:
            known = {other: one.folder for other, one in held.items()}
            entry = StreamEntry(folder=_folder(name, known))
            changes.append(Change(stream=name, column=None, change="table-created", detail=entry.folder))
        called = names.identifiers(
            list(stream.columns),
            max_length=LONGEST_NAME,
            fold_case=False,
            reserved=RESERVED,
            known={source: column.name for source, column in entry.columns.items()},
        )
        columns = dict(entry.columns)
        for source, field in stream.columns.items():
            wanted = as_text(field) if (name, source) in self._as_text else field
            columns[source] = _reached(name, called[source], entry.columns.get(source), wanted)
            changes += _told(name, source, entry.columns.get(source), columns[source], is_first=not entry.columns)
        return msgspec.structs.replace(entry, columns=columns), changes

    def _write_file(self, path: str, stream: StagedStream, entry: StreamEntry, count: int) -> tuple[int, int]:
        """Write the stream's first batches under the file's hidden name. Answers rows and changed values."""
        fields = [_field(entry.columns[source]) for source in stream.columns]
        fields.append(pa.field(LOADED_AT, types.TIMESTAMP))
        if stream.version is not None:
            fields.append(pa.field(VERSION, types.INT64))
        schema = pa.schema(fields)
        wanted = [(source, _field(entry.columns[source]).type) for source in stream.columns]
        loaded_at = pa.scalar(now(), types.TIMESTAMP)

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in combined(stream.spool.first(count)):
                arrays, _ = conformed(batch, stream.schema.stream, wanted)
                arrays.append(pa.repeat(loaded_at, batch.num_rows))
                if stream.version is not None:
                    arrays.append(rider(batch, VERSION, types.INT64))
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        rows, repaired = manifest.write_hidden(
            self._root, path, lambda part: self._format.write(part, schema, batches())
        )
        if rows != stream.spool.rows(count):
            raise RunFailedError(
                "count-mismatch",
                f"{stream.spool.rows(count)} rows of stream `{stream.schema.stream}` were staged, "
                f"but `{path}` took {rows}",
            )
        return rows, repaired

    def _write_rejects(self, path: str, part: Part, sequence: int) -> tuple[FileEntry, ...]:
        rejects = self._staging.rejects[: part.rejects]
        if not rejects:
            return ()
        lines = [
            json.dumps(
                {"stream": one.stream, "reason": one.reason, "record": one.record.decode(errors="backslashreplace")},
                ensure_ascii=False,
            )
            for one in rejects
        ]
        data = "".join(f"{line}\n" for line in lines)
        manifest.write_hidden(self._root, path, lambda part: (part.write_text(data, encoding="utf-8"), 0))
        return (FileEntry(path=path, rows=len(rejects), sequence=sequence),)


def _folder(stream: str, known: dict[str, str]) -> str:
    """A new stream's folder. Some file systems don't tell `Foo` from `foo`, so no two folders differ in case only."""
    safe = manifest.safe_name(stream)
    return names.identifiers([safe], max_length=LONGEST_NAME, fold_case=True, reserved=frozenset(known.values()))[safe]


def _reached(stream: str, name: str, held: ColumnEntry | None, wanted: pa.Field) -> ColumnEntry:
    reached = wanted if held is None else grown(_field(held), held.declared, wanted)
    if reached is None:
        raise InputError(
            "unsupported-change",
            f"column `{wanted.name}` of stream `{stream}` can't be loaded beside the files that are there",
            why=f"the column is {_field(held).type} and the source now sends {wanted.type}" if held else None,
            hint="types only ever grow: load into another folder",
        )
    return ColumnEntry(name=name, type=str(reached.type), declared=types.declared(wanted), json=types.is_json(reached))


def _told(stream: str, source: str, before: ColumnEntry | None, after: ColumnEntry, *, is_first: bool) -> list[Change]:
    told = []
    if before is None and not is_first:
        told.append(Change(stream=stream, column=source, change="column-added", detail=after.type))
    if before is None and after.name != source:
        told.append(Change(stream=stream, column=source, change="renamed", detail=f"{source} → {after.name}"))
    if before is not None and before.type != after.type:
        detail = f"{before.type} → {after.type}"
        told.append(Change(stream=stream, column=source, change="column-widened", detail=detail))
    return told


_TYPES = {
    str(one): one
    for one in (
        types.BOOL,
        types.INT64,
        types.FLOAT64,
        types.STRING,
        types.BINARY,
        types.DATE,
        types.TIME,
        types.TIMESTAMP,
    )
}


def _field(column: ColumnEntry) -> pa.Field:
    if match := re.fullmatch(r"decimal128\((\d+), (\d+)\)", column.type):
        return pa.field(column.name, pa.decimal128(int(match[1]), int(match[2])))
    return pa.field(column.name, _TYPES[column.type], metadata=JSON_FIELD if column.json else None)


def _ignored(activation: ActivateVersion) -> Change:
    detail = f"version {activation.version} is not activated: rows in files can't be deleted"
    return Change(stream=activation.stream, column=None, change="version-ignored", detail=detail)


def _repaired(stream: str, count: int) -> Change:
    detail = "NaN and infinity are null in JSON"
    return Change(stream=stream, column=None, change="value-repaired", detail=detail, count=count)

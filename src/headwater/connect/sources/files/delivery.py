"""What is due of a stream, delivered: its types first, then its rows, file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.contract import Message, ReadRequest, Rejected, Rows, Schema, StartOverError
from headwater.connect.sources.files import csv, excel, fixed_width, json_arrays, jsonl, parquet, xml
from headwater.connect.sources.files.copies import Copies
from headwater.connect.sources.files.find import DataFile, StreamFiles
from headwater.connect.sources.files.format import Bad, Format, Piece, UnexpectedError
from headwater.connect.sources.files.open import Fingerprint, changed_while_read, digested, fingerprint
from headwater.connect.sources.files.state import Due, FileState
from headwater.connect.sources.text_types import TEXT, Kind, Look, field_of, joined

FORMATS: dict[str, Format] = {
    "csv": cast("Format", csv),
    "excel": cast("Format", excel),
    "fixed": cast("Format", fixed_width),
    "json": cast("Format", json_arrays),
    "jsonl": cast("Format", jsonl),
    "parquet": cast("Format", parquet),
    "xml": cast("Format", xml),
}

# How many bytes of a file show what to expect of it.
SAMPLE = 8 << 20
# So much is read without a checkpoint, where it need not be read twice for that.
MOST_AT_ONCE = 2 << 30
# Rows of files that are smaller come together.
_GATHERED = 256 << 10  # bytes


class Work(Struct, frozen=True, kw_only=True):
    """A selected stream and what is to be read of it."""

    stream: StreamFiles
    takes: Callable[[str], bool]
    forced: dict[str, Look]
    due: Due


class Done(Struct, frozen=True, kw_only=True):
    """How far a file of a stream was delivered by the rows before; or, without a file, that the stream is complete."""

    stream: str
    key: str = ""
    entry: FileState | None = None


class Types(Struct, frozen=True, kw_only=True):
    """What was seen in the columns of a stream, which is delivered from here on."""

    stream: str
    types: dict[str, Look]


class Delivered(Struct, frozen=True, kw_only=True):
    """Rows, and how far the files that they are of were delivered with them: what stands between the two could not be
    told by a checkpoint."""

    rows: Rows
    notes: tuple[Done, ...]


Item = Message | Done | Types | Delivered


def delivered(work: Work, looks: dict[str, Look], request: ReadRequest) -> Iterator[Item]:
    """What is due of a stream, and notes of how far it came. Without the last note it was told to stop. `looks`, which
    is what was seen in the columns before, is taken over.

    Raises InputError for keys that are no columns, RunFailedError for a file that is broken or changes while it is
    read, StartOverError where the request allows it.
    """
    with Copies(request.folder) as copies:
        if request.may_start_over and request.jobs == 1 and _may_be_expected(work):
            yield from _delivered_as_expected(work, looks, request, copies)
        else:
            yield from _gathered(_delivered(work, looks, request, copies), min(request.batch_bytes, _GATHERED))


def _delivered(work: Work, looks: dict[str, Look], request: ReadRequest, copies: Copies) -> Iterator[Item]:
    name = work.stream.name
    _join_forced(looks, work)
    before: dict[str, Fingerprint] = {}
    content: dict[str, str] = {}
    for file, near in copies.near(file for file, _rows in work.due.files):
        if request.should_stop():
            return
        before[file.key] = fingerprint(file)
        with digested(near) as digest:
            _join_seen(looks, near, work)
            content[file.key] = digest()
    columns = {column: look for column, look in looks.items() if work.takes(column)}
    if not columns:
        yield Done(stream=name)
        return
    yield from _described(work, looks, columns)
    schema = arrow_schema(columns)
    delivered_rows = {file.key: rows for file, rows in work.due.files}
    for file, near in copies.near(file for file, _rows in work.due.files):
        rows = delivered_rows[file.key]
        seen = before[file.key]
        entry = FileState(size=seen.size, mtime_ns=seen.mtime_ns, hash=content[file.key], rows=rows)
        pieces = FORMATS[file.format].batches(near, schema, request.batch_bytes)
        for message in _messages(work.stream, file, pieces, rows, schema):
            yield message
            if isinstance(message, Rejected):
                continue
            rows += message.batch.num_rows
            yield Done(stream=name, key=file.key, entry=msgspec.structs.replace(entry, rows=rows))
            if request.should_stop():
                return
        if fingerprint(file) != seen:
            raise changed_while_read(file)
        yield Done(stream=name, key=file.key, entry=msgspec.structs.replace(entry, rows=None))
    yield Done(stream=name)


def _gathered(items: Iterator[Item], most: int) -> Iterator[Item]:
    """The same, each batch with the notes that say how far it came, and the rows of small files in batches of about
    `most` bytes: each batch has its price."""
    held: list[Rows] = []
    notes: dict[str, Done] = {}
    for item in items:
        is_note = isinstance(item, Done) and item.entry is not None
        if held and not is_note and (not isinstance(item, Rows) or _size(held) + item.batch.nbytes > most):
            yield Delivered(rows=_as_one(held), notes=tuple(notes.values()))
            held, notes = [], {}
        if isinstance(item, Rows):
            held.append(item)
        elif isinstance(item, Done) and held:
            notes[item.key] = item
            if _size(held) >= most:
                yield Delivered(rows=_as_one(held), notes=tuple(notes.values()))
                held, notes = [], {}
        else:
            yield item
    if held:
        yield Delivered(rows=_as_one(held), notes=tuple(notes.values()))


def _size(parts: list[Rows]) -> int:
    return sum(int(rows.batch.nbytes) for rows in parts)


def _as_one(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    missing = None
    if any(rows.missing is not None for rows in parts):
        kind = pa.list_(pa.string())
        missing = pa.concat_arrays(
            [pa.nulls(len(rows.batch), kind) if rows.missing is None else rows.missing for rows in parts]
        )
    repaired = sum((Counter(rows.repaired) for rows in parts), Counter())
    batch = pa.concat_batches([rows.batch for rows in parts])
    size = sum(rows.size for rows in parts)
    return Rows(stream=parts[0].stream, batch=batch, missing=missing, repaired=dict(repaired), size=size)


def _join_seen(looks: dict[str, Look], file: DataFile, work: Work) -> None:
    """Adds what the whole file holds. One in which nothing can be read is told as broken, whatever may be set aside."""
    form = FORMATS[file.format]
    found = form.looks(file, work.takes)
    if not found and file.sets_aside:
        found = form.looks(msgspec.structs.replace(file, sets_aside=False), work.takes)
    join(looks, found)
    _join_forced(looks, work)


def _join_forced(looks: dict[str, Look], work: Work) -> None:
    join(looks, {column: look for column, look in work.forced.items() if column in looks})


def _described(work: Work, looks: dict[str, Look], columns: dict[str, Look]) -> Iterator[Item]:
    """What comes before the first rows of a stream."""
    require_keys(work.stream, columns)
    yield _types(work.stream.name, looks)
    schema = arrow_schema(columns)
    yield Schema(stream=work.stream.name, columns=schema, keys=work.stream.keys, replace=work.due.replace)


def _types(stream: str, looks: dict[str, Look]) -> Types:
    """A column without any value is delivered as text, so text it must stay."""
    return Types(
        stream=stream, types={column: TEXT if look.kind is Kind.NULL else look for column, look in looks.items()}
    )


def _may_be_expected(work: Work) -> bool:
    """Whether files are so large that to read them once gains something, and not so large that a run that dies in the
    middle of them should not start with the first again."""
    if any(file.format != "csv" or file.packing is not None or rows for file, rows in work.due.files):
        return False
    return 4 * SAMPLE <= sum(fingerprint(file).size for file, _ in work.due.files) <= MOST_AT_ONCE


def _delivered_as_expected(work: Work, looks: dict[str, Look], request: ReadRequest, copies: Copies) -> Iterator[Item]:
    """As `_delivered`, but the files are read only once: the types are what the beginnings show. So no checkpoint can
    stand before the end: a value that a type does not expect gives all of the column's values another.

    Raises StartOverError when one comes, and when it is told to stop.
    """
    expected, name = {**looks}, work.stream.name
    _join_forced(expected, work)
    before: dict[str, Fingerprint] = {}
    for file, near in copies.near(file for file, _ in work.due.files):
        before[file.key] = fingerprint(file)
        join(expected, csv.looks(near, work.takes, SAMPLE))
        _join_forced(expected, work)
    columns = {column: look for column, look in expected.items() if work.takes(column)}
    if not columns:
        yield Done(stream=name)
        return
    yield from _described(work, expected, columns)
    schema = arrow_schema(columns)
    done = []
    for file, near in copies.near(file for file, _ in work.due.files):
        with digested(near) as digest:
            try:
                pieces = csv.checked(near, columns, request.batch_bytes)
                for message in _messages(work.stream, file, pieces, 0, schema):
                    yield msgspec.structs.replace(message, again=True) if isinstance(message, Rows) else message
                    if request.should_stop():
                        raise StartOverError("it was told to stop")
            except UnexpectedError as error:
                why = f"`{error.column}` of `{file.label}` holds other values than at the beginning"
                raise StartOverError(why) from error
            content = digest()
        seen = before[file.key]
        if fingerprint(file) != seen:
            raise changed_while_read(file)
        entry = FileState(size=seen.size, mtime_ns=seen.mtime_ns, hash=content, rows=None)
        done.append(Done(stream=name, key=file.key, entry=entry))
    yield _types(name, {**expected, **columns})
    yield from done
    yield Done(stream=name)


def _messages(
    stream: StreamFiles, file: DataFile, pieces: Iterable[Piece], skip: int, schema: pa.Schema
) -> Iterator[Rows | Rejected]:
    """The rows behind the first `skip` ones, with all columns of the stream, and what was set aside among them."""
    position = 0
    held: list[Bad] = []
    for piece in pieces:
        count = piece.batch.num_rows
        position += count
        held += piece.bad
        # What lies behind the last row of a piece comes with the next: a read that goes on from here tells it.
        yield from (_rejected(stream, file, bad) for bad in held if skip <= bad.row < position)
        held = [bad for bad in held if bad.row >= position]
        if position <= skip or not count:
            continue
        batch = piece.batch.slice(max(0, count - (position - skip)))
        absent = [name for name in schema.names if name not in batch.schema.names]
        arrays = [pa.nulls(len(batch), field.type) if field.name in absent else batch[field.name] for field in schema]
        missing = piece.missing.slice(count - len(batch)) if piece.missing is not None else None
        if missing is None and absent:
            missing = _same(absent, len(batch))
        yield Rows(
            stream=stream.name,
            batch=pa.RecordBatch.from_arrays(arrays, schema=schema),
            # With keys a row may stand already: what this file does not say about it must not be wiped out.
            missing=missing if stream.keys else None,
            repaired=piece.repaired,
            size=piece.size,
        )
    yield from (_rejected(stream, file, bad) for bad in held)


def _rejected(stream: StreamFiles, file: DataFile, bad: Bad) -> Rejected:
    place = f"{file.label}:{bad.line}" if bad.line else file.label
    return Rejected(stream=stream.name, record=bad.record, reason=f"{place}: {bad.why}")


def _same(names: list[str], count: int) -> pa.Array:
    return pa.array([names], pa.list_(pa.string())).take(pa.repeat(pa.scalar(0, pa.int64()), count))


def join(looks: dict[str, Look], more: dict[str, Look]) -> None:
    """Add to what was seen of columns."""
    for name, look in more.items():
        looks[name] = joined(looks[name], look) if name in looks else look


def arrow_schema(looks: dict[str, Look]) -> pa.Schema:
    return pa.schema([field_of(name, look) for name, look in looks.items()])


def require_keys(stream: StreamFiles, looks: dict[str, Look]) -> None:
    """Raises InputError (`unknown-column`)."""
    for key in stream.keys:
        if key not in looks:
            near = did_you_mean(key, looks)
            raise InputError(
                "unknown-column",
                f"the key `{key}` is not a column of `{stream.name}`",
                hint=f"did you mean `{near}`?" if near else f"the columns are {listed(list(looks))}",
            )

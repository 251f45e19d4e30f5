"""What the files source remembers: which files it has delivered, how far, and what it saw in their columns."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from headwater.connect.sources.files.find import DataFile, StreamFiles
from headwater.connect.sources.files.open import Fingerprint, digest, fingerprint
from headwater.connect.sources.text_types import Look


class FileState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that was delivered, whole or (`rows` is set) up to that row. `hash` is that of its content.

    `vanished` files are gone from the source; their rows stay in the destination.
    """

    size: int
    mtime_ns: int
    hash: str
    rows: int | None = None
    vanished: bool = False


class State(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """By stream. `types` only ever grows wider, so that a table never has to hold less than it did."""

    files: dict[str, dict[str, FileState]] = field(default_factory=dict)
    types: dict[str, dict[str, Look]] = field(default_factory=dict)


class Due(Struct, frozen=True, kw_only=True):
    """The files of a stream that are to be read now, each with the number of rows that were delivered before.

    `replace`: a file without keys has changed, so the stream is read anew as a whole.
    """

    files: tuple[tuple[DataFile, int], ...]
    replace: bool = False


def due(stream: StreamFiles, done: dict[str, FileState]) -> tuple[Due, dict[str, FileState]]:
    """What is to be read of a stream, and its entries brought up to date without reading anything.

    A file with the same size and time of change is the same; one with another time is when its content is. Where a
    place gives its files tags, these alone say it. A file
    with the content and the time of one that is gone is that file under a new name.
    """
    entries = {key: msgspec.structs.replace(entry, vanished=True) for key, entry in done.items()}
    present = {file.key for file in stream.files}
    gone = {key: entry for key, entry in done.items() if key not in present and entry.rows is None}
    files: list[tuple[DataFile, int]] = []
    changed = False
    for file in stream.files:
        entry = done.get(file.key)
        if entry is None:
            former = _former_name(file, gone)
            if former is None:
                files.append((file, 0))
            else:
                del entries[former]
                entries[file.key] = gone.pop(former)
            continue
        now = fingerprint(file)
        if _is_same(file, entry, now):
            entries[file.key] = msgspec.structs.replace(entry, mtime_ns=now.mtime_ns, vanished=False)
            if entry.rows is not None:
                files.append((file, entry.rows))
        else:
            changed = True
            files.append((file, 0))
            entries[file.key] = msgspec.structs.replace(entry, vanished=False)
    if changed and not stream.keys:
        return Due(files=tuple((file, 0) for file in stream.files), replace=True), entries
    return Due(files=tuple(files)), entries


def _is_same(file: DataFile, entry: FileState, now: Fingerprint) -> bool:
    if file.remote is not None and file.remote.found.tag:
        return entry.hash == file.remote.found.tag
    return entry.size == now.size and (entry.mtime_ns == now.mtime_ns or entry.hash == digest(file, entry.hash))


def _former_name(file: DataFile, gone: dict[str, FileState]) -> str | None:
    """The name under which a file was delivered before it was renamed; None for a file that is new. Another file may
    well have the same content; a renamed one also keeps its time of change."""
    if file.remote is not None:
        return None  # what is copied there gets another time of change, and tags need not be of the content
    now = fingerprint(file)
    alike = [key for key, entry in gone.items() if (entry.size, entry.mtime_ns) == (now.size, now.mtime_ns)]
    return next((key for key in alike if gone[key].hash == digest(file, gone[key].hash)), None)

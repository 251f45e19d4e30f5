"""What a pipeline has in a place for files: which files count, with which columns, and the checkpoint beside them."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct, field

from headwater.base.errors import EnvironmentProblemError
from headwater.connect import names

_FORMAT = 1
# How the manifest of a load without a pipeline is called, before its source.
NO_STATE = "no state "


class ColumnEntry(Struct, frozen=True, kw_only=True):
    """A column: its name in the files, its Arrow type as text, what the source declared, whether it holds JSON."""

    name: str
    type: str
    declared: str
    json: bool = False


class FileEntry(Struct, frozen=True, kw_only=True):
    """A file, by its path from the place's root."""

    path: str
    rows: int
    sequence: int


class StreamEntry(Struct, frozen=True, kw_only=True):
    """`aside` holds files that will replace `files` when run `aside_run` ends well. `partitions` are those of all its
    files, as the setting names them."""

    folder: str
    columns: dict[str, ColumnEntry] = field(default_factory=dict)
    partitions: tuple[str, ...] = ()
    files: tuple[FileEntry, ...] = ()
    aside: tuple[FileEntry, ...] = ()
    aside_run: str | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """One commit. `state` is the checkpoint (base64 in JSON: it is kept byte for byte), `writer` who made it,
    `retired` what it put out of use. `shapes` are the SCHEMA lines that rejects came under."""

    format: int = _FORMAT
    pipeline: str | None = None
    sequence: int = 0
    run_id: str | None = None
    writer: str = ""
    state: bytes | None = None
    streams: dict[str, StreamEntry] = field(default_factory=dict)
    rejects: tuple[FileEntry, ...] = ()
    shapes: dict[str, str] = field(default_factory=dict)
    retired: tuple[str, ...] = ()

    def named(self) -> set[str]:
        """The files that count."""
        files = [file for stream in self.streams.values() for file in stream.files]
        return {file.path for file in (*files, *self.rejects)}

    def files(self) -> set[str]:
        """Those that count, and those that wait to."""
        return self.named() | {file.path for stream in self.streams.values() for file in stream.aside}


def decoded(raw: bytes, address: str) -> Manifest:
    """Raises EnvironmentProblemError: `manifest-unreadable`, `manifest-newer` when a later release wrote it."""
    try:
        found = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise EnvironmentProblemError(
            "manifest-unreadable",
            f"`{address}` can't be read as a manifest",
            why=str(error),
            hint="restore it from a backup, or load into another folder",
        ) from error
    if found.format > _FORMAT:
        raise EnvironmentProblemError(
            "manifest-newer",
            f"`{address}` was written by a newer release: it has format {found.format}",
            why=f"this release knows formats up to {_FORMAT}",
            hint="upgrade headwater",
        )
    return found


def encoded(one: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(one), indent=1)


def safe_name(name: str) -> str:
    """A name for a file or folder; one that had to change carries a hash of what it was."""
    safe = re.sub(r"[^A-Za-z0-9_ -]", "_", name)[:80]
    if safe == name and safe and not safe.startswith("_"):
        return safe
    return f"{safe.strip('_') or 'stream'}-{names.digest(name)}"

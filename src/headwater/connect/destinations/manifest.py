"""How files in a folder become a load that is there as a whole or not at all.

    output/_manifests/shop.json          what counts, and the checkpoint that stands with it
    output/users/shop.0f3a.000001.jsonl  one file a stream and commit

A commit writes its files under hidden names, then renames a new manifest into place (that is the commit), then gives
the files their names. A crash before the manifest leaves hidden files, which the next session removes; a crash after
it leaves hidden files that the manifest lists, which the next session names. So a file that has its name is
committed, and nobody who lists a folder ever sees rows twice. Which files make up a stream at one moment, only
the manifest says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from headwater.base.errors import EnvironmentProblemError
from headwater.base.files import cannot_write, write_atomic
from headwater.connect import names

FOLDER = "_manifests"
_FORMAT = 1
_HIDDEN = ".part"


class ColumnEntry(Struct, frozen=True, kw_only=True):
    """A column: its name in the files, its Arrow type as text, what the source declared, whether it holds JSON."""

    name: str
    type: str
    declared: str
    json: bool = False


class FileEntry(Struct, frozen=True, kw_only=True):
    """A file, by its path below the destination folder."""

    path: str
    rows: int
    sequence: int


class StreamEntry(Struct, frozen=True, kw_only=True):
    """`aside` holds files that will replace `files` when run `aside_run` ends well."""

    folder: str
    columns: dict[str, ColumnEntry] = field(default_factory=dict)
    files: tuple[FileEntry, ...] = ()
    aside: tuple[FileEntry, ...] = ()
    aside_run: str | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """What a pipeline has in a folder. `state` is its checkpoint (base64 in JSON: it is kept byte for byte)."""

    format: int = _FORMAT
    pipeline: str | None = None
    sequence: int = 0
    run_id: str | None = None
    state: bytes | None = None
    streams: dict[str, StreamEntry] = field(default_factory=dict)
    rejects: tuple[FileEntry, ...] = ()


def manifest_path(root: Path, pipeline: str | None, source: str) -> Path:
    """A pipeline's manifest. Loads without a pipeline share one for each source."""
    return root / FOLDER / f"{safe_name(pipeline if pipeline is not None else f'no state {source}')}.json"


def read(path: Path) -> Manifest:
    """The manifest, an empty one when there is none.

    Raises EnvironmentProblemError: `manifest-unreadable`, `manifest-newer` when a later release wrote it.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        found = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise _unreadable(path, error) from error
    if found.format > _FORMAT:
        raise EnvironmentProblemError(
            "manifest-newer",
            f"`{path}` was written by a newer release: it has format {found.format}",
            why=f"this release knows formats up to {_FORMAT}",
            hint="upgrade headwater",
        )
    return found


def commit(root: Path, path: Path, before: Manifest, after: Manifest) -> None:
    """Make `after` what counts. The files it adds must lie under their hidden names, complete and synced."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(after), indent=1))
    _settle(root, named=_named(after) - _named(before), gone=_all_files(before) - _all_files(after))


def sweep(root: Path, manifest: Manifest, prefix: str) -> None:
    """Bring the folder in step with its manifest after a session that died: name what is listed, remove other hidden
    files of this pipeline. Call it under the manifest's lease."""
    listed = _all_files(manifest)
    hidden_files = {
        f"{part.parent.name}/{part.name[1 : -len(_HIDDEN)]}" for part in root.glob(f"*/.{prefix}*{_HIDDEN}")
    }
    if hidden_files:
        _settle(root, named=_named(manifest) & hidden_files, gone=hidden_files - listed)


def _settle(root: Path, *, named: set[str], gone: set[str]) -> None:
    try:
        for relative in gone:
            (root / relative).unlink(missing_ok=True)
            hidden(root, relative).unlink(missing_ok=True)
        for relative in named:
            part = hidden(root, relative)
            if part.exists():
                part.replace(root / relative)
        for folder in {(root / relative).parent for relative in named | gone}:
            _sync_folder(folder)
    except OSError as error:
        raise cannot_write(root, error) from error


def write_hidden(root: Path, relative: str, write: Callable[[Path], tuple[int, int]]) -> tuple[int, int]:
    """Let `write` fill a file's hidden path and sync it. Answers what `write` does: rows, changed values.

    Raises EnvironmentProblemError (`cannot-write`) on a full disk; the hidden file is then gone.
    """
    part = hidden(root, relative)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            written = write(part)
            descriptor = os.open(part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(part.parent)
    except OSError as error:
        raise cannot_write(root / relative, error) from error
    return written


def hidden(root: Path, relative: str) -> Path:
    path = root / relative
    return path.with_name(f".{path.name}{_HIDDEN}")


def safe_name(name: str) -> str:
    """A name for a file or folder; one that had to change carries a hash of what it was."""
    safe = re.sub(r"[^A-Za-z0-9_ -]", "_", name)[:80]
    if safe == name and safe and not safe.startswith("_"):
        return safe
    return f"{safe.strip('_') or 'stream'}-{names.digest(name)}"


def _named(manifest: Manifest) -> set[str]:
    """Files that count, and so have their name."""
    files = [file for stream in manifest.streams.values() for file in stream.files]
    return {file.path for file in (*files, *manifest.rejects)}


def _all_files(manifest: Manifest) -> set[str]:
    return _named(manifest) | {file.path for stream in manifest.streams.values() for file in stream.aside}


def _sync_folder(folder: Path) -> None:
    if folder.is_dir():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unreadable(path: Path, error: Exception) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "manifest-unreadable",
        f"`{path}` can't be read as a manifest",
        why=str(error),
        hint="restore it from a backup, or load into another folder",
    )

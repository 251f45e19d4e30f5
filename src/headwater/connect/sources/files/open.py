"""Open a file or a zip member as plain bytes, never unpacked to disk and never beyond the set limits."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import BinaryIO, cast

import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError, Where
from headwater.base.text import byte_size
from headwater.connect.sources.files.find import DataFile

# A small file may well shrink a thousandfold; the ratio counts only above this size.
_RATIO_FREE = 64 << 20
_PIECE = 1 << 18
# To read a smaller file takes not much longer than to start a thread for it.
_SMALL = 4 << 20
_SHA256 = "sha256:"


class Fingerprint(Struct, frozen=True):
    """Tells whether a file is still the same without reading it."""

    size: int
    mtime_ns: int


def fingerprint(file: DataFile) -> Fingerprint:
    if file.remote is not None:
        return Fingerprint(file.remote.found.size, file.remote.found.mtime_ns)
    try:
        status = file.path.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return Fingerprint(status.st_size, status.st_mtime_ns)


def digest(file: DataFile, like: str = "") -> str:
    """The content's hash, of the file as it lies on disk, made the way that `like` was; of a file of another machine
    what its place gives out for one, "" when that is nothing and there is no copy here."""
    if file.remote is not None and (file.remote.found.tag or not file.is_copy):
        return file.remote.found.tag
    return _digest(file, lambda: False, like)


@contextlib.contextmanager
def digested(file: DataFile) -> Iterator[Callable[[], str]]:
    """As `digest`, made beside what is done meanwhile: the answer is waited for when it is asked for. Whoever leaves
    without it does not wait."""
    if file.remote is not None or fingerprint(file).size < _SMALL:
        yield partial(digest, file)
        return
    is_over = Event()
    with ThreadPoolExecutor(1, "digest") as thread:
        answer = thread.submit(_digest, file, is_over.is_set)
        try:
            yield answer.result
        finally:
            is_over.set()


def _digest(file: DataFile, is_over: Callable[[], bool], like: str = "") -> str:
    # Most processors have it built in. States of before have one that none has.
    content = hashlib.blake2b(digest_size=16) if like and not like.startswith(_SHA256) else hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    try:
        with file.path.open("rb", buffering=0) as raw:
            while (size := raw.readinto(buffer)) and not is_over():
                content.update(buffer[:size])
    except OSError as error:
        raise _unreadable(file, error) from error
    return content.hexdigest() if content.name == "blake2b" else f"{_SHA256}{content.hexdigest()}"


class Unpacked:
    """A readable stream of bytes that refuses to grow beyond the limits."""

    def __init__(self, stream: BinaryIO, file: DataFile, packed_size: int) -> None:
        self._stream = stream
        self._file = file
        self._most = file.max_unpacked_bytes
        if file.packing:
            self._most = min(self._most, max(_RATIO_FREE, packed_size * file.max_unpack_ratio))
        self.position = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.position += len(data)
        if self.position > self._most:
            raise InputError(
                "file-too-large",
                f"`{self._file.label}` unpacks to more than {byte_size(self._most)}",
                hint="raise `max_unpacked_bytes` or `max_unpack_ratio` if you trust the file",
            )
        return data


@contextlib.contextmanager
def opened(file: DataFile) -> Iterator[Unpacked]:
    """The file's unpacked bytes.

    Raises EnvironmentProblemError when it cannot be opened, RunFailedError (`corrupt-file`) when its packing is
    broken: a cut gzip or a wrong checksum is never taken for the end of the file.
    """
    with contextlib.ExitStack() as stack:
        try:
            stream = _unpacking(file, stack)
            yield Unpacked(stream, file, fingerprint(file).size)
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise _corrupt(file, error) from error
        except OSError as error:
            # Some packings say so when they are broken.
            raise (_corrupt if file.packing and not error.errno else _unreadable)(file, error) from error


@contextlib.contextmanager
def seekable(file: DataFile) -> Iterator[BinaryIO]:
    """The file's unpacked bytes for a reader that goes back and forth. A packed one is unpacked to the disk first."""
    with contextlib.ExitStack() as stack:
        if file.packing is None:
            stream = _raw(file, stack, seeks=True)
        else:
            stream = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
            with opened(file) as unpacked:
                while data := unpacked.read(1 << 20):
                    stream.write(data)
            stream.seek(0)
        yield stream


def _raw(file: DataFile, stack: contextlib.ExitStack, *, seeks: bool) -> BinaryIO:
    if file.remote is not None and not file.is_copy:
        return stack.enter_context(file.remote.place.open(file.remote.found, seeks=seeks))
    try:
        return stack.enter_context(file.path.open("rb"))
    except OSError as error:
        raise _unreadable(file, error) from error


def _unpacking(file: DataFile, stack: contextlib.ExitStack) -> BinaryIO:
    raw = _raw(file, stack, seeks=file.packing == "zip")
    if file.packing == "gz":
        return cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=raw)))
    if file.packing == "bz2":
        return cast("BinaryIO", stack.enter_context(bz2.BZ2File(raw)))
    if file.packing == "xz":
        return cast("BinaryIO", stack.enter_context(lzma.LZMAFile(raw)))
    if file.packing == "zst":
        packed = stack.enter_context(pa.PythonFile(raw, mode="r"))
        return cast("BinaryIO", stack.enter_context(pa.CompressedInputStream(packed, "zstd")))
    if file.packing == "zip":
        archive = stack.enter_context(zipfile.ZipFile(raw))
        try:
            return cast("BinaryIO", stack.enter_context(archive.open(cast("str", file.member))))
        except (RuntimeError, KeyError) as error:  # encrypted, an unknown method, a member that is gone
            raise _corrupt(file, error) from error
    return raw


def changed_while_read(file: DataFile, why: str | None = None) -> RunFailedError:
    return RunFailedError(
        "changed-while-read",
        f"`{file.label}` was written to while it was read",
        where=Where(file.shown),
        why=why,
        hint="run again when nothing writes to the file",
    )


def _corrupt(file: DataFile, error: Exception) -> RunFailedError:
    return RunFailedError("corrupt-file", f"`{file.label}` cannot be unpacked", where=Where(file.shown), why=str(error))


def _unreadable(file: DataFile, error: OSError) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "unreadable-file",
        f"cannot read `{file.label}`: {(error.strerror or str(error)).lower()}",
        where=Where(file.shown),
        hint=f"ls -l {file.path}" if file.remote is None else "run it again",
    )

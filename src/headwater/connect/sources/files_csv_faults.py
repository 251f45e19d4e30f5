"""What is wrong with a CSV file, and on which line: a slow second look, once something is known to be wrong."""

from __future__ import annotations

import collections
import csv
import io
from collections.abc import Iterable
from typing import Any, Protocol

import pyarrow as pa

from headwater.base.errors import HeadwaterError, RunFailedError, Where
from headwater.connect.sources.files_find import DataFile, Dialect
from headwater.connect.sources.files_open import Unpacked, opened

LARGEST_ROW = 512 << 20  # bytes


class Rows(Protocol):
    """Rows as lists of texts; `line_num` counts the lines read so far."""

    line_num: int

    def __iter__(self) -> Rows: ...
    def __next__(self) -> list[str]: ...


def csv_rows(lines: Iterable[str], dialect: Dialect, *, strict: bool = False) -> Rows:
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape,
        strict=strict,
    )


def parse_strictly(file: DataFile) -> None:
    """Raises when text stands behind a closing quote. Slow; called only where a quote looks misplaced."""
    csv.field_size_limit(LARGEST_ROW)
    with opened(file) as unpacked:
        reader = csv_rows(_lines(unpacked, file), file.dialect, strict=True)
        try:
            collections.deque(reader, maxlen=0)
        except csv.Error as error:
            raise malformed(file, str(error), reader.line_num) from error


def _lines(unpacked: Unpacked, file: DataFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Raw(unpacked)), encoding=_sig(file.dialect.encoding), newline="")


class _Raw(io.RawIOBase):
    def __init__(self, unpacked: Unpacked) -> None:
        self._unpacked = unpacked

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._unpacked.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _sig(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding


def explained(file: DataFile, error: pa.ArrowInvalid, block: int) -> HeadwaterError:
    text = str(error)
    if "straddling" in text:
        return malformed(file, f"a row is longer than {block >> 20} MiB, or a quote is left open")
    if "UTF8" in text:
        return undecodable(file, text)
    return _misshapen(file) or malformed(file, text)


def _misshapen(file: DataFile) -> HeadwaterError | None:
    """Finds the first row with a wrong number of fields, line by line: only for the error's sake."""
    csv.field_size_limit(LARGEST_ROW)
    with opened(file) as unpacked:
        reader = csv_rows(_lines(unpacked, file), file.dialect)
        width = len(file.dialect.columns)
        for row in reader:
            if row and len(row) != (width := width or len(row)):
                shown = file.dialect.delimiter.join(row)
                shown = f"{shown[:80]}…" if len(shown) > 80 else shown
                return malformed(file, f"{len(row)} fields instead of {width}: {shown}", reader.line_num)
    return None


def malformed(file: DataFile, why: str, line: int = 0) -> RunFailedError:
    return RunFailedError(
        "malformed-row",
        f"`{file.label}` has a row that cannot be read",
        where=Where(str(file.path), line),
        why=why,
        hint="mend the file, or set `delimiter`, `quote` or `escape` to what it uses",
    )


def undecodable(file: DataFile, why: str) -> RunFailedError:
    line = 0
    if _sig(file.dialect.encoding) == "utf-8-sig":
        with opened(file) as unpacked:
            line = next(
                (number for number, text in enumerate(io.BufferedReader(_Raw(unpacked)), 1) if not _is_utf8(text)), 0
            )
    return RunFailedError(
        "wrong-encoding",
        f"`{file.label}` is not {file.dialect.encoding}",
        where=Where(str(file.path), line),
        why=why,
        hint="set `encoding`, for example to `latin-1` or `cp1252`",
    )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

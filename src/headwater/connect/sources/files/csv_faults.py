"""What is wrong with a CSV file, and on which line: a slow second look, once something is known to be wrong."""

from __future__ import annotations

import collections
import csv
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import pyarrow as pa

from headwater.base.errors import HeadwaterError, RunFailedError, Where
from headwater.connect.sources.files.dialect import Dialect
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad
from headwater.connect.sources.files.lines import text_lines, wrong_byte
from headwater.connect.sources.files.open import opened

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
        reader = csv_rows(text_lines(unpacked, file), file.dialect, strict=True)
        try:
            collections.deque(reader, maxlen=0)
        except csv.Error as error:
            raise malformed(file, str(error), reader.line_num) from error


def explained(file: DataFile, error: pa.ArrowInvalid, block: int) -> HeadwaterError:
    text = str(error)
    if "straddling" in text:
        return malformed(file, f"a row is longer than {block >> 20} MiB, or a quote is left open")
    if "UTF8" in text:
        return wrong_byte(file, text)
    return _misshapen(file) or malformed(file, text)


def _misshapen(file: DataFile) -> HeadwaterError | None:
    """The first row with a wrong number of fields: only for the error's sake."""
    bad = next(_bad_rows(file), None)
    return None if bad is None else malformed(file, f"{bad.why}: {_shown(bad.record)}", bad.line)


def _bad_rows(file: DataFile) -> Iterator[Bad]:
    """The rows with a wrong number of fields, found line by line."""
    with opened(file) as unpacked:
        dialect = file.dialect
        yield from misshapen(text_lines(unpacked, file), dialect, len(dialect.columns), has_header=dialect.header)


def misshapen(lines: Iterable[str], dialect: Dialect, width: int, *, has_header: bool = False) -> Iterator[Bad]:
    """The rows with another number of fields than `width`, which the first row has when it is 0."""
    csv.field_size_limit(LARGEST_ROW)
    kept = _Kept(lines)
    reader = csv_rows(kept, dialect)
    good = -1 if has_header else 0
    for row in reader:
        text = kept.taken()
        if not row:
            continue
        if len(row) == (width := width or len(row)):
            good += 1
            continue
        line = reader.line_num - max(0, text.rstrip("\r\n").count("\n"))
        why = f"{len(row)} fields instead of {width}"
        yield Bad(row=max(0, good), line=line, record=text.rstrip("\r\n").encode(errors="surrogateescape"), why=why)


def _shown(record: bytes) -> str:
    text = record.decode(errors="replace")
    return f"{text[:80]}…" if len(text) > 80 else text


class _Kept:
    """Lines on their way to a parser, kept until the row that they make is taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._kept: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._kept.append(line)
        return line

    def taken(self) -> str:
        text = "".join(self._kept)
        self._kept.clear()
        return text


class Aside:
    """Tells the parser to go on behind a row with a wrong number of fields, and finds out where those rows were. That
    takes a slow look at the file, which begins with the first of them. The first `told` are known."""

    def __init__(self, file: DataFile, *, tells: bool = True, told: int = 0) -> None:
        self._file = file
        self._tells = tells
        self._known = told
        self._skipped = self._told = 0
        self._rows: Iterator[Bad] | None = None
        self._next: Bad | None = None

    def begin(self) -> None:
        """The file is read from its start, be it once more."""
        self._skipped = 0

    def __call__(self, _row: Any) -> str:
        self._skipped += 1
        return "skip"

    def before(self, row: float) -> tuple[Bad, ...]:
        """What comes before that row and was not told yet."""
        if not self._skipped or not self._tells:
            return ()
        if self._rows is None:
            self._rows = _bad_rows(self._file)
            self._next = next(self._rows, None)
        found = []
        while self._next is not None and self._next.row < row:
            found.append(self._next)
            self._next = next(self._rows, None)
        known, self._known = self._known, max(0, self._known - len(found))
        self._told += len(found)
        return tuple(found[known:])

    def rest(self) -> tuple[Bad, ...]:
        """What comes behind all rows. Raises RunFailedError when not every row that was left out could be told."""
        found = self.before(float("inf"))
        if self._tells and self._told != self._skipped:
            raise malformed(self._file, f"{self._skipped} rows have a wrong number of fields, {self._told} were found")
        return found


def malformed(file: DataFile, why: str, line: int = 0) -> RunFailedError:
    return RunFailedError(
        "malformed-row",
        f"`{file.label}` has a row that cannot be read",
        where=Where(file.shown, line),
        why=why,
        hint="mend the file, or set `delimiter`, `quote` or `escape` to what it uses",
    )

"""The rows of a CSV file as UTF-8: its header taken off, and looked at for what the parser would pass over."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import InputError, Where
from headwater.connect.sources.files import csv_faults as faults
from headwater.connect.sources.files.dialect import Dialect
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.lines import line_ends, utf8, wrong_byte
from headwater.connect.sources.files.names import distinct
from headwater.connect.sources.files.open import Unpacked

_MARKS = ("\x1eend-of-file\x1e", "\x02\x03\x02\x03\x02")


def end_mark(dialect: Dialect) -> str:
    """Put behind the last row. When it does not come back as a row of its own, a quote was left open before it."""
    signs = {dialect.delimiter, dialect.quote, dialect.escape}
    return next(mark for mark in _MARKS if signs.isdisjoint(mark))


def end_row(names: list[str], dialect: Dialect) -> bytes:
    """The row with the mark in each field."""
    return f"{dialect.delimiter.join([end_mark(dialect)] * len(names))}\n".encode()


class Text:
    """The file's rows as UTF-8 without the header and, where they are `marked`, with the end mark behind them. `strict`
    adds a look for misplaced quotes. `first_line` is the number of lines before the first row."""

    closed = False

    def __init__(self, unpacked: Unpacked, file: DataFile, *, strict: bool, marked: bool = True) -> None:
        self._unpacked = utf8(unpacked, file)
        self._file = file
        self._is_marked = marked
        self.first_line = 0
        self._rest = b""
        self._misplaced = misplaced_quote(file.dialect) if strict else None
        self._edge = b""
        self._at_end = False
        self.names = self._header()

    @property
    def position(self) -> int:
        return self._unpacked.position

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end only. Never ends between the two characters of a CR LF: Arrow
        drops a line feed at the start of a block that follows a carriage return, even inside quotes."""
        data = self._taken(size)
        if data == b"\r":
            data += self._taken(size - 1)
        if len(data) > 1 and data.endswith(b"\r"):
            data, self._rest = data[:-1], b"\r" + self._rest
        return data

    def _taken(self, size: int) -> bytes:
        while not self._at_end and not self._rest:
            self._rest = self._next(size)
        if len(self._rest) <= size:
            data, self._rest = self._rest, b""
        else:
            data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _next(self, size: int) -> bytes:
        raw = self._unpacked.read(size)
        if raw:
            return self._checked(raw)
        self._at_end = True
        return b"\n" + end_row(self.names, self._file.dialect) if self._is_marked else b""

    def _checked(self, data: bytes) -> bytes:
        if self._misplaced is not None:
            if self._misplaced(self._edge + data, len(self._edge) + len(data)):
                self._misplaced = None
                faults.parse_strictly(self._file)
            self._edge = data[-2:]
        return data

    def _header(self) -> list[str]:
        """Takes the first row off. A quoted name may hold a line break, so it may be more than a line."""
        start = b""
        while not self._at_end and (raw := self._unpacked.read(1 << 16)):
            start += raw
            first, width = _first_row(start.removeprefix(codecs.BOM_UTF8), self._file)
            if first is not None and width < len(start) - 4:
                break
        start = start.removeprefix(codecs.BOM_UTF8)
        first, width = _first_row(start, self._file)
        dialect = self._file.dialect
        if first is None:
            if dialect.header and not dialect.columns and not self._file.optional:
                raise InputError(
                    "empty-file",
                    f"`{self._file.label}` is empty: it has no header",
                    where=Where(self._file.shown),
                    hint="set `optional: true` when a file may be empty",
                )
            first = list(dialect.columns)
        _refuse_other_delimiter(first, self._file)
        self.first_line = line_ends(start[:width]) if dialect.header else 0
        self._rest = self._checked(start[width:] if dialect.header else start)
        names = list(dialect.columns) or (first if dialect.header else [""] * len(first))
        if len(names) != len(first):
            raise faults.malformed(
                self._file, f"`columns` names {len(names)} columns, the first row has {len(first)}", 1
            )
        return distinct(names)


def _refuse_other_delimiter(first: list[str], file: DataFile) -> None:
    """One column named `id;name` would load without a word, and wrong."""
    dialect = file.dialect
    likely = [mark for mark in _OTHER_DELIMITERS if len(first) == 1 and mark in first[0]]
    if likely and not dialect.is_chosen:
        shown = "a tab" if likely[0] == "\t" else f"`{likely[0]}`"
        raise InputError(
            "wrong-delimiter",
            f"`{file.label}` has one column, `{first[0]}`: its delimiter seems to be {shown}",
            where=Where(file.shown, 1),
            hint=f"set `delimiter` to {shown}, or to `{dialect.delimiter}` if it is one column",
        )


_OTHER_DELIMITERS = (";", "\t", "|")


def _first_row(data: bytes, file: DataFile) -> tuple[list[str] | None, int]:
    """The first row that is not blank and the number of bytes up to its end."""
    try:
        lines = data.decode().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        if len(data) - error.start > 4:
            raise wrong_byte(file, str(error)) from error
        lines = data[: error.start].decode().splitlines(keepends=True)
    # splitlines also splits at rare characters that are no line ends here: join what csv would see as one line.
    lines = list(io.StringIO("".join(lines), newline=""))
    reader = faults.csv_rows(lines, file.dialect)
    try:
        row = next((row for row in reader if row), None)
    except csv.Error:
        return None, 0
    return row, len("".join(lines[: reader.line_num]).encode())


def misplaced_quote(dialect: Dialect) -> Callable[[bytes, int], bool] | None:
    """Tells whether the first bytes, as many as is said, hold a single quote with neither a field's start before it nor
    a field's end behind it. None for a dialect in which that means nothing."""
    quote, delimiter = dialect.quote.encode(), dialect.delimiter.encode()
    if not quote or dialect.escape:
        return None
    edges = pa.array([*quote, *delimiter, *b"\r\n"], pa.uint8())
    mark = pa.scalar(quote[0], pa.uint8())

    def is_found(data: bytes, size: int) -> bool:
        if quote not in data:
            return False
        every = pa.Array.from_buffers(pa.uint8(), size, [None, pa.py_buffer(data)])
        at = pc.indices_nonzero(pc.equal(every.slice(1, max(0, size - 2)), mark))  # one less than where the quote is
        before, behind = every.take(at), every.take(pc.add(at, 2))
        is_edge = pc.or_(pc.is_in(before, edges), pc.is_in(behind, edges))
        return not pc.all(is_edge, min_count=0).as_py()

    return is_found

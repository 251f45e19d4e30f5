"""CSV in blocks of whole rows. All that is done with a block, from its bytes to its columns, is done on a thread.

Rows end with a line feed outside of quotes, and the quotes before it are counted to find one. A quote in the middle of
a text misleads that count, so the parser has the last word: a block ends as it should when the end mark behind it
comes back as a row of its own. As long as each did, the next one begins where a row does. Files that are not so, and
those with anything wrong with them, are left to the reader that takes one row after the other.
"""

from __future__ import annotations

import codecs
import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.csv

from headwater.connect.sources.files import csv_faults as faults
from headwater.connect.sources.files.csv_text import Text, end_mark, end_row, misplaced_quote
from headwater.connect.sources.files.dialect import Dialect
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad
from headwater.connect.sources.files.lines import line_ends
from headwater.connect.sources.files.open import opened

T = TypeVar("T")

# A block is read on until a row ends in it, up to here.
_LONGEST = 16 << 20
# To hand a smaller one to a thread takes longer than to do it.
_SMALL = 64 << 10


class Done(NamedTuple, Generic[T]):
    """What became of some rows, their number, their size in the file, and what was set aside among them or before."""

    found: T
    rows: int
    size: int
    bad: tuple[Bad, ...]


class NotInBlocksError(Exception):
    """The rest of the file, from the first row that was not given, has to be read in another way."""


class _Cut(NamedTuple):
    """Whole rows with the end mark behind them, and their size in the file."""

    data: bytes
    size: int


class _Parsed(NamedTuple, Generic[T]):
    """`lines` and `bad` are counted from the beginning of the block."""

    found: T
    rows: int
    size: int
    lines: int
    bad: list[Bad]
    has_misplaced: bool


def in_blocks(
    file: DataFile,
    takes: Callable[[str], bool],
    block: int,
    work: Callable[[pa.RecordBatch], T],
    *,
    strict: bool,
    tells: bool,
) -> Iterator[Done[T]]:
    """What `work` makes of the rows of each block of about that many bytes, in file order. It is called on several
    threads, with the columns that are taken, as strings.

    Raises NotInBlocksError, what `work` raises, and where the file cannot be opened or unpacked as `open.opened` does.
    """
    if file.dialect.escape:  # which says of a quote that it is none
        raise NotInBlocksError
    with opened(file) as unpacked:
        text = Text(unpacked, file, strict=False, marked=False)
        if not text.names:
            return
        parser = _Parser(file, text.names, takes, strict=strict, tells=tells)
        row, line = 0, text.first_line
        for one in in_order((partial(parser.parsed, cut, work), cut.size) for cut in _cuts(text, file.dialect, block)):
            if one.has_misplaced and parser.is_strict:
                parser.is_strict = False
                faults.parse_strictly(file)
            bad = tuple(Bad(row=row + bad.row, line=line + bad.line, record=bad.record, why=bad.why) for bad in one.bad)
            row, line = row + one.rows, line + one.lines
            yield Done(one.found, one.rows, one.size, bad)


def in_order(tasks: Iterator[tuple[Callable[[], T], int]]) -> Iterator[T]:
    """The results of tasks, each given with the number of bytes that it is about, which are done side by side."""
    count = pa.cpu_count()
    with ThreadPoolExecutor(count, "csv") as threads:
        pending: deque[Future[T]] = deque()
        try:
            for task, size in tasks:
                if size < _SMALL and not pending:
                    yield task()
                    continue
                pending.append(threads.submit(task))
                if len(pending) > count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for one in pending:
                one.cancel()


def _cuts(text: Text, dialect: Dialect, block: int) -> Iterator[_Cut]:
    mark, quote = end_row(text.names, dialect), dialect.quote.encode()
    rest, before, is_first = b"", 0, True
    while data := text.read(max(block, len(rest))):
        if end := _row_end(data, quote, rest.count(quote) if quote else 0):
            yield _Cut(_block(rest, memoryview(data)[:end], mark), text.position - before)
            rest, before, is_first = data[end:], text.position, False
        elif len(rest) > _LONGEST:
            raise NotInBlocksError
        else:
            rest += data
    if rest or is_first:  # which shows the columns, whether there are rows or not
        yield _Cut(_block(rest, b"\n", mark), text.position - before)


def _block(first: bytes, more: bytes | memoryview, mark: bytes) -> bytes:
    # Arrow takes a byte order mark off whatever it parses.
    guard = b"\n" if (first[:3] + bytes(more[:3])).startswith(codecs.BOM_UTF8) else b""
    return b"".join((guard, first, more, mark))


def _row_end(data: bytes, quote: bytes, quotes_before: int) -> int:
    """Where the last whole row ends: with a line feed with an even number of quotes before it. 0 when none does."""
    end = data.rfind(b"\n") + 1
    if not quote or (quote not in data and not quotes_before):
        return end
    quotes = quotes_before + data.count(quote, 0, end)
    while end and quotes % 2:
        start = data.rfind(b"\n", 0, max(0, data.rfind(quote, 0, end))) + 1
        quotes -= data.count(quote, start, end)
        end = start
    return end


class _Parser:
    def __init__(
        self, file: DataFile, names: list[str], takes: Callable[[str], bool], *, strict: bool, tells: bool
    ) -> None:
        self._dialect = file.dialect
        self._names = names
        self._wanted = [name for name in names if takes(name)]
        self._sets_aside = file.sets_aside
        self._tells = file.sets_aside and tells
        self._misplaced = misplaced_quote(file.dialect)
        self._mark, self._end_size = end_mark(file.dialect), len(end_row(names, file.dialect))
        self.is_strict = strict

    def parsed(self, cut: _Cut, work: Callable[[pa.RecordBatch], T]) -> _Parsed[T]:
        skipped = 0

        def skip(_row: Any) -> str:
            nonlocal skipped
            skipped += 1
            return "skip"

        size = len(cut.data) - self._end_size
        has_misplaced = self.is_strict and self._misplaced is not None and self._misplaced(cut.data, size)
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(cut.data),
                read_options=pyarrow.csv.ReadOptions(
                    column_names=self._names, block_size=len(cut.data) + 1, use_threads=False
                ),
                parse_options=parse_options(self._dialect, skip if self._sets_aside else None, chunks=False),
                convert_options=convert_options(self._dialect, self._names, self._wanted),
            )
        except pa.ArrowInvalid as error:
            raise NotInBlocksError from error
        rows = table.num_rows - 1
        if rows < 0 or table.column(0)[rows].as_py() != self._mark:
            raise NotInBlocksError
        (batch,) = table.combine_chunks().to_batches()
        bad: list[Bad] = []
        if skipped and self._tells:
            text = cut.data[:size].decode(errors="surrogateescape")
            bad = list(faults.misshapen(io.StringIO(text, newline=""), self._dialect, len(self._names)))
            if len(bad) != skipped:
                raise NotInBlocksError
        return _Parsed(
            found=work(batch.slice(0, rows).select(self._wanted)),
            rows=rows,
            size=cut.size,
            lines=line_ends(cut.data[:size]) if self._tells else 0,
            bad=bad,
            has_misplaced=has_misplaced,
        )


def parse_options(dialect: Dialect, on_bad: Callable[[Any], str] | None, *, chunks: bool) -> pyarrow.csv.ParseOptions:
    """Where the parser cuts the text itself into `chunks`, it has to look for quotes before."""
    return pyarrow.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char=dialect.quote or False,
        escape_char=dialect.escape or False,
        newlines_in_values=chunks,
        invalid_row_handler=on_bad,
    )


def convert_options(dialect: Dialect, names: list[str], wanted: list[str]) -> pyarrow.csv.ConvertOptions:
    """As strings. The first column is read in any case: it shows the end mark."""
    return pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=list(dict.fromkeys([names[0], *wanted])),
        null_values=["", *dialect.null_values],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )

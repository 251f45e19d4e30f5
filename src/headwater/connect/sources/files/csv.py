"""CSV and TSV: read as text in blocks, typed over the whole file, converted without a change of any value.

The dialect is never guessed. An unquoted empty field is null, a quoted one is an empty text. A row with a wrong
number of fields, an open quote or text behind a closing quote stops the read and names its line; the first of these
can be set aside instead. Blank lines are no rows.
"""

from __future__ import annotations

import codecs
import collections
import csv
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from headwater.base.errors import InputError, Where
from headwater.connect.sources import text_types
from headwater.connect.sources.files import csv_faults as faults
from headwater.connect.sources.files import written
from headwater.connect.sources.files.dialect import Dialect
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad, Piece, UnexpectedError
from headwater.connect.sources.files.lines import utf8, wrong_byte
from headwater.connect.sources.files.names import distinct
from headwater.connect.sources.files.open import Unpacked, changed_while_read, opened
from headwater.connect.sources.text_types import Look

# Rows are cut into blocks; the longest row must fit into one. A file with longer rows is tried with larger blocks.
_BLOCK = 1 << 20
_SMALL = 64 << 10
# Put behind the last row. When it does not come back as a row of its own, a quote was left open before it.
_END = "\x1eend of headwater's file\x1e"


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`. Also the check of the whole file: `batches` looks for less."""
    seen: dict[str, Look] = {}

    def look(name: str, column: pa.Array) -> None:
        before = seen[name]
        if before.kind is not text_types.Kind.TEXT:
            seen[name] = text_types.joined(before, written.looked_at(column, file.dialect))

    looked_at = 0
    with ThreadPoolExecutor(pa.cpu_count()) as threads:  # which starts none for a small file
        for batch, size, _ in _texts(file, takes, min(_BLOCK, most or _BLOCK), strict=True, tells=False):
            seen = seen or dict.fromkeys(batch.schema.names, text_types.NOTHING)
            some = threads.map if size >= _SMALL else map
            collections.deque(some(look, batch.schema.names, batch.columns), maxlen=0)
            looked_at += size
            if most is not None and looked_at >= most:
                break
    return seen


def checked(file: DataFile, looks: dict[str, Look], batch_bytes: int) -> Iterator[Piece]:
    """As `batches`, without a look at the whole file before: `looks` are kept up to date. Raises UnexpectedError for a
    batch with which a column would have another type, and the errors of `looks`."""

    def fitted(name: str, values: pa.Array) -> pa.Array:
        found = written.fitted(values, looks[name], file.dialect)
        if found is None:
            raise UnexpectedError(name)
        looks[name] = found.look
        return found.values

    with ThreadPoolExecutor(pa.cpu_count()) as threads:
        for batch, size, bad in _texts(file, looks.__contains__, min(batch_bytes, _BLOCK), strict=True):
            arrays = list(threads.map(fitted, batch.schema.names, batch.columns))
            fields = [text_types.field_of(name, looks[name]) for name in batch.schema.names]
            yield Piece(batch=pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), size=size, bad=bad)


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`."""
    for batch, size, bad in _texts(file, columns.names.__contains__, min(batch_bytes, _BLOCK)):
        fields = [columns.field(name) for name in batch.schema.names]
        arrays = [_converted(file, field, column) for field, column in zip(fields, batch.columns, strict=True)]
        yield Piece(batch=pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), size=size, bad=bad)


def _converted(file: DataFile, field: pa.Field, values: pa.Array) -> pa.Array:
    try:
        return written.converted(values, field.type, file.dialect)
    except pa.ArrowInvalid as error:
        raise changed_while_read(file, str(error)) from error


def _texts(
    file: DataFile, takes: Callable[[str], bool], block: int, *, strict: bool = False, tells: bool = True
) -> Iterator[tuple[pa.RecordBatch, int, tuple[Bad, ...]]]:
    """Batches of strings, and what was set aside among their rows where it `tells`. `strict` adds a look for misplaced
    quotes."""
    delivered = 0
    aside = faults.Aside(file, tells=tells)
    while True:
        rows = 0
        try:
            for batch, size in _blocks(file, takes, block, aside if file.sets_aside else None, strict=strict):
                rows += batch.num_rows
                if rows > delivered or not batch.num_rows:
                    yield batch.slice(max(0, batch.num_rows - (rows - delivered))), size, aside.before(rows)
                    delivered = max(delivered, rows)
            if bad := aside.rest():
                yield batch.slice(0, 0), 0, bad
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or block >= faults.LARGEST_ROW:
                raise faults.explained(file, error, block) from error
            block *= 8
        else:
            return


def _blocks(
    file: DataFile, takes: Callable[[str], bool], block: int, aside: faults.Aside | None, *, strict: bool
) -> Iterator[tuple[pa.RecordBatch, int]]:
    if aside is not None:
        aside.begin()
    with opened(file) as unpacked:
        text = _Text(unpacked, file, strict=strict)
        names = text.names
        if not names:
            return
        wanted = [name for name in names if takes(name)]
        dialect = file.dialect
        reader = pyarrow.csv.open_csv(
            pa.PythonFile(text, mode="r"),
            read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=block),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                escape_char=dialect.escape or False,
                newlines_in_values=True,
                invalid_row_handler=aside,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                # The first column is read in any case: it shows the end mark.
                include_columns=list(dict.fromkeys([names[0], *wanted])),
                null_values=["", *dialect.null_values],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        ended, before = False, 0
        for batch in reader:
            rows = batch.num_rows
            if rows and batch.column(0)[rows - 1].as_py() == _END:
                ended, rows = True, rows - 1
            yield batch.slice(0, rows).select(wanted), unpacked.position - before
            before = unpacked.position
        if not ended:
            raise faults.malformed(file, "a quote is left open at the end of the file")


class _Text:
    """The file's rows as UTF-8 without the header and with the end mark behind them."""

    closed = False

    def __init__(self, unpacked: Unpacked, file: DataFile, *, strict: bool) -> None:
        self._unpacked = utf8(unpacked, file)
        self._file = file
        self._rest = b""
        self._misplaced = _misplaced_quote(file.dialect) if strict else None
        self._quote = file.dialect.quote.encode()
        self._edge = b""
        self._at_end = False
        self.names = self._header()

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
        mark = self._file.dialect.delimiter.join([_END] * len(self.names))
        return f"\n{mark}\n".encode()

    def _checked(self, data: bytes) -> bytes:
        if self._misplaced is not None:
            if (self._quote in data or self._quote in self._edge) and self._misplaced(self._edge + data):
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


def _misplaced_quote(dialect: Dialect) -> Callable[[bytes], bool] | None:
    """Whether bytes hold a single quote with neither a field's start before it nor a field's end behind it."""
    quote, delimiter = dialect.quote.encode(), dialect.delimiter.encode()
    if not quote or dialect.escape:
        return None
    edges = pa.array([*quote, *delimiter, *b"\r\n"], pa.uint8())
    mark = pa.scalar(quote[0], pa.uint8())

    def is_found(data: bytes) -> bool:
        every = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])
        at = pc.indices_nonzero(
            pc.equal(every.slice(1, max(0, len(data) - 2)), mark)
        )  # one less than where the quote is
        before, behind = every.take(at), every.take(pc.add(at, 2))
        is_edge = pc.or_(pc.is_in(before, edges), pc.is_in(behind, edges))
        return not pc.all(is_edge, min_count=0).as_py()

    return is_found

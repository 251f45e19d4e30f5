"""A sheet of an Excel or OpenDocument workbook: each value as its cell holds it, formulas by their last result.

Cells of text are text, unless all of a column are ISO dates; numbers, dates and times are what the cell's format makes
of them. Empty cells are null, rows of nothing but empty cells are none. A merged cell has its value in its first one.
The reader holds the sheet in memory, which Excel itself bounds to 1,048,576 rows.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import python_calamine

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.base.text import byte_size, did_you_mean, listed
from headwater.connect.sources.files import by_field
from headwater.connect.sources.files.by_field import Block, Fields
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Piece
from headwater.connect.sources.files.names import distinct
from headwater.connect.sources.files.open import seekable
from headwater.connect.sources.text_types import Look

_BLOCK = 8 << 20  # bytes at a time, as cells are in memory
_CELL_BYTES = 64
_JSON = msgspec.json.Encoder()
_CELLS = msgspec.json.Decoder(list[msgspec.Raw])
_NO_TEXT = pa.scalar(None, pa.string())


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`."""
    return by_field.looks(_blocks(file), takes, most)


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`."""
    for piece in by_field.pieces(file, _blocks(file, batch_bytes), columns):
        # A sheet has all of its columns in every row.
        has = [name for name in columns.names if name in piece.batch.schema.names]
        yield msgspec.structs.replace(piece, batch=piece.batch.select(has), missing=None)


def _blocks(file: DataFile, block: int = _BLOCK) -> Iterator[Block]:
    with _sheet(file) as sheet:
        rows: Iterator[list[Any]] = itertools.islice(sheet.iter_rows(), file.dialect.skip_lines, None)
        names, rows = _named(file, rows)
        count = max(1, min(block, _BLOCK) // (_CELL_BYTES * max(1, len(names))))
        while chunk := list(itertools.islice(rows, count)):
            columns = list(zip(*chunk, strict=True))
            texts = [_texts(column, file.dialect.null_values) for column in columns]
            filled = [values.is_valid() for values in texts]
            kept = _any_of(filled)
            fields: Fields = {name: values.filter(kept) for name, values in zip(names, texts, strict=True)}
            size = sum(int(values.nbytes) for values in fields.values())
            yield Block(fields, int(pc.sum(kept.cast(pa.int64())).as_py()), size)


def _any_of(masks: list[pa.Array]) -> pa.Array:
    found = masks[0]
    for mask in masks[1:]:
        found = pc.or_(found, mask)
    return found


def _texts(cells: tuple[Any, ...], null_values: tuple[str, ...]) -> pa.Array:
    """Cells as JSON text each; null where one is empty. A number without a fraction is written as an integer."""
    if set(map(type, cells)) <= _PLAIN:
        raw = map(bytes, _CELLS.decode(_JSON.encode(cells)))
    else:  # durations
        raw = map(_JSON.encode, map(_plain, cells))
    texts = pa.array(list(raw), pa.binary()).cast(pa.string())
    empty = pa.array(['""', "null", *(_JSON.encode(value).decode() for value in null_values)])
    texts = pc.if_else(pc.is_in(texts, empty), _NO_TEXT, texts)
    return pc.replace_substring_regex(texts, r"^(-?[0-9]+)\.0$", r"\1")


_PLAIN = {str, int, float, bool, dt.date, dt.datetime, dt.time}


def _plain(cell: Any) -> Any:
    return str(cell) if isinstance(cell, dt.timedelta) else cell


def _named(file: DataFile, rows: Iterator[list[Any]]) -> tuple[list[str], Iterator[list[Any]]]:
    """The columns, and the rows behind the header. Rows without a value at the top are no header."""
    dialect = file.dialect
    first = next((row for row in rows if any(cell != "" for cell in row)), [])
    given = dialect.columns
    if given and first and len(given) != len(first):
        raise _broken(file, f"`columns` names {len(given)} columns, the sheet has {len(first)}")
    if dialect.header:
        return distinct(given or [_title(cell) for cell in first]), rows
    return distinct(given or [""] * len(first)), itertools.chain([first] if first else [], rows)


def _title(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


@contextlib.contextmanager
def _sheet(file: DataFile) -> Iterator[python_calamine.CalamineSheet]:
    with seekable(file) as stream:
        _refuse_bomb(file, stream)
        try:
            book = python_calamine.CalamineWorkbook.from_filelike(cast("Any", stream))
            sheet = _chosen(file, book)
        except python_calamine.PasswordError as error:
            raise RunFailedError(
                "corrupt-file",
                f"`{file.label}` is locked by a password",
                where=Where(file.shown),
                hint="save it without one",
            ) from error
        except (python_calamine.CalamineError, OSError, ValueError) as error:
            raise _broken(file, str(error)) from error
        yield sheet


def _chosen(file: DataFile, book: python_calamine.CalamineWorkbook) -> python_calamine.CalamineSheet:
    wanted, names = file.dialect.sheet, book.sheet_names
    if wanted is None:
        return book.get_sheet_by_index(0)
    if str(wanted) in names:
        return book.get_sheet_by_name(str(wanted))
    if str(wanted).isdecimal() and 1 <= int(wanted) <= len(names):
        return book.get_sheet_by_index(int(wanted) - 1)
    near = did_you_mean(str(wanted), names)
    raise InputError(
        "unknown-sheet",
        f"`{file.label}` has no sheet `{wanted}`",
        where=Where(file.shown),
        hint=f"did you mean `{near}`?" if near else f"its sheets are {listed(names)}",
    )


def _refuse_bomb(file: DataFile, stream: BinaryIO) -> None:
    """A workbook is a zip file, which its reader unpacks into memory as a whole."""
    if not zipfile.is_zipfile(stream):  # the old kind, `.xls`, is not packed
        stream.seek(0)
        return
    stream.seek(0)
    with zipfile.ZipFile(stream) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
        packed = sum(item.compress_size for item in archive.infolist())
    stream.seek(0)
    most = min(file.max_unpacked_bytes, _MOST_UNPACKED, max(_RATIO_FREE, packed * file.max_unpack_ratio))
    if unpacked > most:
        raise InputError(
            "file-too-large",
            f"`{file.label}` unpacks to more than {byte_size(most)}",
            hint="raise `max_unpacked_bytes` or `max_unpack_ratio` if you trust the file, or save it as CSV",
        )


_RATIO_FREE = 64 << 20
_MOST_UNPACKED = 4 << 30


def _broken(file: DataFile, why: str) -> RunFailedError:
    return RunFailedError(
        "corrupt-file",
        f"`{file.label}` is not a workbook that can be read",
        where=Where(file.shown),
        why=" ".join(why.split())[:200],
    )

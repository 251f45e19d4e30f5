"""Loads into CSV files: a folder for each stream, files for each commit, a header in each file.

Every value stands as its exact text: numbers with all their digits, times in ISO 8601 and UTC, bytes in base64, JSON as
it is. A null is nothing at all, an empty text is `""`. A file that has its name is committed and never changes.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import pyarrow as pa

from headwater.base.errors import InputError
from headwater.connect import types
from headwater.connect.contract import OpenRequest
from headwater.connect.destinations import lines
from headwater.connect.destinations.file_parts import Format
from headwater.connect.destinations.file_settings import FileSettings
from headwater.connect.destinations.folder import FolderSession

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"replace"})

# What a spreadsheet takes for the start of a formula.
_FORMULA = "=+-@"


class Settings(FileSettings, frozen=True, kw_only=True):
    compression: Literal["none", "gzip"] = "none"
    delimiter: str = ","
    quotechar: str = '"'
    escape_formulas: bool = False
    encoding: Literal["utf-8", "utf-8-sig"] = "utf-8"
    overwrite_behavior: Literal["append_records", "replace_file"] | None = None
    file_naming_scheme: str | None = None
    datestamp_format: str | None = None
    timestamp_format: str | None = None
    timestamp_timezone: str | None = None


def open(settings: Settings, request: OpenRequest) -> FolderSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands and clear away what a session that died left behind.

    Raises InputError (`bad-delimiter`) for a sign that values have in them without being quoted.
    """
    _check(settings)
    if settings.overwrite_behavior is not None:
        method: Literal["overwrite", "append-only"]
        method = "overwrite" if settings.overwrite_behavior == "replace_file" else "append-only"
        settings = msgspec.structs.replace(settings, load_method=method)
    packed = settings.compression == "gzip"
    engine = lines.Engine()

    def start(sink: pa.NativeFile, schema: pa.Schema) -> lines.Writer:
        writer = lines.Writer(engine, sink, schema, line(schema, settings), packed=packed)
        writer.put(header(schema, settings))
        return writer

    suffix = ".csv.gz" if packed else ".csv"
    return FolderSession(settings, Format(suffix=suffix, start=start, max_file_bytes=settings.max_file_bytes), request)


def header(schema: pa.Schema, settings: Settings) -> str:
    mark = "\ufeff" if settings.encoding == "utf-8-sig" else ""
    return mark + settings.delimiter.join(_quoted(name, settings) for name in schema.names) + "\n"


def line(schema: pa.Schema, settings: Settings) -> str:
    """SQL for a row's line, of columns called as `lines.column` says."""
    values = [f"coalesce({_text(lines.column(index), field, settings)}, '')" for index, field in enumerate(schema)]
    between = f", '{lines.escaped(settings.delimiter)}', "
    return f"concat({between.join(values)}, chr(10))"


def _text(column: str, field: pa.Field, settings: Settings) -> str:
    match types.kind(field.type):
        case "timestamp":
            return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%fZ')"
        case "binary":
            return _quoting(f"base64({column})", settings)
        case "string":
            return _quoting(column, settings)
    return f"{column}::varchar"


def _quoting(text: str, settings: Settings) -> str:
    """SQL for a text that is quoted where it has to be. Looking for each sign is faster than one pattern for all."""
    if settings.escape_formulas:
        text = f"case when left({text}, 1) in ({_sql_list(_FORMULA)}) then '''' || {text} else {text} end"
    quote = lines.escaped(settings.quotechar)
    signs = [f"contains({text}, '{lines.escaped(sign)}')" for sign in (settings.delimiter, settings.quotechar)]
    signs += [f"contains({text}, chr(10))", f"contains({text}, chr(13))", f"{text} = ''"]
    quoted = f"'{quote}' || replace({text}, '{quote}', '{quote}{quote}') || '{quote}'"
    return f"case when {' or '.join(signs)} then {quoted} else {text} end"


def _quoted(text: str, settings: Settings) -> str:
    """The same for a name."""
    if settings.escape_formulas and text.startswith(tuple(_FORMULA)):
        text = f"'{text}"
    quote = settings.quotechar
    if text and not any(sign in text for sign in (settings.delimiter, quote, "\n", "\r")):
        return text
    return f"{quote}{text.replace(quote, quote * 2)}{quote}"


def _sql_list(signs: str) -> str:
    return ", ".join(f"'{sign}'" for sign in signs)


def _check(settings: Settings) -> None:
    for name in ("delimiter", "quotechar"):
        sign = getattr(settings, name)
        if len(sign) != 1 or sign.isalnum() or sign in "+-.: \r\n\0" or settings.delimiter == settings.quotechar:
            raise InputError(
                "bad-delimiter",
                f"`{name}` can't be `{sign}`",
                why="it is one sign that stands in no number and no date, and not the other's",
                hint=f"headwater config set target-csv {name} ';'" if name == "delimiter" else None,
            )

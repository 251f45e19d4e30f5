"""How the text of a file is written: what the settings say, nothing is guessed."""

from __future__ import annotations

from pathlib import PurePosixPath

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.sources.files.settings import Position, Settings, StreamSettings

# What a name ends with, or a setting says, to the reader of such files.
FORMATS = {
    "csv": "csv",
    "tsv": "tsv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "parquet": "parquet",
    "pq": "parquet",
    **dict.fromkeys(("excel", "xlsx", "xlsm", "xlsb", "xls", "ods"), "excel"),
    "xml": "xml",
    "fixed": "fixed",
}
_KINDS = list(dict.fromkeys(FORMATS.values()))


class Dialect(Struct, frozen=True, kw_only=True):
    """Parquet files have none of it. `is_chosen`: somebody named the delimiter, so a file with one column is meant to
    have one. `records` leads to the records of an XML or JSON file."""

    delimiter: str = ","
    is_chosen: bool = False
    quote: str = '"'
    escape: str | None = None
    comment: str | None = None
    skip_lines: int = 0
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = ()
    positions: tuple[Position, ...] = ()
    null_values: tuple[str, ...] = ()
    decimal: str = "."
    date_format: str | None = None
    timestamp_format: str | None = None
    records: str | None = None
    sheet: str | int | None = None


def dialect(settings: Settings, stream: StreamSettings, kind: str) -> Dialect:
    """Of a file of that kind, a value of `FORMATS`. Raises InputError (`invalid-setting`)."""
    delimiter = stream.delimiter or settings.delimiter or ("\t" if kind == "tsv" else ",")
    decimal = settings.decimal if stream.decimal is None else stream.decimal
    if decimal not in {".", ","}:
        raise InputError(
            "invalid-setting", f"`decimal` is `{decimal}`; it must be `.` or `,`", hint="set `decimal` to one of them"
        )
    return Dialect(
        delimiter=_character("delimiter", delimiter) or ",",
        is_chosen=bool(stream.delimiter or settings.delimiter),
        quote=_character("quote", settings.quote if stream.quote is None else stream.quote),
        escape=_character("escape", stream.escape or settings.escape or "") or None,
        comment=_character("comment", stream.comment or settings.comment or "") or None,
        skip_lines=settings.skip_lines if stream.skip_lines is None else stream.skip_lines,
        encoding=stream.encoding or settings.encoding,
        header=settings.header if stream.header is None else stream.header,
        columns=tuple(stream.columns or settings.columns),
        positions=_positions(stream.positions or settings.positions, kind),
        null_values=tuple(settings.null_values if stream.null_values is None else stream.null_values),
        decimal=decimal,
        date_format=stream.date_format or settings.date_format,
        timestamp_format=stream.timestamp_format or settings.timestamp_format,
        records=_records(stream.records or settings.records, kind),
        sheet=settings.sheet if stream.sheet is None else stream.sheet,
    )


def format_of(given: str | None, name: str, key: str) -> str:
    """A value of `FORMATS`. Raises InputError (`unknown-format`)."""
    word = (given or PurePosixPath(name).suffix.lstrip(".")).lower()
    if word in FORMATS:
        return FORMATS[word]
    if given:
        near = did_you_mean(word, FORMATS)
        hint = f"did you mean `{near}`?" if near else f"it is one of {listed(_KINDS)}"
        raise InputError("unknown-format", f"`{given}` is not a file format", hint=hint)
    raise InputError(
        "unknown-format",
        f"the format of `{key}` does not show from its name",
        hint=f"set `format` to one of {listed(_KINDS)}, or make the pattern narrower",
    )


def _character(setting: str, value: str) -> str:
    value = {"\\t": "\t", "tab": "\t"}.get(value, value)
    if len(value) > 1 or not value.isascii():
        raise InputError("invalid-setting", f"`{setting}` is `{value}`; it must be one ASCII character")
    return value


def _positions(given: list[Position], kind: str) -> tuple[Position, ...]:
    if kind != "fixed":
        return ()
    if not given:
        raise InputError(
            "setting-missing",
            "files with fixed widths need `positions`",
            hint="positions: [{name: id, start: 1, width: 6}, {name: city, start: 7, width: 20}]",
        )
    wrong = next((one for one in given if one.start < 1 or one.width < 1), None)
    if wrong is not None:
        raise InputError(
            "invalid-setting",
            f"`positions` has no place for `{wrong.name}`: start {wrong.start}, width {wrong.width}",
            hint="the first character of a line is number 1",
        )
    names = [one.name for one in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError("invalid-setting", f"`positions` names `{twice}` twice", hint="give each column its own name")
    return tuple(given)


def _records(given: str | None, kind: str) -> str | None:
    if given is None and kind == "xml":
        raise InputError(
            "setting-missing",
            "XML files need `records`, the path to the element that is a row",
            hint="records: catalog/book",
        )
    return given

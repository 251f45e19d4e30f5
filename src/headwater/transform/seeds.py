"""Seeds: small CSV files that belong to the project and become tables. A column's type is one that changes none of its
values (see `text_types`), or what YAML says.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean, listed
from headwater.connect import types
from headwater.connect.sources import text_types

_TYPES: dict[str, pa.DataType] = {
    "text": types.STRING,
    "integer": types.INT64,
    "decimal": pa.decimal128(38, 9),
    "float": types.FLOAT64,
    "boolean": types.BOOL,
    "date": types.DATE,
    "timestamp": types.TIMESTAMP,
}


def rows(path: Path, shown: str, declared: Mapping[str, str]) -> pa.Table:
    """The rows of a seed, in memory; `shown` is what errors call the file. Comma, `"`, UTF-8; an empty field is null, a
    quoted empty one is an empty text.

    Raises InputError: `bad-seed` for a file that is no such CSV and for a value that does not fit a declared type,
    `unknown-column` for a declared column that the file lacks, `no-columns`.
    """
    names = _header(path, shown)
    for name in declared:
        if name not in names:
            guess = did_you_mean(name, names)
            raise InputError(
                "unknown-column",
                f"the seed `{shown}` has no column `{name}`",
                where=Where(shown, 1),
                why=None if guess else f"it has {listed(names)}",
                hint=f"did you mean `{guess}`?" if guess else None,
            )
    texts = _texts(path, shown, names)
    fields, columns = [], []
    for name in names:
        values = texts.column(name).combine_chunks()
        field = text_types.field_of(name, text_types.looked_at(values))
        field = pa.field(name, _TYPES[declared[name]]) if name in declared else field
        fields.append(field)
        columns.append(_converted(values, field, shown))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _header(path: Path, shown: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad(shown, 1, str(error)) from error
    if not names:
        raise InputError(
            "no-columns", f"the seed `{shown}` has no columns", where=Where(shown, 1), hint="its first line names them"
        )
    if "" in names or len(set(names)) < len(names):
        raise _bad(shown, 1, "two columns have one name, or one has none")
    return names


def _texts(path: Path, shown: str, names: list[str]) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _bad(shown, 0, str(error)) from error


def _converted(values: pa.Array, field: pa.Field, shown: str) -> pa.Array:
    try:
        return text_types.converted(values, field.type)
    except pa.ArrowInvalid as error:
        raise _bad(shown, 0, f"`{field.name}`: {error}") from error


def _bad(shown: str, line: int, why: str) -> InputError:
    return InputError(
        "bad-seed",
        f"the seed `{shown}` can't be read",
        where=Where(shown, line),
        why=why,
        hint="correct the file, or the `type` of the column in the YAML file",
    )

"""The pages `types.md` and `names.md`: what the destinations make of types and names, asked of their own code."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence

import pyarrow as pa

from headwater.connect import names, types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.destinations import file_columns
from headwater.connect.destinations.duckdb import sql_types as duckdb_types
from headwater.connect.destinations.duckdb import tables as duckdb_tables
from headwater.connect.destinations.mysql import called as mysql_called
from headwater.connect.destinations.mysql import sql_types as mysql_types
from headwater.connect.destinations.mysql import tables as mysql_tables
from headwater.connect.destinations.postgres import sql_types as postgres_types
from headwater.connect.destinations.postgres import tables as postgres_tables
from headwater.connect.singer import schema
from headwater.connect.staging import grown

PLACES = ("DuckDB", "PostgreSQL", "MariaDB", "Parquet", "JSON lines")
KINDS = {
    "bool": pa.field("v", types.BOOL),
    "int64": pa.field("v", types.INT64),
    "decimal(10,2)": pa.field("v", pa.decimal128(10, 2)),
    "decimal(38,9)": pa.field("v", pa.decimal128(38, 9)),
    "float64": pa.field("v", types.FLOAT64),
    "string": pa.field("v", types.STRING),
    "json": pa.field("v", types.STRING, metadata=JSON_FIELD),
    "binary": pa.field("v", types.BINARY),
    "date": pa.field("v", types.DATE),
    "time": pa.field("v", types.TIME),
    "timestamp": pa.field("v", types.TIMESTAMP),
}
SCHEMAS = (
    '{"type": "boolean"}',
    '{"type": "integer"}',
    '{"type": "number"}',
    '{"type": "number", "multipleOf": 0.01}',
    '{"type": "string", "format": "x-singer.decimal"}',
    '{"type": "string"}',
    '{"type": "string", "maxLength": 20}',
    '{"type": "string", "format": "date-time"}',
    '{"type": "string", "format": "date"}',
    '{"type": "string", "format": "time"}',
    '{"type": "string", "format": "uuid"}',
    '{"type": "string", "contentEncoding": "base64"}',
    '{"type": "array", "items": {"type": "integer"}}',
    '{"type": "object"}',
    '{"type": "null"}',
    "{}",
    '{"type": ["null", "integer", "string"]}',
    '{"type": ["integer", "number"]}',
    '{"type": ["string", "object"]}',
    '{"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string"}]}',
    '{"enum": ["a", "b"]}',
    '{"const": 1}',
)


def types_page() -> list[str]:
    """The parts of docs/reference/types.md."""
    return [
        "# Types\n",
        (
            "What a property becomes, and what becomes of a column when the source declares something else. "
            "[What a load promises](../concepts/loading.md#types) says why.\n"
        ),
        "## From JSON Schema to a column\n",
        (
            "A property may be null whether its schema says so or not. An object with properties becomes one "
            "column for each of them, `a__b`. A value that its column can't hold exactly makes the column wider "
            "(the next table), never the value poorer.\n"
        ),
        table(["schema", "Arrow", *PLACES], [_schema_row(text) for text in SCHEMAS]),
        (
            "Text and bytes that are part of a key are `varchar(255)` and `varbinary(255)` on MariaDB; a key "
            "that is longer is compared by a hash of it.\n"
        ),
        "## From column to column\n",
        (
            "The first column is what the column is, the first line what the source sends now; the cell is what "
            "the column becomes. `=` leaves it, `×` is refused before a row is loaded (`unsupported-change`). "
            "`?` means: when every stored value survives exactly, else text.\n"
        ),
        table(
            ["", *(f"`{kind}`" for kind in KINDS)],
            [[f"`{old}`", *(_cell(old, new) for new in KINDS)] for old in KINDS],
        ),
        (
            "A column that is wider than what the source declares, because a value once asked for it, stays as "
            "it is while the source declares the same.\n"
        ),
        "## What each database does for it\n",
        (
            "`alter`: one ALTER TABLE. `copy`: a column beside the old one gets the values in their new form "
            "and takes its place in one ALTER TABLE. `files`: files that are there stay, new ones have the new "
            "type. `as it is`: the column's type is the same there.\n"
        ),
        table(["the column is", "it becomes", *PLACES], _ways()),
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _schema_row(text: str) -> list[str]:
    (leaf,) = schema.leaves({"properties": {"v": json.loads(text)}})
    field = schema.field("v", leaf.family, leaf.type, leaf.type)
    return [f"`{text}`", _arrow(field), *(f"`{sql}`" for sql in sql_types(field).values())]


def _arrow(field: pa.Field) -> str:
    return "JSON" if types.is_json(field) else f"`{field.type}`"


def sql_types(field: pa.Field) -> dict[str, str]:
    """The column's type at each destination."""
    return {
        "DuckDB": duckdb_types.sql_type(field),
        "PostgreSQL": postgres_types.sql_type(field),
        "MariaDB": mysql_types.sql_type(field),
        "Parquet": str(field.type),
        "JSON lines": _json_form(field),
    }


def _json_form(field: pa.Field) -> str:
    if types.is_json(field):
        return "as it is"
    return {"bool": "true, false", "int64": "number", "decimal": "number", "float64": "number"}.get(
        types.kind(field.type), "string"
    )


def reached(old: str, new: str) -> pa.Field | None:
    """What a column of one kind becomes when another one comes; None when that is refused."""
    return grown(KINDS[old], types.declared(KINDS[old]), KINDS[new])


def _cell(old: str, new: str) -> str:
    field = reached(old, new)
    if field is None:
        return "×"
    if field.type == KINDS[old].type and types.is_json(field) == types.is_json(KINDS[old]):
        return "="
    return f"{_shown(field)}{'' if types.is_sure(KINDS[old].type, field.type) else ' ?'}"


def _shown(field: pa.Field) -> str:
    if types.is_json(field):
        return "json"
    if types.kind(field.type) == "decimal":
        return f"decimal({field.type.precision},{field.type.scale})"
    return {"date32": "date", "time64": "time"}.get(types.kind(field.type), types.kind(field.type))


def _ways() -> list[list[str]]:
    """A row for each change that the lattice has, with what every destination does for it."""
    rows: dict[tuple[str, str], list[str]] = {}
    for old, held in KINDS.items():
        for new in KINDS:
            field = reached(old, new)
            if field is not None and _cell(old, new) != "=":
                before, after = sql_types(held), sql_types(field)
                ways = [_way(place, before[place], field, after[place]) for place in PLACES]
                rows[old, _shown(field)] = [f"`{old}`", f"`{_shown(field)}`", *ways]
    return list(rows.values())


def _way(place: str, before: str, field: pa.Field, after: str) -> str:
    if place in ("Parquet", "JSON lines"):
        return "files"
    if before == after:
        return "as it is"
    is_copied = place == "MariaDB" and mysql_types.conversion("`v`", before, field).expression is not None
    return f"{'copy' if is_copied else 'alter'}: `{before}` → `{after}`"


# Names ---------------------------------------------------------------------------------------------------------------

NAMES = (
    *("id", "order id", "a.b", "a-b", "a b", "a_b", "a__b", "Foo", "foo", "FOO"),
    *("select", "order", "user", "group", "table", "null", 'a"b', "a`b", "a]b", "a\\b", "a'b", "a|b"),
    '"); drop table users; --',
    "`); drop table users; --",
    "'; drop table users; --",
    *("%", "%s", "%(x)s", "{x}", ":x", "?", "$1", "@x", "#x", "/* x */", "-- x"),
    *("", "_empty", " ", " a", "a ", "a\t", "new\nline", "nul\0", "nul\\0", "nul_", "\x01"),
    *("é", "e\u0301", "e", "É", "ß", "ss", "İ", "i", "I", "ı", "日本", "😈", "😀", "\u200b", "\u202e"),
    *("rowid", "ROWID", "ctid", "xmin", "oid", "tableoid", "_row_id", "_sdc_batched_at"),
    *("__loaded_at", "__LOADED_AT", "__version", "__deleted_at", "__key_hash", "__ordinal", "__missing", "_extra"),
    *("_headwater", "_headwater_ledger", "../up", "a/b", ".hidden", "con", "1", "1e5", "true"),
    *("x" * 63, "x" * 64, "x" * 65, "x" * 255, "x" * 256, "x" * 255 + "y", "é" * 40, "é" * 40 + "1"),
)

COLUMNS: dict[str, Callable[[Sequence[str]], dict[str, str]]] = {
    "DuckDB": lambda given: names.identifiers(
        given, max_length=duckdb_tables.LONGEST_NAME, fold_case=True, reserved=duckdb_tables.RESERVED
    ),
    "PostgreSQL": lambda given: names.identifiers(
        given, max_length=postgres_tables.LONGEST_NAME, fold_case=False, reserved=postgres_tables.RESERVED
    ),
    "MariaDB": lambda given: mysql_called.identifiers(given, fold_case=True, reserved=mysql_tables.RESERVED),
    "Parquet, JSON lines, CSV": lambda given: names.identifiers(
        given, max_length=file_columns.LONGEST_NAME, fold_case=False, reserved=file_columns.RESERVED
    ),
}
_FORBIDDEN = {
    "DuckDB": "U+0000",
    "PostgreSQL": "U+0000",
    "MariaDB": "U+0000, U+0130, characters beyond U+FFFF, white space at the end, `_headwater_` at the beginning",
    "Parquet, JSON lines, CSV": "U+0000",
}


def names_page() -> list[str]:
    """The parts of docs/reference/names.md."""
    called = {place: of(NAMES) for place, of in COLUMNS.items()}
    return [
        "# Names\n",
        "What a column is called at each destination. [What a load promises](../concepts/loading.md#names) says why.\n",
        "## Rules\n",
        (
            "A name stays as it is when the destination can have it and no column before it has. Else it gets a "
            "suffix of its own hash, `_` or `__` and eight digits. Every name is quoted in every statement. "
            "Names that differ in their Unicode form only (NFC) never stand side by side. The mapping is kept "
            "beside the data, so a name once given stays.\n"
        ),
        table(["", *COLUMNS], _rules()),
        "## Examples\n",
        (
            "One stream whose columns have all of these names, in this order. Names are written as JSON; `=` is "
            "the same name.\n"
        ),
        table(
            ["name", *COLUMNS],
            [
                [
                    shown(name),
                    *("=" if called[place][name] == name else shown(called[place][name]) for place in COLUMNS),
                ]
                for name in dict.fromkeys(NAMES)
            ],
        ),
    ]


def _rules() -> list[list[str]]:
    limits = {"DuckDB": duckdb_tables.LONGEST_NAME, "PostgreSQL": postgres_tables.LONGEST_NAME}
    limits |= {"MariaDB": mysql_called.LONGEST_NAME, "Parquet, JSON lines, CSV": file_columns.LONGEST_NAME}
    reserved = {"DuckDB": duckdb_tables.RESERVED, "PostgreSQL": postgres_tables.RESERVED}
    reserved |= {"MariaDB": mysql_tables.RESERVED, "Parquet, JSON lines, CSV": file_columns.RESERVED}
    return [
        ["quoted by", '`"`', '`"`', "`` ` ``", ""],
        ["at most", *(f"{limits[place]} bytes" for place in COLUMNS)],
        ["`Foo` and `foo`", *("are one name" if len(_folded(of)) == 1 else "are two names" for of in COLUMNS.values())],
        ["not given away", *(" ".join(f"`{word}`" for word in sorted(reserved[place])) for place in COLUMNS)],
        ["replaced by `_`", *(_FORBIDDEN[place] for place in COLUMNS)],
    ]


def _folded(of: Callable[[Sequence[str]], dict[str, str]]) -> set[str]:
    return {name for name, identifier in of(["Foo", "foo"]).items() if name == identifier}


def shown(name: str) -> str:
    """A name as JSON in a cell of a table."""
    text = "".join(_spelled(char) for char in json.dumps(name, ensure_ascii=False))
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _spelled(char: str) -> str:
    if char == "|":
        return "\\u007c"
    return char if char.isprintable() and not unicodedata.combining(char) else json.dumps(char)[1:-1]

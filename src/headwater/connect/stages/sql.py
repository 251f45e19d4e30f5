"""SQL expressions over the columns of a batch, in DuckDB's dialect: checked before they run, run where they can do
no harm.

The check looks at the tree that DuckDB's own parser makes of the text, so nothing is read in two ways. Everything in
it must be known to be a pure function of one row: what is not on the lists below is refused. Then the tree, not the
text, is turned back into SQL and evaluated in a database in memory that has no files, no network and no settings.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.text import did_you_mean
from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.engine import words
from headwater.connect.stages.sql_words import CAST_TYPES, CHANGING, FUNCTIONS, GROWING

# An expression is written by hand; a longer one is a program.
_LONGEST = 10_000
_DEEPEST = 100
# `replace` may make a text this much longer, and only this often within another one.
_LONGEST_REPLACEMENT = 100
_MOST_GROWING = 2
# The columns of a batch are known by number in there.
_PREFIX = "column_"

_CLASSES = frozenset({"COMPARISON", "CONJUNCTION", "OPERATOR", "CAST", "CASE", "BETWEEN", "CONSTANT", "FUNCTION"})
_OPERATORS = frozenset(
    {
        "OPERATOR_NOT",
        "OPERATOR_IS_NULL",
        "OPERATOR_IS_NOT_NULL",
        "OPERATOR_COALESCE",
        "OPERATOR_NULLIF",
        "OPERATOR_TRY",
        "COMPARE_IN",
        "COMPARE_NOT_IN",
        "ARRAY_EXTRACT",
        "ARRAY_SLICE",
    }
)


class RefusedError(Exception):
    """Why an expression may not run. `column` is set when it names a column that does not exist."""

    def __init__(self, why: str, *, hint: str | None = None, column: str | None = None) -> None:
        super().__init__(why)
        self.hint = hint
        self.column = column


class Parsed(Struct, frozen=True):
    """An expression that is safe to run. `columns` are those it names, in order of their first use, as written."""

    text: str
    tree: dict[str, Any]
    columns: tuple[str, ...]


class Bound(Struct, frozen=True):
    """An expression over the columns of a stream: what it reads, what comes out."""

    sql: str
    inputs: tuple[str, ...]
    field: pa.Field


def parse(text: str) -> Parsed:
    """Raises RefusedError for all that is not one pure scalar expression."""
    if len(text) > _LONGEST:
        raise RefusedError(f"an expression has at most {_LONGEST} characters")
    with _database() as cursor:
        # The parser gets it between parentheses: what closes them is no longer one item of one SELECT.
        found = msgspec.json.decode(_answer(cursor, "json_serialize_sql", f"SELECT (\n{text}\n)"))
    if found.get("error"):
        raise RefusedError(
            f"it is not SQL: {found.get('error_message', 'syntax error')}".split("\n")[0],
            hint="a column whose name is a word of SQL, like `at` or `order`, stands in double quotes",
        )
    if len(found["statements"]) != 1:
        raise RefusedError("it must be one expression")
    node = found["statements"][0]["node"]
    plain = (
        node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"]["type"] == "EMPTY"
        and not any(node[part] for part in ("modifiers", "where_clause", "group_expressions", "having", "qualify"))
        and not node["sample"]
        and not node["cte_map"]["map"]
    )
    if not plain:
        raise RefusedError("it must be one expression, not a query")
    tree = node["select_list"][0]
    columns: dict[str, None] = {}
    _check(tree, columns, depth=0, growing=0)
    return Parsed(text, found, tuple(columns))


def bind(parsed: Parsed, columns: pa.Schema) -> Bound:
    """Raises RefusedError for unknown columns, and for operations that the columns' types do not have."""
    found = {name: _column(name, columns) for name in parsed.columns}
    inputs = tuple(dict.fromkeys(found.values()))
    tree = msgspec.json.decode(msgspec.json.encode(parsed.tree))
    node = tree["statements"][0]["node"]["select_list"][0]
    for reference in _references(node):
        reference["column_names"] = [_alias(columns, found[_dotted(reference)])]
    with _database() as cursor:
        statement = _answer(cursor, "json_deserialize_sql", msgspec.json.encode(tree).decode())
        sql = statement.removeprefix("SELECT ").removesuffix(";")
        empty = _table(pa.RecordBatch.from_pylist([], schema=columns), inputs)
        try:
            result = _query(cursor, [sql], empty).types[0]
        except duckdb.Error as error:
            raise RefusedError(_named(words(error)[0], columns)) from None
        return Bound(_converted(sql, str(result)), inputs, _field(str(result)))


def evaluate(expressions: Sequence[Bound], batch: pa.RecordBatch) -> list[pa.Array]:
    """The expressions' values, row by row. Raises duckdb.Error when one fails on a row."""
    if not expressions:
        return []
    inputs = tuple(dict.fromkeys(name for one in expressions for name in one.inputs))
    table = _table(batch, inputs)
    with _database() as cursor:
        columns = _query(cursor, [one.sql for one in expressions], table).to_arrow_table().combine_chunks()
    return [_array(columns.column(index), one.field.type, batch.num_rows) for index, one in enumerate(expressions)]


def failures(expression: Bound, batch: pa.RecordBatch) -> dict[int, str]:
    """The rows on which the expression fails, and how."""
    found: dict[int, str] = {}

    def look(start: int, count: int) -> None:
        try:
            evaluate([expression], batch.slice(start, count))
        except duckdb.Error as error:
            if count == 1:
                found[start] = _named(words(error)[0], batch.schema)
            else:
                look(start, count // 2)
                look(start + count // 2, count - count // 2)

    if batch.num_rows:
        look(0, batch.num_rows)
    return found


def _named(message: str, columns: pa.Schema) -> str:
    """DuckDB's words, with the columns' own names."""
    return re.sub(rf"\b{_PREFIX}(\d+)\b", lambda match: str(columns.names[int(match[1])]), message)


# The check ------------------------------------------------------------------------------------------------------------


def _check(node: dict[str, Any], columns: dict[str, None], *, depth: int, growing: int) -> None:
    if depth > _DEEPEST:
        raise RefusedError(f"it nests deeper than {_DEEPEST} levels")
    kind = node["class"]
    if kind == "COLUMN_REF":
        name = _dotted(node)
        if name.lower() in CHANGING:
            raise _changing(name)
        columns[name] = None
        return
    if kind not in _CLASSES:
        raise _refused_class(kind, node)
    if node.get("alias"):
        raise RefusedError(f"it gives a name, `{node['alias']}`: the name stands before the `:`")
    if kind == "OPERATOR" and node["type"] not in _OPERATORS:
        raise RefusedError(f"`{node['type'].lower()}` is not allowed")
    if kind == "CAST":
        _check_type(node)
    if kind == "FUNCTION":
        growing += _check_function(node)
        if growing > _MOST_GROWING:
            raise RefusedError(f"`replace` within `replace` goes {_MOST_GROWING} deep at most")
    for child in _children(node):
        _check(child, columns, depth=depth + 1, growing=growing)


def _check_function(node: dict[str, Any]) -> int:
    """Raises RefusedError; 1 when its result may be much longer than what it gets."""
    name = node["function_name"].lower()
    if name in CHANGING:
        raise _changing(name)
    if name not in FUNCTIONS or node["schema"] or node["catalog"]:
        guess = did_you_mean(name, FUNCTIONS)
        raise RefusedError(
            f"the function `{name}` is not allowed",
            hint=f"did you mean `{guess}`?" if guess else "docs/guides/stages.md lists the functions there are",
        )
    if node["filter"] or node["distinct"] or node["order_bys"]["orders"] or node["export_state"]:
        raise RefusedError("aggregates look at more than one row")
    if name not in GROWING:
        return 0
    replacement = node["arguments"][2]["expression"] if len(node["arguments"]) > 2 else {}
    literal = replacement.get("literal", {})
    if len(str(literal.get("text", ""))) > _LONGEST_REPLACEMENT or replacement.get("class") != "CONSTANT":
        raise RefusedError(f"what `{name}` puts in must be a text of at most {_LONGEST_REPLACEMENT} characters")
    return 1


def _check_type(node: dict[str, Any]) -> None:
    stated = node["type_expr"]
    if stated.get("class") != "TYPE" or stated["type_name"].lower() not in CAST_TYPES or stated.get("schema"):
        raise RefusedError(f"the type `{stated.get('type_name', '')}` is not allowed")
    for argument in stated.get("children", ()):
        if argument["class"] != "CONSTANT":
            raise RefusedError(f"the type `{stated['type_name']}` must have numbers as arguments")


def _changing(name: str) -> RefusedError:
    return RefusedError(
        f"`{name}` gives another value at each run",
        hint="a run that is repeated must give the same rows: use a column of the source instead",
    )


def _refused_class(kind: str, node: dict[str, Any]) -> RefusedError:
    said = {
        "SUBQUERY": "a subquery is not allowed",
        "WINDOW": "window functions look at more than one row",
        "STAR": "`*` is not allowed",
        "PARAMETER": "there are no parameters",
        "LAMBDA": "lambdas are not allowed",
    }
    return RefusedError(said.get(kind, f"`{node.get('type', kind).lower()}` is not allowed"))


def _children(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match node["class"]:
        case "COMPARISON":
            yield from (node["left"], node["right"])
        case "CONJUNCTION" | "OPERATOR":
            yield from node["children"]
        case "CAST":
            yield node["child"]
        case "BETWEEN":
            yield from (node["input"], node["lower"], node["upper"])
        case "CASE":
            for check in node["case_checks"]:
                yield from (check["when_expr"], check["then_expr"])
            yield node["else_expr"]
        case "FUNCTION":
            for argument in node["arguments"]:
                yield argument["expression"]


def _references(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node["class"] == "COLUMN_REF":
        yield node
        return
    for child in _children(node):
        yield from _references(child)


def _dotted(reference: dict[str, Any]) -> str:
    return ".".join(reference["column_names"])


def _column(name: str, columns: pa.Schema) -> str:
    """As it is written; else the one that differs in case only, or is nested: `a.b` is the column `a__b`."""
    nested = name.replace(".", "__")
    for wanted in (name, nested):
        if wanted in columns.names:
            return wanted
    alike = [known for known in columns.names if known.lower() == nested.lower()]
    if len(alike) == 1:
        return str(alike[0])
    raise RefusedError(f"there is no column `{name}`", column=name)


# Types ----------------------------------------------------------------------------------------------------------------


def _field(result: str) -> pa.Field:
    """DuckDB's type as one of ours."""
    if result.startswith("DECIMAL("):
        precision, scale = result[8:-1].split(",")
        return pa.field("", pa.decimal128(int(precision), int(scale)))
    if result == "JSON":
        return pa.field("", types.STRING, metadata=JSON_FIELD)
    return pa.field("", _TYPES[result][1] if result in _TYPES else types.STRING)


def _converted(sql: str, result: str) -> str:
    if result.startswith("DECIMAL("):
        return f"({sql})"
    return f"CAST(({sql}) AS {_TYPES[result][0] if result in _TYPES else 'VARCHAR'})"


_TYPES: dict[str, tuple[str, pa.DataType]] = {
    "BOOLEAN": ("BOOLEAN", types.BOOL),
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), ("BIGINT", types.INT64)
    ),
    **dict.fromkeys(("UBIGINT", "HUGEINT", "UHUGEINT"), ("DECIMAL(38,0)", types.BIG_INTEGER)),
    **dict.fromkeys(("FLOAT", "DOUBLE"), ("DOUBLE", types.FLOAT64)),
    "DATE": ("DATE", types.DATE),
    **dict.fromkeys(("TIME", "TIME_NS", "TIME WITH TIME ZONE"), ("TIME", types.TIME)),
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"),
        ("TIMESTAMP", types.TIMESTAMP),
    ),
    "BLOB": ("BLOB", types.BINARY),
}


def _array(column: pa.ChunkedArray, wanted: pa.DataType, rows: int) -> pa.Array:
    array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    assert len(array) == rows
    # A TIMESTAMP in here is UTC, as in every column of ours.
    return array.cast(types.INT64).cast(wanted) if wanted == types.TIMESTAMP else array.cast(wanted)


# The database ---------------------------------------------------------------------------------------------------------


@functools.cache
def _locked() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_unsigned_extensions": "false",
            "memory_limit": "256MB",
            "temp_directory": "",
            "threads": "1",
            "python_enable_replacements": "false",
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


_LOCK = threading.Lock()


def _database() -> duckdb.DuckDBPyConnection:
    with _LOCK:
        return _locked().cursor()


def _query(cursor: duckdb.DuckDBPyConnection, sqls: Sequence[str], table: pa.Table) -> duckdb.DuckDBPyRelation:
    columns = ", ".join(f"{sql} AS r{index}" for index, sql in enumerate(sqls))
    cursor.register("batch", table)
    return cursor.sql(f"SELECT {columns} FROM batch")  # noqa: S608 - a checked tree, turned back into text


def _table(batch: pa.RecordBatch, inputs: Sequence[str]) -> pa.Table:
    """The columns an expression reads, under names of ours. One of them always stands there, to count the rows."""
    arrays = [_plain(batch.column(name)) for name in inputs]
    names = [_alias(batch.schema, name) for name in inputs]
    return pa.table([*arrays, pa.nulls(batch.num_rows, types.BOOL)], names=[*names, "one"])


def _plain(array: pa.Array) -> pa.Array:
    return array.cast(types.INT64).cast(pa.timestamp("us")) if array.type == types.TIMESTAMP else array


def _alias(columns: pa.Schema, name: str) -> str:
    return f"{_PREFIX}{columns.get_field_index(name)}"


def _answer(cursor: duckdb.DuckDBPyConnection, function: str, text: str) -> str:
    """What a function of DuckDB makes of a text."""
    return str(cursor.execute(f"SELECT {function}($1)", [text]).fetchall()[0][0])

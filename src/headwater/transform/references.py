"""What a SELECT reads: found in its text, without a database."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from headwater.base.errors import InputError, Where

# Functions whose value differs from one run to the next although no table changed.
_UNSTEADY = {
    "clock_timestamp",
    "current_localtime",
    "current_localtimestamp",
    "gen_random_uuid",
    "get_current_time",
    "get_current_timestamp",
    "nextval",
    "now",
    "random",
    "setseed",
    "statement_timestamp",
    "timeofday",
    "today",
    "transaction_timestamp",
    "uuidv4",
    "uuidv7",
}


class Reference(Struct, frozen=True):
    """A table named after FROM or JOIN. What was not written is empty; `line` counts from 1."""

    catalog: str
    schema: str
    table: str
    line: int

    @property
    def words(self) -> str:
        return ".".join(part for part in (self.catalog, self.schema, self.table) if part)


class Reads(Struct, frozen=True, kw_only=True):
    """`tables` in order of appearance, each once. `unsteady` is true when the SELECT also reads what no table
    shows: the clock, a random number, a file. `places` says where in the text each stands, first and last character,
    by its words in small letters."""

    tables: tuple[Reference, ...]
    unsteady: bool
    places: dict[str, list[tuple[int, int]]]


def read(sql: str, file: str, dialect: str = "duckdb") -> Reads:
    """The tables that `sql` reads; names of CTEs are not among them. `dialect` is sqlglot's name for one.

    Raises InputError: `bad-sql` with the line when the text can't be read, `not-a-select` when it is anything but
    one SELECT, `no-columns` for one of nothing.
    """
    import sqlglot  # noqa: PLC0415 - 70 ms that only projects with models should pay
    from sqlglot import exp  # noqa: PLC0415 - likewise
    from sqlglot.errors import SqlglotError  # noqa: PLC0415 - likewise

    try:
        # A comment behind the last `;` counts as a statement.
        statements = [
            item for item in sqlglot.parse(sql, dialect=dialect) if item and not isinstance(item, exp.Semicolon)
        ]
    except SqlglotError as error:
        raise _bad_sql(sql, file, dialect, error) from error
    if len(statements) != 1 or not isinstance(statements[0], (exp.Query, exp.Values, exp.Pivot)):
        raise InputError(
            "not-a-select",
            f"`{file}` must hold one SELECT, it holds {_what(statements)}",
            where=Where(file, 1),
            hint="a model is one SELECT; what should become of it (table, view) stands in models.yml",
        )
    tree = statements[0]
    if isinstance(tree, exp.Select) and not tree.expressions:
        raise InputError(
            "no-columns",
            f"`{file}` returns no columns",
            where=Where(file, 1),
            hint="name at least one column behind SELECT",
        )
    found: dict[str, Reference] = {}
    places: dict[str, list[tuple[int, int]]] = {}
    tables: list[Any] = []
    unsteady = False
    for node in tree.walk():
        if isinstance(node, exp.Table):
            tables.append(node)
        elif isinstance(node, exp.Func | exp.TableSample):
            unsteady = unsteady or _is_unsteady(node, exp)
    for table in sorted(tables, key=_position):
        if not isinstance(table.this, exp.Identifier):  # a table function, such as read_csv('…')
            unsteady = unsteady or not isinstance(table.this, (exp.GenerateSeries, exp.Unnest))
        elif not table.db and re.search(r"[./*]", table.name):  # FROM 'file.csv'
            unsteady = True
        elif table.db or not _is_cte(table, exp):
            reference = Reference(table.catalog, table.db, table.name, table.this.meta.get("line", 1))
            found.setdefault(reference.words.casefold(), reference)
            first = table.args.get("catalog") or table.args.get("db") or table.this
            place = (int(first.meta.get("start", 0)), int(table.this.meta.get("end", 0)))
            places.setdefault(reference.words.casefold(), []).append(place)
    return Reads(tables=tuple(found.values()), unsteady=unsteady, places=places)


def _position(table: Any) -> int:
    return int(table.this.meta.get("start", 0))


def _is_unsteady(node: Any, exp: Any) -> bool:
    known = (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Rand, exp.Uuid, exp.TableSample)
    return isinstance(node, known) or (isinstance(node, exp.Anonymous) and node.name.casefold() in _UNSTEADY)


def _is_cte(table: Any, exp: Any) -> bool:
    """Whether a CTE of that name is visible where `table` stands.

    A CTE sees those before it, and itself only when RECURSIVE: in `with b as (select * from b)` the inner `b` is
    a real table.
    """
    name, inside, node = table.name.casefold(), table, table.parent
    while node is not None:
        with_clause = node.args.get("with_")
        if isinstance(node, exp.With):
            visible = node.expressions
            if inside in visible:
                visible = visible[: visible.index(inside) + (1 if node.args.get("recursive") else 0)]
        elif with_clause is not None and inside is not with_clause:
            visible = with_clause.expressions
        else:
            visible = []
        if any(cte.alias.casefold() == name for cte in visible):
            return True
        inside, node = node, node.parent
    return False


def _what(statements: list[Any]) -> str:
    if not statements:
        return "nothing"
    return f"{len(statements)} statements" if len(statements) > 1 else f"a `{statements[0].key.upper()}`"


def _bad_sql(sql: str, file: str, dialect: str, error: Any) -> InputError:
    """DuckDB's own words where it refuses the text too: it is the one that would run it."""
    details = (getattr(error, "errors", None) or [{}])[0]
    line, why = details.get("line", 1), details.get("description") or str(error).splitlines()[0]
    if dialect != "duckdb":
        return _refused(file, line, why)
    import duckdb  # noqa: PLC0415 - only for the words of an error

    from headwater.connect import engine  # noqa: PLC0415 - likewise

    try:
        duckdb.extract_statements(sql)
    except duckdb.Error as refusal:
        why, own_line = engine.words(refusal)
        line = own_line or line
    return _refused(file, line, why)


def _refused(file: str, line: int, why: str) -> InputError:
    return InputError(
        "bad-sql",
        f"`{file}` is not valid SQL",
        where=Where(file, line),
        why=why,
        hint="try the SELECT by itself: headwater query 'select …'",
    )

"""Objects of incoming rows, merged as `connect.members` says with those that the table holds. DuckDB's own functions
write numbers anew, so what they would change is merged on this side, page by page."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from headwater.connect import names
from headwater.connect.destinations.duckdb.tables import Target
from headwater.connect.members import Chains, page_rows
from headwater.connect.warehouse import first_row

_MEMBERS = "headwater_members"
_PAGE = "headwater_page"
_MERGED = "headwater_merged"
_PAGE_SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])


def merge(connection: duckdb.DuckDBPyConnection, table: Target, incoming: str, prior: str, same_key: str) -> None:
    """Make of each object in the table `incoming` what stands after it. `prior` are the rows that are there;
    `same_key` says that a row `t` of them has the key of the row `i`."""
    for column in table.columns:
        if column.source not in table.merged:
            continue
        name, key = names.quote(column.name), ", ".join(map(names.quote, table.keys))
        twice = f"select 1 from {incoming} where {name} is not null group by {key} having count(*) > 1 limit 1"
        over = None if first_row(connection, twice) is None else f"over (partition by {_of('i', table.keys)})"
        rows = _rows(name, over, f"{incoming} i left join {prior} t on {same_key}")
        connection.execute(f"create temp table {_MEMBERS} as {rows}")
        if _write(connection):
            connection.execute(f"update {incoming} i set {name} = m.text from {_MERGED} m where m.number = i.rowid")
            connection.execute(f"drop table {_MERGED}")
        connection.execute(f"drop table {_MEMBERS}")


def _rows(name: str, over: str | None, both: str) -> str:
    """The rows to be merged, with those of a key in their order; `over` are the rows of a key when there are several.
    Where all have the same members, the last has them already."""

    def of_key(aggregate: str, value: str) -> str:
        return value if over is None else f"{aggregate}({value}) {over}"

    has = f"json_keys(i.{name})"
    joined = (
        f"select i.rowid as number, {of_key('min', 'i.rowid')} as chain, {of_key('count', '1')} as size, "
        f"{of_key('min', has)} as least, {of_key('max', has)} as most, t.{name} as old, i.{name} as new "
        f"from {both} where i.{name} is not null"
    )
    return (
        f"select row_number() over (order by chain, number) as place, chain, number, old, new from ({joined}) "
        "where (old is not null or size > 1) and (least <> most or json_keys(old) <> least)"
    )


def _of(relation: str, columns: tuple[str, ...]) -> str:
    return ", ".join(f"{relation}.{names.quote(column)}" for column in columns)


def _write(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether there was anything to merge."""
    count, size = first_row(
        connection, f"select count(*), coalesce(sum(strlen(new) + coalesce(strlen(old), 0)), 0) from {_MEMBERS}"
    ) or (0, 0)
    if not count:
        return False
    connection.execute(f"create temp table {_MERGED} (number bigint, text varchar)")
    chains, step = Chains(), page_rows(int(count), int(size))
    for start in range(0, int(count), step):
        page = connection.execute(
            f"select chain, number, old, new from {_MEMBERS} where place > ? and place <= ? order by place",
            [start, start + step],
        ).fetchall()
        numbers, rows, olds, news = zip(*page, strict=True)
        merged = pa.table([rows, chains.merged(numbers, olds, news)], schema=_PAGE_SCHEMA)
        connection.register(_PAGE, merged)
        connection.execute(f"insert into {_MERGED} from {_PAGE}")
        connection.unregister(_PAGE)
    return True

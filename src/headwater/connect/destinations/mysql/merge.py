"""Objects of incoming rows, merged as `connect.members` says with those that the table holds. Neither MariaDB nor MySQL
has a function for that, so what has to be changed is merged on this side, page by page."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from msgspec import Struct

from headwater.connect.destinations.mysql import text_format
from headwater.connect.destinations.mysql.called import PREFIX, quote
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.send import rows_text, send
from headwater.connect.destinations.mysql.tables import ORDINAL, Target
from headwater.connect.members import Chains, page_rows

_MEMBERS = f"{PREFIX}members"
_MERGED = f"{PREFIX}merged"


class Matching(Struct, frozen=True, kw_only=True):
    """SQL for the columns by which rows are told apart: what to select of incoming rows, the same columns of the rows
    `i` that come out, and the condition that a row `t` of the table is that of `i`."""

    selected: str
    columns: str
    same: str


def merge(connection: Connection, table: Target, incoming: str, matching: Matching) -> None:
    """Make of each object in the temporary table `incoming` what stands after it."""
    for column in table.columns:
        if column.source not in table.merged:
            continue
        name = quote(column.name)
        some = f"(select {matching.selected}, {quote(ORDINAL)}, {name} from {incoming} where {name} is not null) i"
        if not connection.rows(f"select 1 from {incoming} where {name} is not null limit 1"):
            continue
        twice = f"select 1 from {some} group by {matching.columns} having count(*) > 1 limit 1"
        over = f"over (partition by {matching.columns})" if connection.rows(twice) else None
        rows = _rows(name, over, f"{some} left join {table.sql} t on {matching.same}")
        members, merged = (f"{quote(connection.schema)}.{quote(one)}" for one in (_MEMBERS, _MERGED))
        connection.run(f"drop temporary table if exists {members}, {merged}")
        connection.run(f"create temporary table {members} (place bigint primary key) engine = InnoDB {rows}")
        connection.run(
            f"create temporary table {merged} (number bigint primary key, text longtext) "
            f"engine = InnoDB character set utf8mb4 collate {table.collation}"
        )
        if _write(connection, table.stream, members, merged):
            connection.run_exactly(
                f"update {incoming} i join {merged} m on m.number = i.{quote(ORDINAL)} set i.{name} = m.text"
            )
        connection.run(f"drop temporary table {members}, {merged}")


def _rows(name: str, over: str | None, both: str) -> str:
    """The rows to be merged, with those of a key in their order; `over` are the rows of a key when there are several.
    Where all have the same members, the last has them already."""

    def of_key(aggregate: str, value: str) -> str:
        return value if over is None else f"{aggregate}({value}) {over}"

    number, new, old = f"i.{quote(ORDINAL)}", f"i.{name}", f"t.{name}"
    joined = (
        f"select {number} as number, {of_key('min', number)} as chain, {of_key('count', '1')} as size, "
        f"{of_key('min', _names(new, '?'))} as least, {of_key('max', _names(new, '!'))} as most, "
        f"{old} as old_text, {new} as new_text from {both}"
    )
    return (
        "select row_number() over (order by chain, number) as place, chain, number, old_text, new_text "
        f"from ({joined}) j where (old_text is not null or size > 1) "
        f"and (least <> most or (old_text is not null and {_names('old_text', '')} <> least))"
    )


def _names(value: str, otherwise: str) -> str:
    """The names of an object's members. What has too many levels for the server has none that it could tell."""
    return f"coalesce(if(json_valid({value}), cast(json_keys({value}) as char), null), '{otherwise}')"


class _Page:
    """What stands after each of some rows, as it is sent."""

    def __init__(self, connection: Connection, stream: str, numbers: list[int], texts: list[str]) -> None:
        self.columns = [("number", "bigint"), ("text", "longtext")]
        self._arrays = [pa.array(numbers, pa.int64()), pa.array(texts, pa.string())]
        self._stream = stream
        self._packet = connection.server.packet

    def lines(self, form: text_format.Form, _size: int) -> Iterator[pa.Array]:
        yield rows_text(self._stream, self._arrays, form, self._packet)


def _write(connection: Connection, stream: str, members: str, merged: str) -> bool:
    """Whether there was anything to merge."""
    ((count, size),) = connection.rows(
        f"select count(*), coalesce(sum(length(new_text) + coalesce(length(old_text), 0)), 0) from {members}"
    )
    chains, step = Chains(), page_rows(count, int(size))
    for start in range(0, count, step):
        page = f"from {members} where place > {start} and place <= {start + step} order by place"
        # One after the other: two values together could be more than the server lets through.
        olds = [old for (old,) in connection.rows(f"select old_text {page}")]
        rows = connection.rows(f"select chain, number, new_text {page}")
        of_chain, numbers, news = map(list, zip(*rows, strict=True))
        send(connection, merged, _Page(connection, stream, numbers, chains.merged(of_chain, olds, news)))
    return bool(count)

"""What the log does not say of its values: their types, what becomes of them as JSON, and those that it left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.connect.names import quote
from headwater.connect.sources.postgres.catalog import DOMAINS, IS_ARRAY
from headwater.connect.sources.postgres.orders import Orders

_TYPES = f"""
{DOMAINS}
select w.oid::int8, b.typname::text, b.typtype::text, {IS_ARRAY}, d.modifier, format_type(w.oid, null)
from unnest(%s::oid[]) as w(oid) join domains d on d.oid = w.oid join pg_type b on b.oid = d.of_type
"""


def types(orders: Orders, oids: Sequence[int]) -> Sequence[tuple[int, str, str, bool, int, str]]:
    """Of each type that still exists: what a domain is made of, and its name in SQL."""
    return orders.ask("look at its types", _TYPES, [list(oids)])


def json_of(orders: Orders, type_name: str, texts: Sequence[str | None]) -> list[str | None]:
    """Values that the log holds as text, as the JSON that a copy of the table makes of them."""
    to = type_name.replace("%", "%%")
    query = (
        f"select pg_catalog.to_jsonb(u.v::{to})::text from unnest(%s::text[]) with ordinality as u(v, n) order by u.n"
    )
    return [row[0] for row in orders.ask("read values of the log", query, [list(texts)])]


def values(
    orders: Orders, schema: str, name: str, wanted: Sequence[str], keys: Mapping[str, object]
) -> Sequence[str | None] | None:
    """What a row holds now, as text like the log's; None when it is gone."""
    columns = [f"t.{quote(one)}".replace("%", "%%") for one in wanted]
    texts = ", ".join(f"case when {one} is not null then format('%%s', {one}) end" for one in columns)
    # A text of no type of its own is taken for one of the column's.
    where = " and ".join(f"t.{quote(key).replace('%', '%%')} = %s" for key in keys)
    table = f"{quote(schema)}.{quote(name)}".replace("%", "%%")
    rows = orders.ask("look up a row", f"select {texts} from {table} as t where {where}", list(keys.values()))
    return rows[0] if rows else None

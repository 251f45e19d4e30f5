"""Whether what arrived is what was sent: the number of rows and a checksum that does not depend on their order.

A row's hash chains over its columns, so that a value in the wrong row counts; the rows' hashes are added up. Each
column is first cast to the type it should have: a time that arrived as text passes when it reads as the same instant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg

from loading.data import RECORD_COLUMNS
from loading.servers import Server

EVENTS = {
    "id": "bigint",
    "at": "instant",
    "country": "text",
    "kind": "text",
    "browser": "text",
    "visitor": "text",
    "session": "text",
    "x": "double",
    "y": "double",
    "items": "bigint",
    "is_paid": "boolean",
    "amount": "decimal",
}
ORDERS = {
    "id": "bigint",
    "created_at": "instant",
    "status": "text",
    "customer_name": "text",
    "city": "text",
    "last4": "text",
    "total": "double",
    "quantity": "bigint",
    "is_gift": "boolean",
    "note": "text",
    "tags": "json",
}
# Where the leaves of an order are found when its objects became columns `a__b`, and when they stayed JSON.
_PLAIN = {name: name for name in ORDERS}
FLAT = {
    **_PLAIN,
    "customer_name": "customer__name",
    "city": "customer__address__city",
    "last4": "payment__card__last4",
}
NESTED = {
    **_PLAIN,
    "customer_name": "customer->>'name'",
    "city": "customer->'address'->>'city'",
    "last4": "payment->'card'->>'last4'",
}

_POSTGRES = {
    "bigint": "hashint8extended(coalesce(({})::bigint, -1), {seed})",
    "instant": "hashint8extended(coalesce((extract(epoch from ({})::timestamptz) * 1000000)::bigint, -1), {seed})",
    "text": "hashtextextended(coalesce(({})::text, '∅'), {seed})",
    "double": "hashfloat8extended(coalesce(({})::float8, 'NaN'), {seed})",
    "boolean": "hashint8extended(coalesce(({})::boolean::integer, 2)::bigint, {seed})",
    "decimal": "hash_numeric_extended(coalesce(({})::numeric(12, 2), 'NaN'), {seed})",
    "json": "hashtextextended(coalesce(to_jsonb({})::text, '∅'), {seed})",
}
_DUCKDB = {
    "bigint": "({})::bigint",
    "instant": "epoch_us(({})::timestamptz)",
    "text": "({})::varchar",
    "double": "({})::double",
    "boolean": "({})::boolean",
    "decimal": "({})::decimal(12, 2)",
    "json": "({})::json::varchar",
}

Fingerprint = tuple[int, int]
Check = Callable[[], str]


def in_postgres(
    server: Server, table: str, kinds: dict[str, str], places: dict[str, str] | None = None, *, where: str = "true"
) -> Fingerprint:
    hashed = "0"
    for name, kind in kinds.items():
        hashed = _POSTGRES[kind].format((places or {}).get(name, f'"{name}"'), seed=hashed)
    with server.connect() as connection:
        found = connection.execute(f"select count(*), coalesce(sum({hashed}), 0) from {table} where {where}".encode())
        count, checksum = found.fetchone() or (0, 0)
    return count, int(checksum)


def in_duckdb(
    relation: str, kinds: dict[str, str], places: dict[str, str] | None = None, *, file: Path | None = None
) -> Fingerprint:
    """Of a table in `file`, or of anything that DuckDB can read."""
    columns = ", ".join(_DUCKDB[kind].format((places or {}).get(name, f'"{name}"')) for name, kind in kinds.items())
    with duckdb.connect(str(file) if file else ":memory:", read_only=file is not None) as connection:
        connection.execute("set timezone = 'UTC'; set threads = 2")
        found = connection.execute(f"select count(*), coalesce(sum(hash({columns})::hugeint), 0) from {relation}")
        count, checksum = found.fetchone() or (0, 0)
    return count, int(checksum)


def differs(found: Callable[[], Fingerprint], expected: Callable[[], Fingerprint], *, changes: bool = False) -> Check:
    """A check that says what is wrong, or nothing. What is expected is worked out once, unless it `changes`."""
    known: list[Fingerprint] = []

    def check() -> str:
        if changes or not known:
            known[:] = [expected()]
        try:
            count, checksum = found()
        except (psycopg.Error, duckdb.Error) as error:
            return str(error).splitlines()[0]
        if count != known[0][0]:
            return f"{count:,} of {known[0][0]:,} rows arrived"
        return "" if checksum == known[0][1] else "as many rows, but not the same values"

    return check


def json_lines(files: str, places: dict[str, str]) -> str:
    """Orders in files of JSON lines, with leaves at these places, as something DuckDB can read."""
    flat = dict.fromkeys((place for place in places.values() if "__" in place), "VARCHAR")
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in {**RECORD_COLUMNS, **flat}.items())
    return f"read_json('{files}', columns={{{columns}}}, format='newline_delimited')"

"""Orders from Singer lines on stdin into a table with key `id`: what Python can do when it cares for nothing else.

msgspec splits envelopes from records, DuckDB's JSON reader makes columns of the records, a temporary table takes them,
and one statement merges it. No schema is read, no state kept, no value checked, no type but these.
"""

import fcntl
import sys

import duckdb
import msgspec
import psycopg
import pyarrow as pa

CHUNK = 8 << 20
F_SETPIPE_SZ = 1031
TABLE = {
    "id": "bigint",
    "created_at": "timestamptz",
    "status": "text",
    "customer__id": "bigint",
    "customer__name": "text",
    "customer__email": "text",
    "customer__address__street": "text",
    "customer__address__city": "text",
    "customer__address__zip": "text",
    "customer__address__country": "text",
    "payment__method": "text",
    "payment__card__brand": "text",
    "payment__card__last4": "text",
    "total": "double precision",
    "quantity": "bigint",
    "is_gift": "boolean",
    "note": "text",
    "tags": "jsonb",
}
SHAPE = """{
    "id": "BIGINT", "created_at": "TIMESTAMPTZ", "status": "VARCHAR",
    "customer": {"id": "BIGINT", "name": "VARCHAR", "email": "VARCHAR",
                 "address": {"street": "VARCHAR", "city": "VARCHAR", "zip": "VARCHAR", "country": "VARCHAR"}},
    "payment": {"method": "VARCHAR", "card": {"brand": "VARCHAR", "last4": "VARCHAR"}},
    "total": "DOUBLE", "quantity": "BIGINT", "is_gift": "BOOLEAN", "note": "VARCHAR", "tags": "JSON"}"""
SELECT = ", ".join(
    f"r.{name.replace('__', '.')}{'::varchar' * (kind == 'jsonb')} as {name}" for name, kind in TABLE.items()
)


class Envelope(msgspec.Struct):
    type: str
    record: msgspec.Raw = msgspec.Raw()


def chunks(stream):
    fcntl.fcntl(stream, F_SETPIPE_SZ, 1 << 20)
    rest = b""
    while read := stream.read(CHUNK):
        whole, _, last = (rest + read).rpartition(b"\n")
        rest = last
        yield whole
    if rest:
        yield rest


def records(stream):
    decoder = msgspec.json.Decoder(Envelope)
    for chunk in chunks(stream):
        raw = [bytes(one.record) for one in decoder.decode_lines(chunk) if one.type == "RECORD"]
        if raw:
            yield pa.table({"line": pa.array(raw, pa.binary()).cast(pa.string())})


def into_duckdb(file):
    out = duckdb.connect(file)
    out.execute("set timezone = 'UTC'; begin; create schema trial")
    body = ", ".join(f"{name} {kind.replace('jsonb', 'json')}" for name, kind in TABLE.items())
    out.execute(f"create table trial.orders ({body}, primary key (id)); create temp table incoming ({body})")
    for lines in records(sys.stdin.buffer):
        out.register("lines", lines)
        out.execute(f"insert into incoming select {SELECT} from (select from_json(line, '{SHAPE}') as r from lines)")
    out.execute("insert or replace into trial.orders from incoming; commit")
    out.close()


def into_postgres(url):
    from headwater.connect.destinations.postgres import copy_format

    reader = duckdb.connect()
    reader.execute("set timezone = 'UTC'")
    types = [kind.replace("timestamptz", "timestamp with time zone") for kind in TABLE.values()]
    body = ", ".join(f"{name} {kind}" for name, kind in TABLE.items())
    with psycopg.connect(url) as server, server.cursor() as cursor:
        cursor.execute(f"create table trial.orders ({body}, primary key (id))")
        cursor.execute(f"create temp table incoming ({body}) on commit drop")
        with cursor.copy("copy incoming from stdin (format binary)") as copy:
            copy.write(copy_format.HEADER)
            for lines in records(sys.stdin.buffer):
                reader.register("lines", lines)
                rows = reader.execute(f"select {SELECT} from (select from_json(line, '{SHAPE}') as r from lines)")
                for batch in rows.to_arrow_table().combine_chunks().to_batches():
                    columns = list(zip(batch.columns, types, strict=True))
                    copy.write(bytes(copy_format.rows(columns)))
            copy.write(copy_format.TRAILER)
        settings = ", ".join(f"{name} = excluded.{name}" for name in TABLE if name != "id")
        cursor.execute(
            f"insert into trial.orders select distinct on (id) * from incoming order by id "
            f"on conflict (id) do update set {settings}"
        )


destination = sys.argv[1]
(into_postgres if destination.startswith("postgresql:") else into_duckdb)(destination)

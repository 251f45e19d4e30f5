"""The data as the server holds it: the source of some jobs, and what arrivals are compared with."""

from __future__ import annotations

import subprocess

from loading import data
from loading.arrivals import EVENTS, ORDERS, Fingerprint, in_duckdb, in_postgres, json_lines
from loading.bench import Bench, shell
from loading.servers import Server

MANY = 100
ROWS_OF_MANY = 1000


def fill(server: Server, events: data.Events, orders: data.Orders) -> None:
    """`truth.events` with key `id` and an index on its cursor `at`; `truth.orders` with the leaves; `many.t000`…"""
    server.do(
        "create schema truth",
        "create schema many",
        f"create table truth.events ({data.EVENTS_COLUMNS}, primary key (id))",
        f"create table truth.orders ({data.LEAVES_COLUMNS})",
    )
    for table, path in (("events", events.csv), ("orders", orders.leaves)):
        copy = f"\\copy truth.{table} from '{path}' (format csv, header)"
        subprocess.run(shell(f'{server.psql} -c "{copy}"'), check=True)
    server.do("alter table truth.events alter at set not null", "create index on truth.events (at)")
    for number in range(MANY):
        server.do(
            f"create table many.t{number:03} ({data.EVENTS_COLUMNS}, primary key (id))",
            f"insert into many.t{number:03} select * from truth.events "
            f"where id > {number * ROWS_OF_MANY} and id <= {(number + 1) * ROWS_OF_MANY}",
        )
    server.do("vacuum analyze", "checkpoint")


def events_in_postgres(bench: Bench) -> Fingerprint:
    return in_postgres(bench.server, "truth.events", EVENTS)


def events_in_duckdb(bench: Bench) -> Fingerprint:
    return in_duckdb(f"'{bench.events.parquet}'", EVENTS)


def orders_in_postgres(bench: Bench, orders: data.Orders) -> Fingerprint:
    return in_postgres(bench.server, "truth.orders", ORDERS, where=f"id <= {orders.count}")


def orders_in_duckdb(orders: data.Orders) -> Fingerprint:
    return in_duckdb(json_lines(str(orders.records), data.JSON_LEAVES), ORDERS, data.JSON_LEAVES)

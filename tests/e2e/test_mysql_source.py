"""A shop in MariaDB, read natively into DuckDB: by the log, by a replication key and in full."""

from __future__ import annotations

import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-mysql
    variant: headwater
    config:
      database: shop
      replication_keys: {shop-orders: updated}
    select: [shop-orders.*, shop-customers.*, shop-events.*, shop-types.*, '!shop-customers.email']
    metadata:
      shop-customers: {replication-method: LOG_BASED}
  loaders:
  - name: target-duckdb
    variant: headwater
    config: {default_target_schema: lake}
"""
# A value of each type that is written in a way of its own.
TYPES = {
    "boolean": "true",
    "bit(9)": "257",
    "bit(64)": "18446744073709551615",
    "year": "2024",
    "bigint unsigned": "18446744073709551615",
    "float": "0.1",
    "double": "1/3e0",
    "decimal(9,3)": "-1.250",
    "decimal(38,30)": "0.000000000000000000000000000001",
    "decimal(65,30)": "99999999999999999999999999999999999.5",
    "date": "'2024-02-29'",
    "datetime(3)": "'2024-02-29 10:11:12.125'",
    "timestamp(6) null": "'2024-02-29 10:11:12.000001'",
    "time(2)": "'10:11:12.5'",
    "varchar(20) character set latin1": "'é '",
    "varbinary(20)": "x'00ff'",
    "binary(3)": "'a'",
    "enum('a','b')": "'b'",
    "set('a','b')": "'a,b'",
    "point": "point(0.1, 2)",
    "json": '\'{"b": [1, null], "a": "x"}\'',
}


@pytest.fixture
def shop(logging_mariadb, project):
    server = logging_mariadb
    server.sql("drop database if exists shop")
    server.sql("create database shop character set utf8mb4")
    for statement in (
        "create table customers (id int primary key, name text, email text)",
        "create table orders (id bigint unsigned primary key, total decimal(10,2), paid boolean, updated datetime(6))",
        "create table events (at time, note json, payload varbinary(20))",
        "create table secrets (id int)",
        f"create table types (id int primary key, {', '.join(f'c{n} {kind}' for n, kind in enumerate(TYPES))})",
        f"insert into types values (1, {', '.join(TYPES.values())})",
        f"insert into types (id, {', '.join(f'c{n}' for n in range(len(TYPES)))}) values (2{', null' * len(TYPES)})",
        "insert into customers values (1, 'Ada', 'a@example.com'), (2, null, 'b@example.com'), (3, 'Eve', null)",
        "insert into orders select seq, seq / 4, seq % 2, '2024-01-01' + interval seq second from seq_1_to_1000",
        "insert into events values ('10:00:00', '{\"a\": 1.10}', x'00ff'), ('36:00:00', null, '')",
    ):
        server.sql(statement, "shop")
    hw = project(PROJECT)
    at = {"HOST": server.host, "PORT": server.port, "USER": server.user, "PASSWORD": server.password}
    hw.environ |= {f"TAP_MYSQL_{name}": str(value) for name, value in at.items()}
    return hw


def test_what_changes_at_the_source_changes_in_the_warehouse(shop, logging_mariadb):
    def sql(statement):
        return logging_mariadb.sql(statement, "shop")

    orders = "select count(*), sum(total), max(updated), sum(case when paid then 1 else 0 end)"
    shop.ok("run", "--jobs", "3", "tap-mysql", "target-duckdb")
    customers = 'select id, name, _sdc_deleted_at is null from lake."shop-customers" order by id'
    assert shop.query(customers) == [(1, "Ada", True), (2, None, True), (3, "Eve", True)]
    assert shop.query('select "at", note::varchar, payload from lake."shop-events" order by 1') == [
        ("10:00:00", '{"a": 1.10}', b"\x00\xff"),
        ("36:00:00", None, b""),
    ]
    sql("update customers set name = 'Bob' where id = 2")
    sql("delete from customers where id = 3")
    sql("update orders set total = 99.99, updated = '2024-02-01' where id = 7")
    sql("insert into orders values (18446744073709551615, 0.01, null, '2024-02-02 00:00:00.000001')")
    sql("delete from events where at = '36:00:00'")
    shop.ok("run", "tap-mysql", "target-duckdb")
    assert shop.query(customers) == [(1, "Ada", True), (2, "Bob", True), (3, "Eve", False)]
    assert shop.query('select count(*) from lake."shop-events"') == [(1,)]
    figures = orders.replace("max(updated)", "max(updated)::timestamp::varchar")
    ((count, total, last, paid),) = shop.query(f'{figures} from lake."shop-orders"')
    ((wanted, sum_, _, flags),) = sql(f"{orders} from orders")
    assert (count, total, paid, last) == (wanted, sum_, flags, "2024-02-02 00:00:00.000001")
    for stream in ("shop-orders", "shop-types"):
        shop.ok("verify", "tap-mysql", "target-duckdb", "--stream", stream, "--values")
    refused = shop("run", "tap-mysql", "target-duckdb", TAP_MYSQL_PASSWORD="wrong")
    assert refused.code == 3
    assert "headwater config set tap-mysql password" in refused.err

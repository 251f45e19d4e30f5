"""Rows that go from PostgreSQL to PostgreSQL as they are: what stands there in the end is what stands there when every
value was looked at."""

from __future__ import annotations

import json
import random
import time

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect import encoded
from headwater.connect.contract import Checkpoint, OpenRequest, ReadRequest, Rows, Schema, StartOverError
from headwater.connect.destinations import postgres as destination
from headwater.connect.destinations.staged import StagedSession
from headwater.connect.sources import postgres as source
from headwater.model.catalog import Catalog

NAME = "passed"

# Of each type of a column some values, as SQL; every type may also be null.
VALUES = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "7"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "oid": ["4294967295", "0"],
    "real": ["1.1", "'NaN'", "'-Infinity'", "-0.0"],
    "double precision": ["1e-300", "0.1", "'NaN'", "'Infinity'", "-0.0"],
    "numeric(12, 2)": ["-1.50", "9999999999.99", "0"],
    "numeric(38, 10)": ["1234567890123456789012345678.0123456789", "-0.0000000001"],
    "numeric(3, -2)": ["12300", "-400"],
    "numeric(50, 3)": ["12345678901234567890123456789012345678901234567.125"],
    "text": ["''", "'a\\0b'", r"E'tab\there\nand\\\\back'", "'ü€𝄞'", "'\\N'", r"E'\x01\x7f'", "repeat('long ', 9000)"],
    "varchar(40)": ["'short'", "'  '"],
    "char(5)": ["'ab'", "''"],
    '"char"': ["'x'"],
    "name": ["'a_name'"],
    "citish": ["'DOMAIN'", "'domain '"],
    "money_like": ["12.25", "-0.01"],
    "mood": ["'sad'", "'quite happy'"],
    "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "bytea": [r"'\x'", r"'\x00ff0a5c'"],
    "date": ["'0001-01-01'", "'9999-12-31'", "'1999-12-31'"],
    "time": ["'00:00'", "'23:59:59.999999'"],
    "timestamp": ["'2000-01-01'", "'1969-12-31 23:59:59.999999'"],
    "timestamptz": ["'0001-01-01 00:00+00'", "'9999-12-31 23:59:59.999999+00'", "'2024-03-31 02:30+02'"],
    "interval": ["'1 year -3 days 00:00:01.5'"],
    "timetz": ["'10:00+02'"],
    "inet": ["'10.0.0.1/8'"],
    "int4range": ["'[1,5)'"],
    "point": ["'(1,2)'"],
    "jsonb": ["'null'", '\'{"a": [1, 1.50, "\\\\u00fc"], "b": {}}\'', "'\"text\"'"],
    "integer[]": ["'{}'", "'{1,null,3}'", "'{{1,2},{3,4}}'"],
    "text[]": [r"""'{"a\"b",NULL,""}'"""],
    "timestamptz[]": ["'{infinity,2024-01-01 00:00+00}'"],
    "pair": ["row(1, 'x')::pair", "row(null, null)::pair"],
}
# What has to be looked at: repaired, measured, or refused.
LOOKED_AT = {
    "date": ["'infinity'", "'0044-03-15 BC'"],
    "time": ["'24:00'"],
    "timestamp": ["'-infinity'"],
    "timestamptz": ["'infinity'", "'10000-01-01 00:00+00'"],
    "numeric(12, 2)": ["'NaN'"],
    "json": ['\'{"a": "\\\\u0000"}\'', "'[1, 2]'"],
    "numeric": ["1.5", "123456789012345678901234567890"],
}


class Servers:
    """One database as the source, and a schema of it for each road."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.opened = 0

    def sql(self, statement):
        return self.server.sql(statement, NAME)

    def at(self):
        one = self.server
        return {"host": one.host, "port": one.port, "user": one.user, "password": one.password, "database": NAME}

    def catalog(self, changes=None):
        found = source.discover(source.Settings(**self.at(), filter_schemas=["public"]))
        for one in found.streams:
            top = next(mark.metadata for mark in one.metadata if not mark.breadcrumb)
            top.update(changes or {})
        return Catalog(streams=found.streams)

    def open(self, schema, **settings):
        self.opened += 1
        return destination.open(
            destination.Settings(**self.at(), default_target_schema=schema, **settings),
            OpenRequest(
                pipeline=schema, run_id=f"run-{self.opened}", source="shop", folder=self.folder / str(self.opened)
            ),
        )

    def carry(self, schema, *, may_ask, batch_bytes=8 << 20, changes=None, on_rows=lambda: None, **settings):
        """A run; again without asking when it has to start over. Answers how many rows were passed on as they are."""
        session = self.open(schema, **settings)
        passed, checkpoint = 0, None
        try:
            request = ReadRequest(
                catalog=self.catalog(changes),
                state=session.checkpoint(),
                folder=self.folder,
                batch_bytes=batch_bytes,
                may_start_over=may_ask,
                may_ask=may_ask,
            )
            for message in source.read(source.Settings(**self.at(), filter_schemas=["public"]), request):
                match message:
                    case Schema():
                        session.prepare(message)
                        if message.forms is not None:
                            message.forms.set_result(session.takes(message.stream))
                    case Rows():
                        passed += message.batch.num_rows if encoded.form(message.batch) else 0
                        session.stage(message)
                        on_rows()
                    case Checkpoint():
                        session.boundary()
                        checkpoint = message.state
            receipt = session.commit(checkpoint, final=True)
            assert all(one.rows_in == one.rows_out for one in receipt.streams.values())
        except StartOverError:
            assert may_ask
            session.close()
            return self.carry(schema, may_ask=False, batch_bytes=batch_bytes, changes=changes, **settings)
        finally:
            session.close()
        return passed

    def standing(self, schema):
        """All of a schema: tables, columns, keys, rows, and what the books say of them."""
        found = {}
        for (table,) in self.sql(
            f"select relname from pg_class where relnamespace = '{schema}'::regnamespace and relkind = 'r' order by 1"
        ):
            place = f'"{schema}"."{table}"'
            columns = self.sql(
                "select attname, format_type(atttypid, atttypmod), attnotnull, atthasdef from pg_attribute "
                f"where attrelid = '{place}'::regclass and attnum > 0 order by attnum"
            )
            own = [
                f'"{name}"::text' for name, *_ in columns if name not in ("__loaded_at", "__valid_from", "__valid_to")
            ]
            keys = self.sql(f"select pg_get_constraintdef(oid) from pg_constraint where conrelid = '{place}'::regclass")
            found[table] = (columns, keys, sorted(map(repr, self.sql(f"select {', '.join(own)} from {place}"))))
        books = self.sql(
            "select table_name, source_name, column_name, declared from _headwater.columns "
            f"where schema_name = '{schema}' order by 1, 2"
        )
        ledger = self.sql(
            "select sequence, stream, rows_in, rows_out, rejected, repaired, state_hash from _headwater.ledger "
            f"where pipeline = '{schema}' order by 1, 2"
        )
        state = self.sql(f"select state from _headwater.checkpoint where pipeline = '{schema}'")
        return found, books, ledger, [json.loads(bytes(one)) for (one,) in state]

    def both(self, **given):
        """Both roads; answers how many rows were passed on as they are."""
        self.carry("plain", may_ask=False, **given)
        passed = self.carry("passed", may_ask=True, **given)
        assert self.standing("passed") == self.standing("plain")
        return passed


@pytest.fixture
def servers(postgres, tmp_path):
    postgres.sql(f"drop database if exists {NAME} with (force)")
    postgres.sql(f"create database {NAME}")
    found = Servers(postgres, tmp_path)
    found.sql("create type mood as enum ('sad', 'quite happy')")
    found.sql("create type pair as (a integer, b text)")
    found.sql("create domain citish as text")
    found.sql("create domain money_like as numeric(10, 2)")
    return found


def by_chance(seed):
    return random.Random(seed)  # noqa: S311 - it has to be made again


def fill(servers, table, kinds, rows, chance, *, nulls=0.2):
    """Rows behind those that are there."""
    (first,) = servers.sql(f"select coalesce(max(id), 0) from {table}")[0]
    for number in range(first + 1, first + rows + 1):
        values = [
            "null" if chance.random() < nulls else chance.choice(VALUES.get(kind) or LOOKED_AT[kind]) for kind in kinds
        ]
        servers.sql(f"insert into {table} values ({', '.join([str(number), *values])})")


def made(servers, table, kinds):
    body = ", ".join(f'"c{number} {kind[:9].strip(chr(34))}" {kind}' for number, kind in enumerate(kinds))
    servers.sql(f"create table {table} (id bigint primary key, {body})")


def test_every_type_arrives_as_it_does_when_it_is_looked_at(servers):
    chance = by_chance(1)
    made(servers, "every", list(VALUES))
    fill(servers, "every", list(VALUES), 30, chance)
    for kind in VALUES:
        fill(servers, "every", list(VALUES), 1, chance, nulls=0 if kind == "text" else 0.5)
    assert servers.both() == 30 + len(VALUES)


@pytest.mark.parametrize("seed", range(4))
def test_any_table_with_any_of_the_types_arrives_alike(servers, seed):
    chance = by_chance(seed)
    kinds = chance.choices([*VALUES, *LOOKED_AT], k=6)
    made(servers, "some_table", kinds)
    fill(servers, "some_table", kinds, 40, chance)
    servers.both(batch_bytes=100)
    fill(servers, "some_table", kinds, 5, chance)
    servers.sql("update some_table set id = -id where id < 10")
    servers.both(batch_bytes=100)
    servers.both(load_method="overwrite")


@pytest.mark.parametrize("kind", LOOKED_AT)
def test_what_has_to_be_looked_at_is(servers, kind):
    servers.sql(f"create table odd (id bigint primary key, v {kind})")
    servers.sql("insert into odd select number, null from generate_series(1, 400) number")
    for value in LOOKED_AT[kind]:
        servers.sql(f"insert into odd select max(id) + 1, {value} from odd")
    assert servers.both(batch_bytes=2000) == 0


def moments(servers):
    return servers.sql('select count(*), count(distinct __loaded_at), min(__loaded_at) from passed."public-shop"')[0]


def test_a_new_table_gets_its_rows_in_blocks_and_one_that_stands_each_by_itself(servers, monkeypatch):
    came = []
    stage = StagedSession.stage
    monkeypatch.setattr(
        StagedSession, "stage", lambda self, rows: (came.append(encoded.in_blocks(rows.batch)), stage(self, rows))
    )
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop select n, 'x' from generate_series(1, 500) n")
    ((before,),) = servers.sql("select now()")
    assert servers.carry("passed", may_ask=True, batch_bytes=1000) == 500
    ((after,),) = servers.sql("select now()")
    assert set(came) == {True}
    rows, distinct, moment = moments(servers)
    assert (rows, distinct) == (500, 1)
    assert before <= moment <= after
    came.clear()
    assert servers.carry("passed", may_ask=True, batch_bytes=1000) == 500
    assert set(came) == {False}
    assert moments(servers)[2] > after


def test_when_somebody_else_makes_the_table_meanwhile_its_rows_come_again(servers):
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop select n, 'x' from generate_series(1, 500) n")

    def make():
        servers.sql("create schema if not exists passed")
        servers.sql('create table if not exists passed."public-shop" (id bigint primary key, v text)')

    assert servers.carry("passed", may_ask=True, batch_bytes=1000, on_rows=make) == 0
    assert moments(servers)[:2] == (500, 1)


def test_an_empty_table_is_made_all_the_same(servers):
    made(servers, "nothing", ["text", "jsonb"])
    assert servers.both() == 0
    assert servers.standing("passed")[0]["public-nothing"][2] == []


@pytest.mark.parametrize("method", ["append-only", "upsert", "overwrite", "history"])
def test_all_load_methods_take_them(servers, method):
    made(servers, "shop", ["text", "numeric(12, 2)", "jsonb"])
    kinds = ["text", "numeric(12, 2)", "jsonb"]
    fill(servers, "shop", kinds, 20, by_chance(2))
    assert servers.both(load_method=method) == 20
    fill(servers, "shop", kinds, 5, by_chance(3))
    servers.sql("update shop set \"c0 text\" = 'changed' where id in (1, 2)")
    servers.sql("delete from shop where id = 3")
    assert servers.both(load_method=method) == 24


def test_a_table_without_a_key_is_replaced(servers):
    servers.sql("create table log (line text)")
    servers.sql("insert into log select 'line ' || number from generate_series(1, 50) number")
    assert servers.both() == 50
    servers.sql("delete from log where line like '%1'")
    assert servers.both() == 45


def test_only_what_is_newer_is_passed_on_and_its_bookmark_is_the_same(servers):
    servers.sql("create table orders (id bigint primary key, at timestamptz, amount numeric(9, 2), day date)")
    servers.sql(
        "insert into orders select n, timestamptz '2024-01-01' + n * interval '1 second', n / 4.0, '2024-01-01' "
        "from generate_series(1, 300) n"
    )
    by = {"replication-method": "INCREMENTAL", "replication-key": "at"}
    assert servers.both(changes=by, batch_bytes=1000) == 300
    servers.sql("update orders set at = timestamptz '2025-06-01' + id * interval '1 microsecond' where id % 7 = 0")
    assert servers.both(changes=by, batch_bytes=1000) == 42 + 1  # the newest of before comes again
    for key in ("amount", "day", "id"):
        servers.both(changes={**by, "replication-key": key})


def test_a_column_that_grew_is_widened_and_taken(servers):
    servers.sql("create table shop (id bigint primary key, v integer, w numeric(6, 2))")
    servers.sql("insert into shop values (1, 1, 1.5), (2, null, null)")
    assert servers.both() == 2
    servers.sql("alter table shop alter v type text using 'number ' || v, alter w type numeric(12, 4), add x date")
    servers.sql("insert into shop values (3, 'three', 12345678.1234, '2024-01-01')")
    assert servers.both() == 3


def test_a_table_of_other_types_gets_rows_that_are_looked_at(servers):
    servers.sql("create table shop (id bigint primary key, doc jsonb, word text)")
    servers.sql("""insert into shop values (1, '{"a": 1}', 'one')""")
    for schema in ("plain", "passed"):
        servers.sql(
            f'create schema {schema}; create table {schema}."public-shop" (id bigint primary key, doc json, word text)'
        )
    assert servers.both() == 0


def test_keys_that_are_too_long_for_an_index_get_their_hash(servers):
    servers.sql("create table shop (word text primary key)")
    servers.sql("insert into shop values ('short'), (repeat('a', 5000))")
    assert servers.both() == 0


def test_rows_that_the_table_refuses_are_named_as_ever(servers):
    servers.sql("create table shop (id bigint primary key, v integer)")
    servers.sql("insert into shop values (1, 1), (2, -2)")
    servers.sql(
        'create schema passed; create table passed."public-shop" (id bigint primary key, v bigint check (v > 0))'
    )
    with pytest.raises(HeadwaterError) as caught:
        servers.carry("passed", may_ask=True)
    assert caught.value.reference == "value-rejected"
    assert "id=2" in (caught.value.why or "")
    assert servers.sql('select * from passed."public-shop"') == []


def test_two_rows_of_one_key_end_as_one(servers):
    servers.sql("create table parent (id bigint primary key, v text)")
    servers.sql("create table child () inherits (parent)")
    servers.sql("insert into parent values (1, 'old'); insert into child values (1, 'new')")
    servers.both(changes={"selected": True})


def test_rows_are_seen_only_when_all_are_there(servers):
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop select n, repeat('x', 100) from generate_series(1, 2000) n")

    def end():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        servers.carry("passed", may_ask=True, batch_bytes=1000, on_rows=end)
    assert servers.sql("select 1 from pg_namespace where nspname = 'passed'") == []


def test_a_lost_session_is_made_good_from_the_rows_that_wait(servers):
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop select n, 'x' from generate_series(1, 500) n")
    lost = []

    def lose():
        if not lost:
            lost.append(True)
            servers.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater passed%'"
            )

    assert servers.carry("passed", may_ask=True, batch_bytes=1000, on_rows=lose) == 500
    assert servers.sql('select count(*), count(distinct id) from passed."public-shop"') == [(500, 500)]


def test_a_source_that_ends_the_session_ends_the_read(servers):
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop select n, repeat('x', 1000) from generate_series(1, 50000) n")

    def end():
        servers.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater: reading%'"
        )

    with pytest.raises(HeadwaterError) as caught:
        servers.carry("passed", may_ask=True, batch_bytes=1000, on_rows=end)
    assert caught.value.reference == "connection-lost"
    assert servers.sql("select 1 from pg_namespace where nspname = 'passed'") == []


def test_a_read_that_is_to_stop_ends_its_query(servers):
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop select n, repeat('x', 1000) from generate_series(1, 50000) n")
    asked = iter(range(10_000))
    request = ReadRequest(
        catalog=servers.catalog(),
        state=None,
        folder=servers.folder,
        batch_bytes=1000,
        may_start_over=True,
        may_ask=True,
        should_stop=lambda: next(asked) > 10,
    )
    rows = 0
    for message in source.read(source.Settings(**servers.at(), filter_schemas=["public"]), request):
        if isinstance(message, Schema) and message.forms is not None:
            message.forms.set_result(frozenset([encoded.POSTGRES_COPY]))
        rows += message.batch.num_rows if isinstance(message, Rows) else 0
    assert 0 < rows < 50_000
    # A server is some moments longer at it than its client.
    still_there = "select 1 from pg_stat_activity where application_name like 'headwater: reading%'"
    until = time.monotonic() + 60
    while servers.sql(still_there) and time.monotonic() < until:
        time.sleep(0.02)
    assert servers.sql(still_there) == []


def test_a_destination_that_takes_fewer_rows_than_came_fails_the_run(servers):
    servers.sql("create table shop (id bigint primary key, v text)")
    servers.sql("insert into shop values (1, 'a'), (2, 'b')")
    servers.sql('create schema passed; create table passed."public-shop" (id bigint primary key, v text)')
    servers.sql("create function passed.drop_some() returns trigger language plpgsql as 'begin return null; end'")
    servers.sql(
        'create trigger dropping before insert on passed."public-shop" for each row when (new.id = 2) '
        "execute function passed.drop_some()"
    )
    with pytest.raises(HeadwaterError) as caught:
        servers.carry("passed", may_ask=True)
    assert caught.value.reference == "count-mismatch"
    assert servers.sql('select * from passed."public-shop"') == []

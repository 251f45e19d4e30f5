"""What a side asks, and what keeps two rows apart."""

from __future__ import annotations

import duckdb
import pytest

from headwater.connect.destinations.duckdb.digest import WORDS
from headwater.connect.digest import Column, Item, Part, Range, Relation, SqlSide

ID = Item("id", Column(sql='t."id"', kind="int64", type="BIGINT"), False)
NAME = Item("name", Column(sql='t."name"', kind="string", type="VARCHAR"), True)
PEOPLE = Relation(place="people", sql="people as t", columns={}, where="t.name is distinct from 'gone'")


def side(ask, *, indexed=True, keys=(ID,)):
    return SqlSide(ask, WORDS, PEOPLE, [ID, NAME], keys, indexed=indexed)


def test_parts_are_asked_by_ranges_of_the_key():
    asked = []
    side(lambda query: asked.append(query) or []).parts([Range(1, 9), Range(20, 20)], 1, 10)
    name = """(t."name")::varchar"""
    row = f"""concat_ws('|', coalesce((t."id")::varchar, '~'), coalesce(strlen({name}) || ':' || {name}, '~'))"""
    query = (
        "select ((position)::bigint - (1)::bigint) // 10 as part, count(*), sum(checksum) from "
        f"""(select t."id" as position, ('0x' || substr(md5({row}), 1, 15))::bigint as checksum from people as t """
        "where t.name is distinct from 'gone') as q where position between 1 and 9 or position = 20 group by 1"
    )
    assert asked == [query]


def people(*rows):
    connection = duckdb.connect()
    connection.execute("create table people (id bigint, name varchar)")
    connection.executemany("insert into people values (?, ?)", rows)
    return lambda query: connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, None), (1, "")),
        ((1, "a"), (1, "a ")),
        ((1, "a"), (1, "A")),
        ((1, "~"), (1, None)),
        ((1, "é"), (1, "e\u0301")),
    ],
)
def test_rows_that_databases_take_for_equal_are_not(one, other):
    digests = [side(people(row)).rows([Range(0, 9)])[0].digest for row in (one, other)]
    assert digests[0] != digests[1]


def test_no_text_can_pass_for_two_columns():
    texts = [("a|1:b", "c"), ("a", "b|1:c"), ("a|1:b|1:c", None), (None, "1:c")]
    a = Item("a", Column(sql="t.a", kind="string", type="VARCHAR"), True)
    b = Item("b", Column(sql="t.b", kind="string", type="VARCHAR"), True)
    connection = duckdb.connect()
    connection.execute("create table pairs (a varchar, b varchar)")
    connection.executemany("insert into pairs values (?, ?)", texts)
    relation = Relation(place="", sql="pairs as t", columns={})
    both = SqlSide(lambda query: connection.execute(query).fetchall(), WORDS, relation, [a, b], [], indexed=False)
    assert len({row.digest for row in both.rows([])}) == len(texts)


def test_rows_that_do_not_count_are_not_counted():
    asked = side(people((1, "a"), (2, "gone"), (3, "b")))
    bounds = asked.bounds()
    assert (bounds.rows, bounds.low, bounds.high) == (2, 1, 3)
    assert asked.parts([], 1, 100)[0].rows == 2


def test_a_table_without_a_key_is_spread_by_its_rows():
    hashed = side(people((1, "a"), (1, "a"), (2, "b")), indexed=False, keys=())
    assert sorted(row.count for row in hashed.rows([])) == [1, 2]
    assert sum(part.rows for part in hashed.parts([], 0, 1 << 50).values()) == 3


def test_more_columns_than_a_function_takes_are_joined_in_turn():
    many = [Item(str(number), Column(sql="t.id", kind="int64", type="BIGINT"), False) for number in range(130)]
    wide = SqlSide(people((1, "a")), WORDS, PEOPLE, many, [ID], indexed=True)
    assert wide.parts([], 0, 10) == {0: Part(1, wide.parts([], 0, 10)[0].checksum)}
    assert wide._joined(many).count("concat_ws") == 3

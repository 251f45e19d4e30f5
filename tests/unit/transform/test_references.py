import pytest

from headwater.base.errors import InputError
from headwater.transform.references import read


def tables(sql: str) -> list[str]:
    return [table.words for table in read(sql, "models/m.sql").tables]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from orders", ["orders"]),
        ("from orders", ["orders"]),
        ("select * from shop.orders as o join customers c using (id)", ["shop.orders", "customers"]),
        ("select o.items.id from orders o where id in (select id from refunds)", ["orders", "refunds"]),
        ("with o as (select * from orders) select * from o", ["orders"]),
        ("with orders as (select * from orders) select * from orders", ["orders"]),
        ("with a as (from x), b as (from a) from b join c using (id)", ["x", "c"]),
        ("with recursive r as (select 1 union all select * from r) select * from r", []),
        ("select * from (with o as (from x) from o) join o using (id)", ["x", "o"]),
        ("select 1 from ORDERS union all by name from orders", ["ORDERS"]),
        ("pivot orders on day using sum(amount)", ["orders"]),
        ("select * from orders, unnest(orders.items) u, lateral (from x)", ["orders", "x"]),
        ("select * from a asof join b using (t) semi join c using (t) positional join d", ["a", "b", "c", "d"]),
        ('select * from "my db"."Odd Schema"."T"', ["my db.Odd Schema.T"]),
        ("-- from nowhere\nselect 'from nowhere' /* from nowhere */", []),
    ],
)
def test_tables_are_found_in_the_text(sql, expected):
    assert tables(sql) == expected


def test_a_table_knows_its_line():
    reads = read("-- sales\nselect *\nfrom shop.orders o\njoin customers c using (id)", "m.sql")
    assert [(table.words, table.line) for table in reads.tables] == [("shop.orders", 3), ("customers", 4)]


@pytest.mark.parametrize(
    "sql",
    [
        "select now()",
        "select * from orders where day = current_date",
        "select random() from orders",
        "select * from read_csv('orders.csv')",
        "from 'orders.parquet'",
        "select * from orders tablesample 10%",
    ],
)
def test_what_no_table_shows_makes_a_model_unsteady(sql):
    assert read(sql, "m.sql").unsteady


@pytest.mark.parametrize(
    "sql", ["select * from range(10)", "select date '2013-01-01', sum(x) from t", "from unnest([1])"]
)
def test_everything_else_is_steady(sql):
    assert not read(sql, "m.sql").unsteady


def test_bad_sql_is_refused_in_the_words_of_duckdb_with_its_line():
    with pytest.raises(InputError) as caught:
        read("select *\nfrom orders\nwhere (id = 1", "models/m.sql")
    error = caught.value
    assert (error.reference, str(error.where)) == ("bad-sql", "models/m.sql:3")
    assert error.why == 'Parser Error: syntax error at or near "1"'


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("", "`m.sql` must hold one SELECT, it holds nothing"),
        ("select 1; select 2", "`m.sql` must hold one SELECT, it holds 2 statements"),
        ("create table x as select 1", "`m.sql` must hold one SELECT, it holds a `CREATE`"),
        ("drop table x", "`m.sql` must hold one SELECT, it holds a `DROP`"),
    ],
)
def test_a_model_is_one_select(sql, what):
    with pytest.raises(InputError) as caught:
        read(sql, "m.sql")
    assert (caught.value.reference, caught.value.what) == ("not-a-select", what)

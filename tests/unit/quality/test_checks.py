import pytest

from headwater.quality.checks import count, failing_rows
from headwater.quality.read import read_checks

ORDERS = "models:\n  - name: orders\n    columns:\n      - name: id\n        checks:\n          - {}\n"
TABLE = "models:\n  - name: orders\n    checks:\n      - {}\n"


@pytest.mark.parametrize(
    ("text", "written", "name", "sql"),
    [
        (ORDERS, "not_null", "analytics.orders.id.not_null", 'select * from "analytics"."orders" where "id" is null'),
        (
            ORDERS,
            "unique",
            "analytics.orders.id.unique",
            (
                'select "id", count(*) as "rows" from "analytics"."orders" where "id" is not null '
                'group by "id" having count(*) > 1'
            ),
        ),
        (
            TABLE,
            "unique: [day, 'Odd \"name']",
            'analytics.orders.day+Odd "name.unique',
            (
                'select "day", "Odd ""name", count(*) as "rows" from "analytics"."orders" '
                'where "day" is not null and "Odd ""name" is not null group by "day", "Odd ""name" having count(*) > 1'
            ),
        ),
        (
            ORDERS,
            'accepted_values: [open, "it\'s", 3, true]',
            "analytics.orders.id.accepted_values",
            """select * from "analytics"."orders" where "id" not in ('open', 'it''s', 3, true)""",
        ),
        (
            ORDERS,
            "range: {min: 0, max: 1.5}",
            "analytics.orders.id.range",
            'select * from "analytics"."orders" where "id" < 0 or "id" > 1.5',
        ),
        (
            ORDERS,
            "range: {min: 2013-01-01}",
            "analytics.orders.id.range",
            """select * from "analytics"."orders" where "id" < '2013-01-01'""",
        ),
        (
            ORDERS,
            "relationship: {to: customers, field: number}",
            "analytics.orders.id.relationship",
            (
                'select child.* from "analytics"."orders" as child where child."id" is not null and not exists '
                '(select 1 from "analytics"."customers" as parent where parent."number" = child."id")'
            ),
        ),
        (
            ORDERS,
            "relationship: {to: tap_shop.customers, field: number, name: known}",
            "known",
            (
                'select child.* from "analytics"."orders" as child where child."id" is not null and not exists '
                '(select 1 from "tap_shop"."customers" as parent where parent."number" = child."id")'
            ),
        ),
        (
            TABLE,
            "row_count: {min: 1, max: 10}",
            "analytics.orders.row_count",
            (
                'select * from (select count(*) as "rows" from "analytics"."orders") as counted '
                'where "rows" < 1 or "rows" > 10'
            ),
        ),
        (
            TABLE,
            "sql: {name: no gap, query: 'select * from orders where gap -- why;'}",
            "no gap",
            "select * from (\nselect * from orders where gap -- why\n) as found",
        ),
    ],
)
def test_every_check_is_one_select_of_the_rows_that_break_it(tmp_path, text, written, name, sql):
    (tmp_path / "models.yml").write_text(text.format(written))
    (check,) = read_checks(tmp_path, "analytics")
    assert (check.name, failing_rows(check)) == (name, sql)


def test_rows_are_counted_around_it(tmp_path):
    (tmp_path / "models.yml").write_text(TABLE.format("unique: [id]"))
    (check,) = read_checks(tmp_path, "analytics")
    assert count(check) == (
        'select coalesce(sum("rows"), 0)::bigint from (select "id", count(*) as "rows" from "analytics"."orders" '
        'where "id" is not null group by "id" having count(*) > 1) as failing'
    )

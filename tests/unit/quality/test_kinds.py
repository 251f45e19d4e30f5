"""Conditions, ages and samples of rows, in both warehouses."""

from textwrap import dedent, indent
from types import SimpleNamespace

import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect import registry
from headwater.connect.destinations.postgres.settings import Settings as PostgresSettings
from headwater.model.event import Checked
from headwater.quality.check import run_checks
from headwater.quality.history import Past, Seen
from headwater.quality.read import read_checks
from headwater.run.cancel import Cancel

TABLES = """
create schema shop;
create table shop.shops (id int, email text);
insert into shop.shops values (1, 'a@x.org');
create table shop.orders (id int, mail text, shop int, amount int, state text, day date, seen timestamp, note text);
insert into shop.orders values
  (1, 'ann@x.org', 1, 10, 'open', '2020-01-01', '2020-01-01 10:00', 'a'),
  (2, 'bob@x.org', 2, -5, 'open', '2020-01-02', null, 'b'),
  (3, 'cem@x.org', 3, -7, 'void', '2020-01-03', null, 'b'),
  (4, null, 1, -9, 'open', null, null, 'ann@x.org');
create table shop.counts (place int, "rows" int);
insert into shop.counts values (1, 7), (1, 7), (2, 7);
create table shop.fresh as select current_timestamp as at, cast(current_timestamp as varchar(40)) as said;
"""


class Site:
    def __init__(self, root, warehouse) -> None:
        self._root = root
        self.warehouse = warehouse

    def ask(self, checks: str, table: str = "orders", past: Past | None = None) -> list[Checked]:
        """The events of the `columns` and `checks` of a table, whether they pass or not."""
        text = f"sources:\n- name: shop\n  tables:\n  - name: {table}\n{indent(dedent(checks), '    ')}"
        (self._root / "models.yml").write_text(text)
        self.events: list = []
        self.error = None
        with self.warehouse.writing("analytics") as session:
            found = read_checks(self._root, "analytics")
            try:
                run_checks(session, found, step="models:check", emit=self.events.append, cancel=Cancel(), past=past)
            except RunFailedError as error:
                self.error = error
        return self.events


@pytest.fixture(params=["duckdb", "postgres"])
def site(request, tmp_path):
    settings: object = SimpleNamespace(filepath=str(tmp_path / "warehouse.duckdb"))
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres")
        postgres.sql("drop database if exists for_checks")
        postgres.sql("create database for_checks")
        settings = PostgresSettings(
            host=postgres.host,
            port=postgres.port,
            user=postgres.user,
            password=postgres.password,
            database="for_checks",
        )
    warehouse = registry.warehouse(request.param).open(
        settings, who="test", plugin="target", on_wait=lambda _holder: None
    )
    with warehouse.writing("public") as session:
        for statement in TABLES.split(";\n"):
            if statement.strip():
                session.run(statement)
    (tmp_path / "models").mkdir()
    yield Site(tmp_path / "models", warehouse)
    warehouse.close()


def test_where_leaves_rows_out_of_every_kind_that_looks_at_rows(site):
    events = site.ask("""
        columns:
        - name: mail
          checks:
          - not_null: {where: "id < 4 -- the others are old"}
        - name: note
          checks:
          - unique: {where: id <> 3}
        - name: amount
          checks:
          - range: {min: 0, where: state = 'open'}
        - name: state
          checks:
          - accepted_values: {values: [open], where: id = 3}
        - name: shop
          checks:
          - relationship: {to: shop.shops, field: id, where: state = 'open'}
        - name: day
          checks:
          - freshness: {max_age: 30000 days, where: id < 3}
        checks:
        - row_count: {max: 1, where: state = 'void'}
        """)
    assert [(event.check.split(".")[-1], event.failing) for event in events] == [
        ("not_null", 0),
        ("unique", 0),
        ("range", 2),
        ("accepted_values", 1),
        ("relationship", 1),
        ("freshness", 0),
        ("row_count", 0),
    ]


def test_the_newest_value_may_be_so_old(site):
    fresh = site.ask(
        "columns: [{name: at, checks: [freshness: 1h]}, {name: said, checks: [freshness: 9 minutes]}]", "fresh"
    )
    assert [event.failing for event in fresh] == [0, 0]
    stale = site.ask("columns: [{name: day, checks: [freshness: 24 hours]}, {name: seen, checks: [freshness: 2w]}]")
    assert [event.message for event in stale] == [
        "the newest `day` of shop.orders is older than 24 hours (newest=2020-01-03)",
        "the newest `seen` of shop.orders is older than 2w (newest=2020-01-01 10:00:00)",
    ]
    (nothing,) = site.ask("columns: [{name: seen, checks: [freshness: {max_age: 1d, where: id = 2}]}]")
    assert (nothing.failing, nothing.sample) == (1, ({"newest": None},))


def test_rows_are_named_by_their_key_and_by_nothing_else(site):
    _, amounts, query = site.ask("""
        columns: [{name: id, checks: [unique]}, {name: amount, checks: [range: {min: 0}]}]
        checks: [sql: {name: odd, query: "select note, id from shop.orders where note = 'b';"}]
        """)
    assert amounts.sample == ({"id": "2"}, {"id": "3"}, {"id": "4"})
    assert amounts.message == "3 rows of shop.orders with `amount` below 0 (id=2; id=3; id=4)"
    assert query.message == "2 rows found by its query (id=2; id=3)"
    assert "(id=2; id=3; id=4) (models/models.yml:" in site.error.why


def test_without_a_key_no_row_is_kept(site):
    (event,) = site.ask("columns: [{name: amount, checks: [range: {min: 0}]}]")
    assert (event.failing, event.sample) == (3, ())


@pytest.mark.parametrize(
    ("columns", "sample"),
    [
        # By the name of the column, by its value, and as somebody says.
        ("{name: mail, checks: [not_null]}, {name: id, checks: [unique: {severity: warn}]}", ({"id": "4"},)),
        ("{name: mail, checks: [unique, not_null]}", ()),
        ("{name: mail, pii: false, checks: [unique, not_null]}", ({"mail": None},)),
        ("{name: note, pii: true, checks: [unique]}", ({"note": "(redacted)", "rows": "2"},)),
        (
            "{name: note, checks: [{unique: {severity: warn}}]}, {name: day, checks: [not_null]}",
            ({"note": "(redacted)"},),
        ),
    ],
)
def test_personal_values_are_not_kept(site, columns, sample):
    events = site.ask(f"columns: [{columns}]")
    assert [event.sample for event in events if event.sample][-1:] == ([sample] if sample else [])


def test_a_condition_on_a_missing_column_names_the_check(site):
    with pytest.raises(InputError) as caught:
        site.ask("columns: [{name: id, checks: [not_null: {where: nope = 1}]}]")
    error = caught.value
    assert (error.reference, error.what) == ("bad-check", "the check `shop.orders.id.not_null` can't be asked")
    assert "nope" in error.why
    assert str(error.where) == "models/models.yml:5"


def test_a_loaded_table_has_the_keys_that_it_was_loaded_by(site):
    with site.warehouse.writing("public") as session:
        session.make_books()
        keys = "array['id', 'mail']" if site.warehouse.dialect == "postgres" else "['id', 'mail']"
        session.run(f"insert into _headwater.tables values ('shop', 'Orders', 'orders', {keys})")
    (event,) = site.ask("columns: [{name: amount, checks: [range: {min: -8}]}]")
    assert event.sample == ({"id": "4", "mail": "(redacted)"},)


def test_rows_that_can_not_be_named_are_wrong_all_the_same(site):
    _, event = site.ask("""
        columns: [{name: id, checks: [unique]}]
        checks: [sql: {name: twice, query: "select a.id, b.id from shop.orders a join shop.orders b on a.id = b.id"}]
        """)
    assert (event.outcome, event.failing) == ("failed", 4)


def test_a_column_may_be_called_rows(site):
    both, one = site.ask("columns: [{name: rows, checks: [unique]}]\nchecks: [unique: [place, rows]]", "counts")[::-1]
    assert (one.failing, one.sample) == (3, ({"rows": "7", "number of rows": "3"},))
    assert (both.failing, both.sample) == (2, ({"place": "1", "rows": "7", "number of rows": "2"},))


def test_more_than_three_rows_are_cut_short(site):
    _, event = site.ask("columns: [{name: id, checks: [unique]}, {name: shop, checks: [range: {min: 9}]}]")
    assert event.message == "4 rows of shop.orders with `shop` below 9 (id=1; id=2; id=3 …)"


def test_rows_and_columns_are_compared_with_former_runs_in_both_warehouses(site):
    checks = "checks: [schema_drift, row_count_change: {min: 0%, where: id > 1}]"
    columns, rows = site.ask(checks, "shops", past=Past())
    assert (rows.observed, columns.outcome, rows.outcome) == ("0", "success", "success")
    past = Past(seen={event.check: [Seen("2026", event.observed)] for event in (columns, rows)})
    assert [event.outcome for event in site.ask(checks, "shops", past=past)] == ["success", "success"]

    with site.warehouse.writing("public") as session:
        session.run("alter table shop.shops drop column email")
    past = Past(seen={columns.check: [Seen("2026", columns.observed)], rows.check: [Seen("2026", "4")]})
    assert [event.message for event in site.ask(checks, "shops", past=past)] == [
        "columns of shop.shops: `email` is gone",
        "shop.shops has 0 rows, had 4 (-100.0%); expected at least 4",
    ]

from pathlib import Path
from textwrap import dedent

import pytest

from headwater.base.errors import InputError
from headwater.quality.read import read_checks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    return made


def refused(folder: Path, text: str) -> InputError:
    (folder / "models.yml").write_text(dedent(text).lstrip())
    with pytest.raises(InputError) as caught:
        read_checks(folder, "analytics")
    return caught.value


def test_models_and_source_tables_have_checks_in_the_order_of_the_file(folder):
    (folder / "models.yml").write_text(
        dedent("""
        version: 2
        models:
          - name: orders_by_day
            description: One row a day
            materialized: view
            columns:
              - name: day
                checks: [not_null, {unique: {severity: warn}}]
            checks:
              - row_count: {min: 1}
        sources:
          - name: tap_shop
            tables:
              - name: orders
                columns:
                  - name: id
                    checks: [unique]
        """)
    )
    found = [(check.name, check.severity, str(check.where)) for check in read_checks(folder, "analytics")]
    assert found == [
        ("analytics.orders_by_day.day.not_null", "error", "models/models.yml:9"),
        ("analytics.orders_by_day.day.unique", "warn", "models/models.yml:9"),
        ("analytics.orders_by_day.row_count", "error", "models/models.yml:11"),
        ("tap_shop.orders.id.unique", "error", "models/models.yml:18"),
    ]


def test_no_files_are_no_checks(folder):
    (folder / "empty.yml").write_text("# nothing yet\n")
    assert read_checks(folder, "analytics") == ()


COLUMN = """
    models:
      - name: orders
        columns:
          - name: id
            checks:
              - {}
    """
SOURCE = """
    sources:
      - name: shop
        tables:
          - name: orders
            checks:
              - {}
    """
TABLE = """
    models:
      - name: orders
        checks:
          - {}
    """


@pytest.mark.parametrize(
    ("text", "written", "line", "what", "hint"),
    [
        (COLUMN, "notnull", 6, "there is no check `notnull`", "did you mean `not_null`?"),
        (COLUMN, "odd", 6, "there is no check `odd`", "write anything else as `sql: select …`"),
        (COLUMN, "range: {mini: 0}", 6, "unknown key `mini`", "did you mean `min`?"),
        (COLUMN, "range: {}", 6, "`range` needs `min`, `max` or both", "range: {min: 1}"),
        (COLUMN, "row_count: {min: 1}", 6, "`row_count` checks a table, not a column", None),
        (COLUMN, "not_null: {severity: wran}", 6, "`severity` is one of `error`, `warn`, not `wran`", None),
        (
            COLUMN,
            "relationship: {to: customers}",
            6,
            "`relationship` needs `to` and `field`",
            "relationship: {to: customers, field: id}",
        ),
        (
            COLUMN,
            "accepted_values: open",
            6,
            "`accepted_values` needs a list of values",
            "accepted_values: [open, closed]",
        ),
        (COLUMN, "freshness: soon", 6, "`freshness` needs how old the newest value may be", "freshness: 24 hours"),
        (COLUMN, "not_null: {where: true}", 6, "`where` is a condition in SQL", "where: state = 'open'"),
        (TABLE, "row_count_change: 20", 4, "`20` is no percentage", "within: 20%"),
        (
            TABLE,
            "row_count_change: {within: 20%, max: 5%}",
            4,
            "`row_count_change` takes one percentage, or `min` and `max`",
            "row_count_change: 20%",
        ),
        (
            TABLE,
            "schema_drift: {since: yesterday}",
            4,
            "`yesterday` is no date or moment",
            "since: 2026-01-31, or since: 2026-01-31T12:00Z",
        ),
        (
            TABLE,
            "schema_drift: {columns: 3}",
            4,
            "`columns` are names with their types, or a list of names",
            "columns: {id: bigint, name: }",
        ),
        (
            TABLE,
            "schema_drift: {where: id > 3}",
            4,
            "`schema_drift` takes no `where`: it does not look at single rows",
            None,
        ),
        (
            TABLE,
            "volume_anomaly",
            4,
            "`volume_anomaly` judges loads: it stands below a table of `sources`",
            "row_count_change: 20%",
        ),
        (
            SOURCE,
            "volume_anomaly: {least: 2}",
            6,
            "`least` must be 3 or more, and `runs` no less than `least` and 1000 at most",
            None,
        ),
        (
            SOURCE,
            "freshness_anomaly: {tolerance: wide}",
            6,
            "`tolerance` is a number above 0, not `wide`",
            "tolerance: 3.5",
        ),
        (COLUMN, "unique: [id, day]", 6, "`unique` below a column takes no columns of its own", None),
        (COLUMN, "[not_null]", 6, "a check is a word or a mapping of one key", "`- not_null` or `- range: {min: 0}`"),
        (TABLE, "unique", 4, "`unique` of a table needs its columns", "unique: [first, second]"),
        (TABLE, "not_null", 4, "`not_null` checks a column, not a table", None),
        (TABLE, "sql:", 4, "`sql` needs a query that finds the rows that are wrong", "sql: select …"),
    ],
)
def test_what_is_written_wrong_is_refused_with_its_line(folder, text, written, line, what, hint):
    error = refused(folder, text.replace("{}", written))
    assert (str(error.where), error.what, error.hint) == (f"models/models.yml:{line}", what, hint)


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("models:\n  - name: a\n    check: []\n", 3, "unknown key `check`", "did you mean `checks`?"),
        ("models:\n  - name: a\n    tests: []\n", 3, "unknown key `tests`", "did you mean `checks`?"),
        ("models:\n  - description: a\n", 2, "`name` is missing here", None),
        ("models:\n  - name: 7\n", 2, "`7` is no name: quote it", None),
        ("models:\n  - a\n", 2, "a mapping is expected here", None),
        ("sources:\n  - name: a\n    tables: b\n", 3, "`tables` must be a list", None),
        ("- a\n", 1, "a mapping is expected here", None),
    ],
)
def test_a_wrong_shape_is_refused_with_its_line(folder, text, line, what, hint):
    error = refused(folder, text)
    assert (str(error.where), error.what, error.hint) == (f"models/models.yml:{line}", what, hint)


def test_the_same_check_twice_is_refused(folder):
    error = refused(folder, "models:\n  - name: a\n    columns:\n      - name: b\n        checks: [unique, unique]\n")
    assert error.what == "two checks are called `analytics.a.b.unique`"

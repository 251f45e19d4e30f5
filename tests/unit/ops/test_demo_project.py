from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from msgspec.structs import replace

from headwater.connect.destinations.duckdb.warehouse import DuckDBSession, DuckDBWarehouse
from headwater.ops import demo_project
from headwater.ops.demo_project.answer import Carrier, carriers, conclusion
from headwater.quality.check import run_checks
from headwater.quality.read import read_checks
from headwater.run.cancel import Cancel
from headwater.store import project_file
from headwater.transform.build import Target, build
from headwater.transform.models import plan_models
from headwater.transform.python_run import Place

# Three carriers: one is slow in all weather, one only in bad weather, one flew once and never arrived.
DATA = """
create schema tap_nycflights13;
set schema = tap_nycflights13;
create table airlines as from (values ('AA', 'American'), ('UA', 'United'), ('B6', 'JetBlue')) t(carrier, name);
create table airports as from (values ('IAH', 'Houston')) t(faa, name);
create table planes as from (values ('N1', 'BOEING', 1999)) t(tailnum, manufacturer, year);
create table weather as
  select 'JFK' as origin, hour::timestamptz as time_hour, 50.0 as temp, precip, 10.0 as visib, wind as wind_speed
  from (values ('2013-11-03 05:00Z', 0.0, 5.0), ('2013-11-03 06:00Z', 0.0, 1048.4), ('2013-11-03 07:00Z', 0.3, 5.0))
    t(hour, precip, wind);
create table flights as
  select 2013 as year, 11 as month, 3 as day, carrier, row_number() over () as flight, 'N1' as tailnum,
    'JFK' as origin, dest, 100 as distance, delay as dep_delay, delay as arr_delay, hour::timestamptz as time_hour
  from (values
    ('AA', 'IAH', 30, '2013-11-03 05:00Z'),
    ('AA', 'IAH', 40, '2013-11-03 06:00Z'),
    ('AA', 'SJU', 32, '2013-11-03 07:00Z'),
    ('UA', 'IAH', -9, '2013-11-03 05:00Z'),
    ('UA', 'IAH', 1, '2013-11-03 06:00Z'),
    ('UA', 'SJU', 60, '2013-11-03 07:00Z'),
    ('B6', 'IAH', null, '2013-11-03 09:00Z')
  ) t(carrier, dest, delay, hour);
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in demo_project.files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def warehouse(project: Path) -> duckdb.DuckDBPyConnection:
    """The demo's models on a handful of flights."""
    file = str(project / "warehouse.duckdb")
    with duckdb.connect(file) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(DATA)
    models = plan_models(project / "models")
    with closing(DuckDBWarehouse(Path(file), who="test", on_wait=lambda _holder: None)) as place:
        target = Target(warehouse=place, schema="analytics", python=Place(root=project, venv=None, env={}))
        build(models, target, step="models:build", emit=lambda _event: None, cancel=Cancel())
    return duckdb.connect(file)


def test_the_project_file_is_one(project):
    loaded = project_file.load(project)
    assert [(plugin.kind.value, plugin.name) for plugin in loaded.plugins] == [
        ("extractor", "tap-nycflights13"),
        ("loader", "target-duckdb"),
        ("transformer", "models"),
    ]
    assert [job.tasks for job in loaded.jobs] == [(("tap-nycflights13", "target-duckdb"), ("models",))]


def test_the_models_need_each_other_in_this_order(project):
    assert [(model.name, model.materialized) for model in plan_models(project / "models")] == [
        ("weather_hours", "view"),
        ("flights_enriched", "table"),
        ("delays_by_carrier", "table"),
        ("weather_effect", "table"),
    ]


def test_a_flight_has_its_weather_once_also_when_the_clock_goes_back(warehouse):
    rows = warehouse.execute(
        "select carrier, weather, bad_weather, arrived, minutes_lost, dest_name "
        "from analytics.flights_enriched order by flight"
    ).fetchall()
    assert rows == [
        ("AA", "clear", False, True, 30, "Houston"),
        ("AA", "clear", False, True, 40, "Houston"),
        ("AA", "rain or snow", True, True, 32, None),
        ("UA", "clear", False, True, 0, "Houston"),
        ("UA", "clear", False, True, 1, "Houston"),
        ("UA", "rain or snow", True, True, 60, None),
        ("B6", "unknown", None, False, None, "Houston"),
    ]


def test_an_impossible_wind_is_not_known(warehouse):
    assert warehouse.execute("select max(wind_speed) from analytics.weather_hours").fetchall() == [(5.0,)]


def test_every_check_but_the_number_of_flights_holds_on_any_data(project, warehouse):
    checks = [check for check in read_checks(project / "models", "analytics") if check.kind != "row_count"]
    assert len(checks) >= 10
    run_checks(
        DuckDBSession(warehouse, Path("w")), checks, step="models:check", emit=lambda _event: None, cancel=Cancel()
    )


def test_the_answer_ranks_carriers_and_says_whether_it_is_the_weather(warehouse):
    found = carriers(warehouse)
    assert [carrier.row for carrier in found] == [
        ("American", 3, 34.0, 102, 34.0, 31.4),
        ("United", 3, 17.3, 61, 20.3, 98.4),
        ("JetBlue", 1, None, 0, None, None),
    ]
    assert conclusion(found) == (
        "American loses most: 102 minutes, 63% of all lost time with 43% of the flights. "
        "Per flight it loses most too: 34 minutes on average. "
        "Is it the weather? Partly: a flight that leaves in rain, snow, fog or storm loses 46 minutes and one in "
        "clear weather 18, but such weather meets 33% of the flights; without it 37% of the lost time would be "
        "saved. In clear weather alone American still comes first, and 3 of 3 carriers keep their place."
    )


STEADY = Carrier("Steady", 100, 5.0, 500, 5.0, 0.0, 0, 0, 100, 500)
STORMY = Carrier("Stormy", 100, 9.0, 900, 9.0, 100.0, 50, 900, 50, 0)


def test_the_verdict_follows_from_the_numbers():
    said = conclusion([STEADY, STORMY])
    assert "Is it the weather? Mostly, yes:" in said
    assert said.endswith("In clear weather alone Steady would come first.")


def test_no_verdict_without_both_kinds_of_weather():
    assert "can't be said" in conclusion([STEADY])


def test_no_delay_needs_no_explanation():
    assert conclusion([replace(STEADY, minutes_lost=0)]) == "No flight came late, so there is nothing to explain."

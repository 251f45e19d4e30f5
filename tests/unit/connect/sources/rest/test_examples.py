"""The examples that come with the program, against stand-ins that answer in the shape of the real APIs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from headwater.connect.sources import rest, rest_definition
from headwater.connect.sources.rest import spec_file

EXAMPLES = Path(__file__).parents[5] / "examples" / "rest"
ISSUE = {
    "url": "https://api.github.com/repos/o/r/issues/7",
    "id": 2000000007,
    "node_id": "I_kwDO",
    "number": 7,
    "title": "It rains",
    "user": {"login": "octo", "id": 1, "type": "User", "site_admin": False},
    "labels": [{"id": 5, "name": "bug", "color": "d73a4a"}],
    "state": "open",
    "assignee": None,
    "comments": 2,
    "created_at": "2024-02-01T10:00:00Z",
    "updated_at": "2024-02-03T10:00:00Z",
    "closed_at": None,
    "body": "since *yesterday*",
    "reactions": {"total_count": 1, "+1": 1},
    "pull_request": None,
}
QUAKE = {
    "type": "Feature",
    "properties": {"mag": 4.9, "place": "off the coast", "time": 1704844800123, "updated": 1704900000000, "tz": None},
    "geometry": {"type": "Point", "coordinates": [142.1, 38.2, 35]},
    "id": "us7000lsdz",
}


def example(source, name, host):
    text = (EXAMPLES / f"{name}.yml").read_text()
    assert host in text
    (source.folder / "shop.yml").write_text(text.replace(host, source.api.url))
    settings = spec_file.read(source.folder / "shop.yml", "shop.yml").settings
    source.given = {one.name: one.value for one in settings if one.value} | source.given


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_each_example_is_a_plugin(path):
    found = rest_definition.definition(path.parent, path.name)
    assert found is not None
    assert found.description
    assert {one.name for one in found.settings if one.sensitive} <= {"token"}


def test_issues_of_github(source):
    source.given, source.secrets = {"token": "gh-secret", "repository": "o/r"}, ("gh-secret",)
    example(source, "github", "https://api.github.com")

    def answer(asked):
        assert asked.headers["authorization"] == "Bearer gh-secret"
        if asked.path != "/repos/o/r/issues":
            return []
        if "page" in asked.query:
            return [{**ISSUE, "id": 2000000009, "number": 9, "updated_at": "2024-02-05T10:00:00Z"}]
        following = f'<{source.api.url}{asked.path}?page=2>; rel="next", <{source.api.url}/x?page=2>; rel="last"'
        return source.api.reply([ISSUE], headers={"link": following})

    source.api.answer = answer
    rows, state = source.read()
    assert [(row["number"], row["user__login"], row["reactions__+1"]) for row in rows] == [
        (7, "octo", 1),
        (9, "octo", 1),
    ]
    assert rows[0]["labels"] == '[{"id": 5, "name": "bug", "color": "d73a4a"}]'
    assert source.api.asked[0].query["since"] == "2024-01-01T00:00:00Z"
    source.read(state)
    assert source.api.asked[0].query["since"] == "2024-02-05T10:00:00Z"


def test_earthquakes_of_the_usgs(source, monkeypatch):
    monkeypatch.setattr("headwater.base.clock.now", lambda: dt.datetime(2024, 3, 1, tzinfo=dt.UTC))
    example(source, "earthquakes", "https://earthquake.usgs.gov/fdsnws/event/1")
    source.api.answer = lambda asked: {
        "type": "FeatureCollection",
        "metadata": {"status": 200, "count": 1},
        "features": [QUAKE],
    }
    rows, state = source.read()
    assert (rows[0]["id"], rows[0]["properties__mag"]) == ("us7000lsdz", 4.9)
    assert source.api.asked[0].query == {
        "format": "geojson",
        "orderby": "time-asc",
        "minmagnitude": "4.5",
        "starttime": "2024-01-01T00:00:00Z",
        "endtime": "2024-03-01T00:00:00Z",
        "offset": "1",
        "limit": "20000",
    }
    source.read(state)
    assert source.api.asked[0].query["starttime"] == "2024-01-03T00:00:00.123000Z"


def test_exchange_rates_of_the_european_central_bank(source, monkeypatch):
    monkeypatch.setattr("headwater.base.clock.now", lambda: dt.datetime(2024, 1, 9, 15, tzinfo=dt.UTC))
    example(source, "exchange-rates", "https://api.frankfurter.dev/v1")
    source.api.answer = lambda asked: {
        "amount": 1.0,
        "base": asked.query["base"],
        "start_date": "2024-01-02",
        "end_date": "2024-01-08",
        "rates": {"2024-01-05": {"JPY": 158.4, "USD": 1.0921}, "2024-01-08": {"JPY": 157.77, "USD": 1.0946}},
    }
    rows, state = source.read()
    assert [(str(row["date"]), row["USD"]) for row in rows] == [("2024-01-05", 1.0921), ("2024-01-08", 1.0946)]
    assert source.api.paths() == ["/2024-01-01..2024-01-09"]
    source.read(state)
    assert source.api.paths() == ["/2024-01-08..2024-01-09"]
    assert rest.discover(source.settings).streams[0].key_properties == ["date"]

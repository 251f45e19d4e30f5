"""The examples that come with the program, against recorded answers. `python -m scripts.record_rest` records them, from
stand-ins that answer in the shape of the real APIs."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Checkpoint, Rows, Schema
from headwater.connect.sources import rest_definition

from .conftest import EXAMPLES, called, moved

RECORDED = Path(__file__).parent / "recorded"


class Replay:
    """One recorded API. What was not recorded is answered with 410, which no source takes."""

    def __init__(self, source, monkeypatch, name):
        self.source, self._monkeypatch, self._name = source, monkeypatch, name
        self._recorded = json.loads((RECORDED / f"{name}.json").read_text())

    def run(self, number, state=None):
        """Reads as it was recorded. All messages, and the last state; all that was recorded is asked for again."""
        run, host = self._recorded["runs"][number], self._recorded["api"]
        now = dt.datetime.fromisoformat(run["now"])
        self._monkeypatch.setattr("headwater.base.clock.now", lambda: now)
        self.source.example(self._name, host, run["given"])
        reply = self.source.api.reply
        left = {}
        for one in run["exchanges"]:
            body = one["body"].encode() if isinstance(one["body"], str) else one["body"]
            left.setdefault(one["asked"], []).append(
                moved(reply(body, one["status"], one["headers"]), host, self.source.api.url)
            )
        wanted = set(left)
        asked = set()

        def answer(call):
            name = called(call)
            asked.add(name)
            replies = left.get(name, [reply({"message": f"not recorded: {name}"}, 410)])
            return replies.pop(0) if len(replies) > 1 else replies[0]

        self.source.api.answer = answer
        try:
            found = self.source.messages(state)
        finally:
            assert asked == wanted
        return found, next((one.state for one in reversed(found) if isinstance(one, Checkpoint)), None)


@pytest.fixture
def replay(source, monkeypatch):
    return lambda name: Replay(source, monkeypatch, name)


def rows(found, stream):
    return [row for one in found if isinstance(one, Rows) and one.stream == stream for row in one.batch.to_pylist()]


def columns(found, stream):
    """The last known type of each column."""
    schema = [one for one in found if isinstance(one, Schema) and one.stream == stream][-1]
    return {one.name: str(one.type) for one in schema.columns}, schema.keys, schema.cursor, schema.replace


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_each_example_is_a_plugin(path):
    found = rest_definition.definition(path.parent, path.name)
    assert found is not None
    assert found.description
    assert {one.name for one in found.settings if one.sensitive} <= {"token"}
    assert (RECORDED / f"{path.stem}.json").is_file()


def test_issues_of_github(replay):
    api = replay("github")
    found, state = api.run(0)
    issues = rows(found, "issues")
    assert [row["number"] for row in issues] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]  # three pages
    assert (issues[2]["title"], issues[2]["user__login"]) == ("Title of number 3: «ça coule»", "ada")
    assert (issues[1]["body"], issues[0]["reactions__+1"]) == (None, 1)
    assert json.loads(issues[0]["labels"])[0]["name"] == "enhancement"
    types, *names = columns(found, "issues")
    assert names == [("id",), "updated_at", False]
    assert {name: types[name] for name in ("id", "locked", "updated_at", "pull_request__url")} == {
        "id": "int64",
        "locked": "bool",
        "updated_at": "timestamp[us, tz=UTC]",
        "pull_request__url": "string",
    }
    assert [row["id"] for row in rows(found, "comments")] == [9001, 9002, 9003, 9004, 9005]
    assert [row["name"] for row in rows(found, "labels")] == ["bug", "enhancement", "good first issue"]
    assert api.source.bookmark(state, "issues") == {"$datetime": "2024-03-11T10:00:00+00:00"}
    # GitHub wanted to be asked for the comments more slowly.
    assert [line.split("/")[-1] for line in api.source.lines] == ["comments: status 403; asked again in 0.0 s"]

    found, state = api.run(1, state)
    # Two changed last in the very second of the bookmark; one was closed; one is new.
    assert [(row["number"], row["state"]) for row in rows(found, "issues")] == [
        (9, "open"),
        (10, "open"),
        (4, "closed"),
        (11, "open"),
    ]
    assert columns(found, "issues")[0]["closed_at"] == "timestamp[us, tz=UTC]"
    assert [row["id"] for row in rows(found, "comments")] == [9005, 9006]
    assert columns(found, "labels")[3] is True  # read whole, replaced
    assert api.source.bookmark(state, "issues") == {"$datetime": "2024-03-14T10:00:00+00:00"}


def test_earthquakes_of_the_usgs(replay):
    api = replay("earthquakes")
    found, state = api.run(0)
    quakes = rows(found, "earthquakes")
    # Ten in the first window, so another page is asked for; the second window's server was busy at first.
    assert [int(row["id"][-2:]) for row in quakes] == [*range(1, 14), *range(15, 21)]
    assert quakes[0]["properties__time"] == 1705547045678
    assert quakes[0]["geometry__coordinates"] == "[138.85, 37.13, 35.5]"
    types, *names = columns(found, "earthquakes")
    assert names == [("id",), "properties__time", False]
    assert (types["properties__mag"], types["properties__felt"], types["id"]) == ("double", "int64", "string")
    assert api.source.bookmark(state, "earthquakes") == {"$datetime": "2024-06-18T03:04:05.678000+00:00"}

    found, state = api.run(1, state)
    # The last one is known better a week later, and is loaded again.
    assert (quakes[-1]["properties__mag"], quakes[-1]["properties__status"]) == (4.9, "automatic")
    assert [(row["id"], row["properties__mag"], row["properties__status"]) for row in rows(found, "earthquakes")] == [
        ("us70000020", 5.0, "reviewed"),
        ("us70000022", 5.0, "automatic"),
    ]
    assert api.source.bookmark(state, "earthquakes") == {"$datetime": "2024-07-04T03:04:05.678000+00:00"}


def test_exchange_rates_of_the_european_central_bank(replay):
    api = replay("exchange-rates")
    found, state = api.run(0)
    days = rows(found, "rates")
    assert (str(days[0]["date"]), days[0]["IDR"], days[0]["HRK"]) == ("2022-12-20", 16559, 7.559)
    # Both windows hold the day between them; the key makes one row of it.
    assert [str(row["date"]) for row in days].count("2023-12-20") == 2
    assert (str(days[-1]["date"]), days[-1]["HRK"]) == ("2023-12-28", None)  # there is no kuna any more
    assert columns(found, "rates") == (
        {"date": "date32[day]", "IDR": "int64", "HRK": "double", "USD": "double"},
        ("date",),
        "date",
        False,
    )
    assert api.source.bookmark(state, "rates") == {"$datetime": "2023-12-28T00:00:00+00:00"}

    found, state = api.run(1, state)
    assert [str(row["date"]) for row in rows(found, "rates")] == [
        *("2023-12-28", "2023-12-29", "2024-01-02", "2024-01-03")
    ]
    assert api.source.bookmark(state, "rates") == {"$datetime": "2024-01-03T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        ("github", 401, "Bad credentials"),
        ("earthquakes", 400, 'Error 400: Bad Request Bad minmagnitude value "strong"'),
        ("exchange-rates", 404, "not found"),
    ],
)
def test_what_an_api_refuses_is_told_in_its_words(replay, name, status, why):
    with pytest.raises(RunFailedError, match=f"was answered with status {status}") as failed:
        replay(name).run(2)
    assert failed.value.reference == "http-status"
    assert (failed.value.why or "").startswith(why)

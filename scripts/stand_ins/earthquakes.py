"""A stand-in for the earthquake catalogue of the United States Geological Survey, with made-up earthquakes.

As the service documents it: GeoJSON with `metadata`, moments in milliseconds, `offset` from 1 on, `limit` up to 20000,
both ends of the span belong to it, and what is wrong in a query is told as plain text with status 400. What was found
out later about an earthquake is shown in place of what was known first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.stand_in_api import Asked, Reply

API = "https://earthquake.usgs.gov/fdsnws/event/1"
_MOST = 20_000
_BEGIN = datetime(2024, 1, 10, 3, 4, 5, 678_000, tzinfo=UTC)


def answer(asked: Asked, now: datetime, *, times: int) -> Reply:
    """What is known `now`. `times`: how often this was asked before; a service that is busy at first."""
    query = asked.query
    if asked.path != "/query":
        return _error(404, "Not Found", "no such method")
    try:
        start, end = (datetime.fromisoformat(query[name]) for name in ("starttime", "endtime"))
    except ValueError as error:
        return _error(400, "Bad Request", f"Bad starttime value: {error}")
    offset, limit = int(query["offset"]), int(query["limit"])
    try:
        least = float(query["minmagnitude"])
    except ValueError:
        return _error(400, "Bad Request", f'Bad minmagnitude value "{query["minmagnitude"]}"')
    if offset < 1 or not 0 < limit <= _MOST:
        return _error(400, "Bad Request", f"Bad offset or limit: a limit is at most {_MOST}")
    if not times and start.month == 3:
        return _error(503, "Service Unavailable", "try again in a moment")
    found = [one for one in _known(now) if start <= _moment(one) <= end and one["properties"]["mag"] >= least]
    shown = sorted(found, key=_moment, reverse=query.get("orderby") != "time-asc")[offset - 1 : offset - 1 + limit]
    metadata = {
        "generated": int(now.timestamp() * 1000),
        "title": "USGS Earthquakes",
        "status": 200,
        "api": "1.14.1",
        "limit": limit,
        "offset": offset,
        "count": len(shown),
    }
    return Reply({"type": "FeatureCollection", "metadata": metadata, "features": shown})


def _error(status: int, title: str, text: str) -> Reply:
    content = f"Error {status}: {title}\n\n{text}\n\nUsage details are available from {API}\n".encode()
    return Reply(content, status, {"content-type": "text/plain"})


def _moment(one: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(one["properties"]["time"] / 1000, UTC)


def _quake(number: int, at: datetime, *, is_reviewed: bool) -> dict[str, Any]:
    name = f"us7000{number:04}"
    properties = {
        # A whole number now and then, as JSON writes 5.0.
        "mag": 5 if number % 5 == 2 else round(4.3 + number % 7 / 10 + (0.1 if is_reviewed else 0), 1),
        "place": f"{10 + number} km SSE of Tōkamachi, Japan",
        "time": int(at.timestamp() * 1000),
        "updated": int((at + timedelta(days=3 if is_reviewed else 0, minutes=20)).timestamp() * 1000),
        "tz": None,
        "url": f"https://earthquake.usgs.gov/earthquakes/eventpage/{name}",
        "felt": number if number % 4 == 0 else None,
        "cdi": 3.4 if number % 4 == 0 else None,
        "mmi": None,
        "alert": "green" if number % 6 == 0 else None,
        "status": "reviewed" if is_reviewed else "automatic",
        "tsunami": 0,
        "sig": 300 + number,
        "net": "us",
        "code": f"7000{number:04}",
        "ids": f",{name},",
        "dmin": 1.25,
        "rms": 0.6,
        "gap": 71,
        "magType": "mb",
        "type": "earthquake",
        "title": f"M 4.9 - {10 + number} km SSE of Tōkamachi, Japan",
    }
    geometry = {"type": "Point", "coordinates": [138.75 + number / 10, 37.13, 35.5]}
    return {"type": "Feature", "properties": properties, "geometry": geometry, "id": name}


def _known(now: datetime) -> list[dict[str, Any]]:
    """One each eight days. Until five days later it is shown as the machines saw it."""
    moments = [(number, _BEGIN + timedelta(days=8 * number)) for number in range(23)]
    return [_quake(number, at, is_reviewed=at + timedelta(days=5) < now) for number, at in moments if at <= now]

"""A stand-in for frankfurter.dev, with made-up rates.

As the service answers: a member for each working day, from the last one at or before the day asked for on; a currency
that is not quoted any more is not in later days; what has no rates is 404, what is no day 422. Euros are priced only.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from tests.stand_in_api import Asked, Reply

API = "https://api.frankfurter.dev/v1"
_SPAN = re.compile(r"/(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")
_LAST_KUNA = date(2022, 12, 30)
_HOLIDAYS = {(1, 1), (12, 25), (12, 26)}


def answer(asked: Asked, now: datetime, *, times: int) -> Reply:
    """What is known `now`: the day's rates come at 16 h. `times`: how often this was asked before."""
    del times
    found = _SPAN.fullmatch(asked.path)
    if found is None:
        return Reply({"message": "not found"}, 404)
    try:
        start, end = (date.fromisoformat(text) for text in found.groups())
    except ValueError:
        return Reply({"message": "invalid date"}, 422)
    base = asked.query.get("base", "EUR")
    if base != "EUR" or start > now.date():
        return Reply({"message": "not found"}, 404)
    first = start
    while not _is_quoted(first, now) and start - first < timedelta(days=14):
        first -= timedelta(days=1)
    days = [first + timedelta(days=number) for number in range((end - first).days + 1)]
    rates = {day.isoformat(): _rates(day) for day in days if _is_quoted(day, now)}
    if not rates:
        return Reply({"message": "not found"}, 404)
    body = {"amount": 1.0, "base": base, "start_date": min(rates), "end_date": max(rates), "rates": rates}
    return Reply(body, headers={"content-type": "application/json; charset=utf-8"})


def _is_quoted(day: date, now: datetime) -> bool:
    is_out = day < now.date() or (day == now.date() and now.hour >= 16)
    return is_out and day.weekday() < 5 and (day.month, day.day) not in _HOLIDAYS


def _rates(day: date) -> dict[str, float | int]:
    number = day.toordinal() % 90
    found: dict[str, float | int] = {"IDR": 16500 + number}
    if day <= _LAST_KUNA:
        found["HRK"] = round(7.5 + number / 1000, 4)
    return {**found, "USD": round(1.05 + number / 1000, 4)}

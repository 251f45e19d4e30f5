"""The question of the demo, the numbers that answer it, and what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

QUESTION = "Which carriers lose most time, and is it the weather?"

SQL = """\
select
  name,
  flights,
  average_arrival_delay,
  minutes_lost,
  minutes_lost_per_flight,
  bad_weather_share,
  bad_weather_flights,
  bad_weather_minutes_lost,
  clear_weather_flights,
  clear_weather_minutes_lost
from analytics.delays_by_carrier
order by minutes_lost desc, name
"""

# What stands above the columns of `Carrier.row`.
COLUMNS = (
    "carrier",
    "flights",
    "avg delay",
    "minutes lost",
    "per flight",
    "% of it in bad weather",
)


class Carrier(Struct, frozen=True):
    """A row of `SQL`. A minute is lost when a flight comes to its gate a minute late; coming early gives none back.
    Flights that did not arrive, or left in an hour whose weather is not known, count in neither weather."""

    name: str
    flights: int
    average_arrival_delay: float | None
    minutes_lost: int
    minutes_lost_per_flight: float | None
    bad_weather_share: float | None
    bad_weather_flights: int
    bad_weather_minutes_lost: int
    clear_weather_flights: int
    clear_weather_minutes_lost: int

    @property
    def row(self) -> tuple[Any, ...]:
        """What the table shows, under `COLUMNS`."""
        return (
            self.name,
            self.flights,
            self.average_arrival_delay,
            self.minutes_lost,
            self.minutes_lost_per_flight,
            self.bad_weather_share,
        )

    @property
    def per_clear_flight(self) -> float:
        return self.clear_weather_minutes_lost / self.clear_weather_flights if self.clear_weather_flights else 0.0

    @property
    def due_to_weather(self) -> float:
        """Minutes that would not have been lost, had its flights in bad weather lost no more than those in clear."""
        return max(0.0, self.bad_weather_minutes_lost - self.bad_weather_flights * self.per_clear_flight)


def carriers(connection: Any) -> tuple[Carrier, ...]:
    """All carriers, who loses most first. `connection` is one to a warehouse in which the models are built."""
    return tuple(Carrier(*row) for row in connection.execute(SQL).fetchall())


def conclusion(found: Sequence[Carrier]) -> str:
    """One paragraph; every figure and every verdict in it comes from the numbers."""
    lost = sum(carrier.minutes_lost for carrier in found)
    if not lost:
        return "No flight came late, so there is nothing to explain."
    flights = sum(carrier.flights for carrier in found)
    most = max(found, key=lambda carrier: carrier.minutes_lost)
    slowest = max(found, key=lambda carrier: carrier.minutes_lost_per_flight or 0)
    first = (
        f"{most.name} loses most: {most.minutes_lost:,} minutes, {_share(most.minutes_lost, lost)} of all lost time "
        f"with {_share(most.flights, flights)} of the flights."
    )
    if slowest is most:
        second = f"Per flight it loses most too: {most.minutes_lost_per_flight:.0f} minutes on average."
    else:
        second = (
            f"Per flight {slowest.name} loses most: {slowest.minutes_lost_per_flight:.0f} minutes on average, over "
            f"{slowest.flights:,} flights; {most.name} loses {most.minutes_lost_per_flight:.0f}."
        )
    return " ".join([first, second, _weather(found, lost), _in_clear_weather(found, most)])


def _weather(found: Sequence[Carrier], lost: int) -> str:
    due = sum(carrier.due_to_weather for carrier in found) / lost
    verdict = "Mostly, yes" if due >= 0.5 else "Partly" if due >= 0.25 else "No, only a little of it"
    bad = sum(carrier.bad_weather_flights for carrier in found)
    clear = sum(carrier.clear_weather_flights for carrier in found)
    if not bad or not clear:
        return "Whether it is the weather can't be said: all flights left in the same."
    bad_lost = sum(carrier.bad_weather_minutes_lost for carrier in found)
    clear_lost = sum(carrier.clear_weather_minutes_lost for carrier in found)
    return (
        f"Is it the weather? {verdict}: a flight that leaves in rain, snow, fog or storm loses "
        f"{bad_lost / bad:.0f} minutes and one in clear weather {clear_lost / clear:.0f}, but such weather meets "
        f"{_share(bad, bad + clear)} of the flights; without it {due:.0%} of the lost time would be saved."
    )


def _in_clear_weather(found: Sequence[Carrier], most: Carrier) -> str:
    clear = max(found, key=lambda carrier: carrier.clear_weather_minutes_lost)
    if clear is not most:
        return f"In clear weather alone {clear.name} would come first."
    by_all = sorted(found, key=lambda carrier: (-carrier.minutes_lost, carrier.name))
    by_clear = sorted(found, key=lambda carrier: (-carrier.clear_weather_minutes_lost, carrier.name))
    same = sum(one is other for one, other in zip(by_all, by_clear, strict=True))
    return (
        f"In clear weather alone {most.name} still comes first, and {same} of {len(found)} carriers keep their place."
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"

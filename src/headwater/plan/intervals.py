"""When a schedule is due: an alias (`@daily`) or the five fields of cron."""

from __future__ import annotations

from headwater.base.errors import InputError

# None: nothing starts it by itself.
ALIASES: dict[str, str | None] = {
    "@once": None,
    "@manual": None,
    "@none": None,
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
}
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
# Of each field: the least and the greatest value, names for values, and what may stand alone in it. 7 is Sunday too.
_FIELDS: tuple[tuple[int, int, dict[str, int], frozenset[str]], ...] = (
    (0, 59, {}, frozenset("*")),
    (0, 23, {}, frozenset("*")),
    (1, 31, {"l": 31}, frozenset("*?")),
    (1, 12, _MONTHS, frozenset("*")),
    (0, 7, _DAYS, frozenset("*?")),
)
_WEEKDAY = 4


def cron(interval: str) -> str | None:
    """The five fields behind an alias; anything else as it is. None for what only a person starts."""
    return ALIASES.get(interval, interval)


def check(interval: str) -> None:
    """Raises InputError (`bad-interval`) for what is neither an alias nor five fields of cron."""
    text = interval.strip().lower()
    fields = (ALIASES.get(text) or text).split()
    if text in ALIASES or (
        len(fields) == len(_FIELDS) and all(_is_field(field, place) for place, field in enumerate(fields))
    ):
        return
    raise InputError(
        "bad-interval",
        f"`{interval}` is no interval",
        why=f"an interval is one of {', '.join(ALIASES)}, or five fields of cron: minute hour day month weekday",
        hint="headwater schedule add NAME --job JOB --interval '@daily' (or '15 6 * * mon-fri')",
    )


def _is_field(field: str, place: int) -> bool:
    return field in _FIELDS[place][3] or all(_is_part(part, place) for part in field.split(","))


def _is_part(part: str, place: int) -> bool:
    """`5`, `1-5`, `*/10`, `mon-fri/2`. Weekdays may go around: `fri-mon`."""
    base, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if base == "*":
        return bool(slash)
    first, dash, last = base.partition("-")
    start = _value(first, place)
    end = _value(last, place) if dash else start
    return start is not None and end is not None and (start <= end or place == _WEEKDAY)


def _value(text: str, place: int) -> int | None:
    least, most, named, _ = _FIELDS[place]
    number = int(text) if text.isdecimal() else named.get(text)
    return number if number is not None and least <= number <= most else None

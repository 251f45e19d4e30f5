"""A given value as its setting's kind wants it.

Variables, flags and the database give texts, files give YAML types. A text is parsed. A YAML value is only refused
when it can't be meant: whether a whole number may have a fraction the plugin itself knows better than its
definition on a hub.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from headwater.base.text import did_you_mean, listed
from headwater.model.setting import Setting, SettingKind
from headwater.plan.nested import leaves, nest

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0", ""})
_ISO = re.compile(
    r"\d{4}(-\d{2}(-\d{2}([T ]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?\s?(Z|[+-]\d{2}(:?\d{2})?)?)?)?)?", re.IGNORECASE
)
_NOW = {"now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}
_AGO = re.compile(r"(?:(in)\s+)?(\d+|an?)\s+(second|minute|hour|day|week|month|year)s?(?:\s+(ago))?", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


class WrongTypeError(ValueError):
    """The text says what would have been right, never what was given: it may be a secret."""


def cast(setting: Setting, value: Any) -> Any:
    """`value` in the type of `setting.kind`, its `value_processor` applied. None stays None.

    Dates become ISO texts; decimals become the nearest float, which is what a plugin's JSON config can hold.
    Raises WrongTypeError.
    """
    if value is None:
        return None
    if isinstance(value, date):
        value = value.isoformat()
    match setting.kind:
        case SettingKind.INTEGER:
            value = _integer(value)
        case SettingKind.DECIMAL:
            value = _decimal(value)
        case SettingKind.BOOLEAN:
            value = _boolean(value)
        case SettingKind.ARRAY:
            value = _array(value)
        case SettingKind.OBJECT:
            value = _object(value)
        case SettingKind.OPTIONS:
            value = _option(setting, value)
        case SettingKind.DATE:
            value = _date(value)
    return _processed(setting.value_processor, value, None)


def finish(setting: Setting, value: Any, now: datetime | None) -> Any:
    """`value` as it is written to the plugin's config: dates in words resolved against `now`, the
    `value_post_processor` applied. Without `now`, dates in words stay words."""
    if value is None:
        return None
    if setting.value_post_processor:
        return _processed(setting.value_post_processor, value, now)
    if setting.kind is SettingKind.DATE and isinstance(value, str):
        return parse_date(value, now)
    return value


def parse_date(text: str, now: datetime | None) -> str:
    """`3 days ago`, `yesterday`, `in 2 weeks` → an ISO instant counted from `now`; any other text stays."""
    if now is None:
        return text
    word = text.strip().lower()
    if word in _NOW:
        return (now + timedelta(days=_NOW[word])).isoformat()
    match = _AGO.fullmatch(word)
    if match is None or (match[1] is None) == (match[4] is None):
        return text
    count = 1 if match[2].startswith("a") else int(match[2])
    count = count if match[1] else -count
    unit = match[3]
    if unit in _SECONDS:
        return (now + timedelta(seconds=count * _SECONDS[unit])).isoformat()
    return _months_later(now, count * (12 if unit == "year" else 1)).isoformat()


def _months_later(instant: datetime, months: int) -> datetime:
    """The same day of another month, or that month's last day when it is shorter."""
    year, month = divmod(instant.year * 12 + instant.month - 1 + months, 12)
    following = datetime(year + (month == 11), (month + 1) % 12 + 1, 1, tzinfo=UTC)
    last = (following - timedelta(days=1)).day
    return instant.replace(year=year, month=month + 1, day=min(instant.day, last))


def _integer(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+(_\d+)*\s*", value):
        return int(value)
    raise WrongTypeError("a whole number such as `42`")


def _decimal(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if re.fullmatch(r"\s*[+-]?\d+\s*", value):
            return int(value)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    raise WrongTypeError("a number such as `0.5`")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise WrongTypeError("`true` or `false`")


def _array(value: Any) -> list[Any]:
    value = _parsed(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise WrongTypeError('a list such as `["a", "b"]`')


def _object(value: Any) -> dict[Any, Any]:
    value = _parsed(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise WrongTypeError('an object such as `{"key": "value"}`')


def _parsed(value: Any) -> Any:
    """The value of a text that is JSON or, as people quote it in a shell, a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value


def _option(setting: Setting, value: Any) -> Any:
    if not setting.options:
        return value
    for option in setting.options:
        if option.value == value or str(option.value) == str(value):
            return option.value
    choices = [str(option.value) for option in setting.options]
    close = did_you_mean(str(value), choices)
    expected = f"one of {listed(choices)}"
    raise WrongTypeError(f"{expected}; did you mean `{close}`?" if close else expected)


def _date(value: Any) -> Any:
    word = str(value).strip().lower()
    match = _AGO.fullmatch(word)
    relative = word in _NOW or (match is not None and (match[1] is None) != (match[4] is None))
    if not word or relative or _ISO.fullmatch(word):
        return value if isinstance(value, str) else str(value)
    raise WrongTypeError("a date such as `2026-01-31`, or words such as `3 days ago`")


def _processed(processor: str | None, value: Any, now: datetime | None) -> Any:
    if processor == "nest_object" and isinstance(value, Mapping):
        return nest(leaves(value))
    if processor == "upcase_string" and isinstance(value, str):
        return value.upper()
    if processor == "stringify" and not isinstance(value, str):
        return json.dumps(value)  # spaced as Meltano spaces it: a plugin may compare texts
    if processor == "parse_date" and isinstance(value, str):
        return parse_date(value, now)
    return value

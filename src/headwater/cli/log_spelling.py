"""The formatters that a `logging.yaml` may name, each as Meltano's of that name writes a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headwater.cli import words


class _Spelling:
    """A formatter: what handlers of the standard library ask for the text of a record."""

    def __init__(self, spell: Callable[[words.Line, dict[str, Any]], str]) -> None:
        self._spell = spell

    def format(self, record: Any) -> str:
        return self._spell(*record.headwater)


def json_text(record: dict[str, Any]) -> str:
    return msgspec.json.encode(record).decode()


# What an event says in its own words already, or that is too long for a line of pairs.
_NO_PAIRS = {"kind", "text", "plugin", "streams", "problem", "columns", "nodes", "state", "steps", "stdout"}


def pairs(record: dict[str, Any], first: Sequence[str] = ("timestamp", "level", "name", "event")) -> str:
    """`name="value"` for each field that is short, those in `first` before all else."""
    named = {"name": "headwater", **record}
    return _written({**{key: named[key] for key in first if key in named}, **named})


def _written(fields: dict[str, Any]) -> str:
    return " ".join(f"{key}={json_text(value)}" for key, value in fields.items() if key not in _NO_PAIRS)


def _json(*, preset: str | None = None, **_options: Any) -> Any:
    """`preset: google-cloud-logging` names the fields as they are read there. Raises ValueError for another."""
    if preset not in (None, "google-cloud-logging"):
        raise ValueError(f"there is no preset `{preset}`")

    def spell(_line: words.Line, record: dict[str, Any]) -> str:
        if preset is not None:
            record = {**record, "severity": record["level"].upper(), "message": record["event"]}
            del record["level"], record["event"]
        return json_text(record)

    return _Spelling(spell)


def _key_value(*, sort_keys: bool = False, key_order: Sequence[str] = (), **_options: Any) -> Any:
    def spell(_line: words.Line, record: dict[str, Any]) -> str:
        named = dict(sorted(record.items())) if sort_keys else record
        return pairs(named, first=tuple(key_order)) if key_order or sort_keys else pairs(named)

    return _Spelling(spell)


def _console(*, include_keys: Sequence[str] = (), all_keys: bool | None = None, **_options: Any) -> Any:
    """Without colours, also where they are asked for: the display of a terminal has them."""

    def spell(line: words.Line, record: dict[str, Any]) -> str:
        known = ("timestamp", "level", "event", "name")
        more = {key: item for key, item in record.items() if (all_keys or key in include_keys) and key not in known}
        text = words.dated(record["timestamp"], line)
        return f"{text} {_written(more)}" if more else text

    return _Spelling(spell)


SPELLINGS: dict[str, Callable[..., Any]] = {
    "json_formatter": _json,
    "key_value_formatter": _key_value,
    "console_log_formatter": _console,
}

"""`{{ … }}` in the texts of a source: names, filters, spans of time. Nothing is ever run.

    {{ config.token }}   {{ start | date }}   {{ now - 30d }}   {{ config.from | default('2020-01-01') }}

A text that is one expression gives its value as it is; within other text the value is written out.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from headwater.base.text import did_you_mean, listed

_OPEN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<span>[0-9]+(?:ms|s|m|h|d|w)\b)|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<name>[A-Za-z_][\w-]*(?:\.[\w$@-]+)*)|(?P<mark>[-+|(),]))"
)
_SPAN = re.compile(r"([0-9]+)(ms|s|m|h|d|w)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class ExpressionError(Exception):
    """Says what is wrong with an expression, in lower case."""


class _Step(Struct, frozen=True):
    """A filter with its arguments, or `+` or `-` with the one behind it."""

    name: str
    arguments: tuple[Any, ...] = ()


class Expression(Struct, frozen=True):
    """`name` is looked up, or `value` is what it begins with."""

    name: str | None
    value: Any
    steps: tuple[_Step, ...]

    def of(self, names: Mapping[str, Any]) -> Any:
        """Its value; None for a name without one. Raises ExpressionError."""
        value = self.value if self.name is None else looked_up(names, self.name)
        for step in self.steps:
            if value is None and step.name != "default":
                continue
            try:
                value = _FILTERS[step.name](value, *step.arguments)
            except (TypeError, ValueError, OverflowError) as error:
                # The value itself may be a secret.
                what = f"the value of `{self.name or self.value}`, of type `{type(value).__name__}`"
                raise ExpressionError(f"`{step.name}` can't take {what}") from error
        return value

    @property
    def has_default(self) -> bool:
        return any(step.name == "default" for step in self.steps)


Parts = tuple["str | Expression", ...]


def parts(text: str) -> Parts:
    """The text cut into plain texts and expressions. Raises ExpressionError."""
    pieces = _OPEN.split(text)
    if any("{{" in plain or "}}" in plain for plain in pieces[::2]):
        raise ExpressionError("`{{` and `}}` do not match")
    found = [_parsed(piece) if number % 2 else piece for number, piece in enumerate(pieces)]
    return tuple(piece for piece in found if piece != "")


def within(given: Any) -> Iterator[Expression]:
    """All expressions in a text, list or mapping. Raises ExpressionError."""
    if isinstance(given, str):
        yield from (piece for piece in parts(given) if isinstance(piece, Expression))
    elif isinstance(given, Mapping):
        for value in given.values():
            yield from within(value)
    elif isinstance(given, list | tuple):
        for value in given:
            yield from within(value)
    elif isinstance(given, Struct):
        for name in given.__struct_fields__:
            yield from within(getattr(given, name))


def check(given: Any, roots: frozenset[str]) -> None:
    """Raise ExpressionError for an expression with a name whose first part is not one of `roots`."""
    for expression in within(given):
        root = (expression.name or "").partition(".")[0]
        if expression.name is not None and root not in roots:
            near = did_you_mean(root, roots)
            known = f"did you mean `{near}`?" if near else f"there are {listed(sorted(roots))}"
            raise ExpressionError(f"nothing here is called `{root}`: {known}")


def filled(given: Any, names: Mapping[str, Any]) -> Any:
    """The same with the expressions' values. Of a mapping, entries whose value is None are left out. Raises
    ExpressionError for text in which a value is missing."""
    if isinstance(given, str):
        return _filled_text(given, names)
    if isinstance(given, Mapping):
        values = {key: filled(value, names) for key, value in given.items()}
        return {key: value for key, value in values.items() if value is not None}
    if isinstance(given, list | tuple):
        return [filled(value, names) for value in given]
    return given


def filled_path(text: str, names: Mapping[str, Any]) -> str:
    """A path or address with the values written as parts of it; only those of the settings may hold a `/`."""
    found = []
    for piece in parts(text):
        if isinstance(piece, str):
            found.append(piece)
            continue
        is_ours = piece.name is not None and piece.name.startswith("config.")
        value = quote(_needed(piece, names), safe="/:@,;=" if is_ours else ":@,;=")
        # A record must not choose another path than that of its parent's children.
        found.append(value.replace(".", "%2E") if value in (".", "..") else value)
    return "".join(found)


def _filled_text(text: str, names: Mapping[str, Any]) -> Any:
    found = parts(text)
    if len(found) == 1 and isinstance(found[0], Expression):
        return found[0].of(names)
    return "".join(piece if isinstance(piece, str) else _needed(piece, names) for piece in found)


def _needed(expression: Expression, names: Mapping[str, Any]) -> str:
    value = expression.of(names)
    if value is None:
        raise ExpressionError(f"`{expression.name}` has no value")
    return written(value)


def written(value: Any) -> str:
    """A value as text in a parameter or header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return _iso(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return ",".join(map(written, value))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def looked_up(names: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name; None where there is none."""
    value: Any = names
    for part in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def span(text: str) -> dt.timedelta:
    """`30d`, `12h`. Raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"`{text}` is no span of time such as `30d`, `12h` or `45m`")
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


def instant(value: Any) -> dt.datetime:
    """A moment from an ISO text, a date or a moment; without a zone it is UTC. Raises ValueError, TypeError."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    elif isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    if not isinstance(value, dt.datetime):
        raise TypeError(f"{value!r} is no moment")
    return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)


def _parsed(text: str) -> Expression:
    tokens = list(_tokens(text))
    if not tokens:
        raise ExpressionError("`{{ }}` is empty")
    kind, first = tokens[0]
    if kind == "mark":
        raise ExpressionError(f"`{text.strip()}` begins with `{first}`")
    name = first if kind == "name" else None
    steps: list[_Step] = []
    at = 1
    while at < len(tokens):
        kind, mark = tokens[at]
        if kind != "mark" or mark not in ("|", "+", "-") or at + 1 == len(tokens):
            raise ExpressionError(f"`{text.strip()}` is no expression: a name, then `| filter` or `- 30d`")
        if mark == "|":
            step, at = _filter(tokens, at + 1)
            steps.append(step)
        else:
            steps.append(_Step(mark, (tokens[at + 1][1],)))
            at += 2
    return Expression(name, None if name else first, tuple(steps))


def _filter(tokens: list[tuple[str, Any]], at: int) -> tuple[_Step, int]:
    kind, name = tokens[at]
    if kind != "name" or name not in _FILTERS:
        near = did_you_mean(str(name), _FILTERS)
        raise ExpressionError(
            f"there is no filter `{name}`: " + (f"did you mean `{near}`?" if near else listed(list(_FILTERS)[2:]))
        )
    at += 1
    arguments: list[Any] = []
    if at < len(tokens) and tokens[at] == ("mark", "("):
        at += 1
        while at < len(tokens) and tokens[at] != ("mark", ")"):
            if tokens[at] != ("mark", ","):
                arguments.append(tokens[at][1])
            at += 1
        if at == len(tokens):
            raise ExpressionError(f"`{name}(` is not closed")
        at += 1
    if len(arguments) != _TAKES.get(name, 0):
        raise ExpressionError(f"the filter `{name}` takes {_TAKES.get(name, 0)} arguments, not {len(arguments)}")
    return _Step(name, tuple(arguments)), at


def _tokens(text: str) -> Iterator[tuple[str, Any]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(f"`{text.strip()}` is no expression")
        at = found.end()
        kind = str(found.lastgroup)
        piece = found[kind]
        if kind == "span":
            yield kind, span(piece)
        elif kind == "number":
            yield kind, float(piece) if "." in piece else int(piece)
        else:
            yield kind, piece[1:-1] if kind == "text" else piece


def _iso(value: dt.datetime) -> str:
    """With a fraction of a second only where there is one: some APIs know none."""
    utc = value.astimezone(dt.UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if utc.microsecond else "%Y-%m-%dT%H:%M:%SZ")


def _moved(value: Any, by: Any, sign: int) -> Any:
    if isinstance(by, dt.timedelta) and isinstance(value, str):
        value = instant(value)
    return value + sign * by


# None passes through all of them but `default`: see `Expression.of`.
_FILTERS: Mapping[str, Callable[..., Any]] = {
    "+": lambda value, by: _moved(value, by, 1),
    "-": lambda value, by: _moved(value, by, -1),
    "default": lambda value, other: other if value is None or value == "" else value,
    "date": lambda value: instant(value).date(),
    "datetime": instant,
    "iso": lambda value: _iso(instant(value)),
    "epoch": lambda value: int(instant(value).timestamp()),
    "epoch_ms": lambda value: round(instant(value).timestamp() * 1000),
    "format": lambda value, form: instant(value).strftime(form),
    "int": int,
    "text": written,
    "lower": lambda value: written(value).lower(),
    "upper": lambda value: written(value).upper(),
    "join": lambda value, between: between.join(map(written, value)),
    "json": lambda value: msgspec.json.encode(value).decode(),
    "base64": lambda value: base64.b64encode(written(value).encode()).decode(),
    "quote": lambda value: quote(written(value), safe=""),
}
_TAKES = {"+": 1, "-": 1, "default": 1, "format": 1, "join": 1}

"""Bars and tables as plain text: no colour needed, no library, the same on every terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEAST_BAR = 8  # columns; below that a chart says nothing, so a narrow terminal gets longer lines


def bar_chart(
    rows: Sequence[tuple[str, float]],
    *,
    width: int = 80,
    title: str = "",
    unit: str = "",
    ascii: bool = False,  # noqa: A002 - what it is called everywhere
) -> str:
    """One line a row, in the order given: label, number with its unit, bar. No line is longer than `width` unless
    that leaves no room for a bar; long labels are cut.

    Bars start at zero and share one scale. With negative numbers zero stands inside the chart and bars grow both
    ways. What is not zero has a bar; what is not a number has none. `ascii` draws with `#` and `|`.
    """
    lines = [title] if title else []
    if not rows:
        return "\n".join([*lines, "(no rows)"])
    values = [value if math.isfinite(value) else None for _, value in rows]
    numbers = _numbers(values, unit, ascii=ascii)
    number_width = max(map(_columns, numbers))
    label_width = min(max(_columns(label) for label, _ in rows), max(8, width * 2 // 5))
    room = max(_LEAST_BAR, width - label_width - number_width - 4)
    bars = _bars(values, room, ascii=ascii)
    for (label, _), number, bar in zip(rows, numbers, bars, strict=True):
        shown = _cut(label, label_width, "~" if ascii else "…")
        lines.append(f"{_pad(shown, label_width)}  {_pad(number, number_width, right=True)}  {bar}".rstrip())
    return "\n".join(lines)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], align: str = "", *, ascii: bool = False) -> str:  # noqa: A002 - as above
    """A heading, a rule and one line a row. `align` has a letter a column, `l` or `r`; without it columns that
    hold only numbers go right. Numbers get thousands separators, floats one decimal, None is left empty."""
    cells = [[cell(value) for value in row] for row in rows]
    if not align:
        align = "".join("r" if _is_numeric([row[i] for row in rows]) else "l" for i in range(len(columns)))
    widths = [max([_columns(name), *(_columns(row[i]) for row in cells)]) for i, name in enumerate(columns)]

    def line(values: Sequence[str]) -> str:
        parts = [_pad(value, size, right=side == "r") for value, size, side in zip(values, widths, align, strict=True)]
        return "  ".join(parts).rstrip()

    rule = "  ".join(("-" if ascii else "─") * size for size in widths)
    return "\n".join([line(columns), rule, *(line(row) for row in cells)])


def cell(value: Any) -> str:
    """A value in a table: numbers with thousands separators, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)


def _is_numeric(values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _numbers(values: Sequence[float | None], unit: str, *, ascii: bool) -> list[str]:  # noqa: A002 - as above
    """All with the same number of decimals: none for whole or large numbers, two below one."""
    present = [value for value in values if value is not None]
    largest = max(map(abs, present), default=0)
    decimals = 0 if largest >= 1000 or all(value == int(value) for value in present) else 1 if largest >= 1 else 2
    behind = unit if unit in ("", "%") else f" {unit}"
    return [("-" if ascii else "–") if value is None else f"{value:,.{decimals}f}{behind}" for value in values]


def _bars(values: Sequence[float | None], room: int, *, ascii: bool) -> list[str]:  # noqa: A002 - as above
    present = [value for value in values if value is not None]
    top, bottom = max([0.0, *present]), min([0.0, *present])
    if bottom == 0:
        return [_right(value, room / top if top else 0, room, ascii=ascii) for value in values]
    room -= 1  # the zero line
    # Each side gets its share of the room, but always the column that its smallest bar needs.
    left = min(max(1, round(room * -bottom / (top - bottom))), room - (1 if top else 0))
    scale = min(left / -bottom, (room - left) / top if top else math.inf)
    axis = "|" if ascii else "│"
    return [
        _left(value, scale, left, ascii=ascii) + axis + _right(value, scale, room - left, ascii=ascii)
        for value in values
    ]


def _right(value: float | None, scale: float, room: int, *, ascii: bool) -> str:  # noqa: A002 - as above
    if value is None or value <= 0:
        return ""
    if ascii:
        return "#" * min(room, max(1, round(value * scale)))
    full, eighths = divmod(min(room * 8, max(1, round(value * scale * 8))), 8)
    return "█" * full + _EIGHTHS[eighths].strip()


def _left(value: float | None, scale: float, room: int, *, ascii: bool) -> str:  # noqa: A002 - as above
    """Right-aligned. Only half blocks exist for that side."""
    if value is None or value >= 0:
        return " " * room
    if ascii:
        return ("#" * min(room, max(1, round(-value * scale)))).rjust(room)
    full, half = divmod(min(room * 2, max(1, round(-value * scale * 2))), 2)
    return ("▐" * half + "█" * full).rjust(room)


def _columns(text: str) -> int:
    """How many terminal columns a text takes: two for wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _pad(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - _columns(text))
    return blanks + text if right else text + blanks


def _cut(text: str, width: int, ellipsis: str) -> str:
    if _columns(text) <= width:
        return text
    while _columns(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + ellipsis

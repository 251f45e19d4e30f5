"""YAML text from plain data, in the form that every reader takes for the same data."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from headwater.base.yaml import plain

_PLAIN = re.compile(r"[A-Za-z0-9_./$(~^+<\\=;][^\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]*\Z")
# Words that other readers (YAML 1.1) take for a boolean, a number, a date or a merge key.
_READ_OTHERWISE = re.compile(
    r"(?:y|n|yes|no|on|off|=|<<|0[0-7]+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?)\Z",
    re.IGNORECASE,
)
_WIDTH = 120


class Style(NamedTuple):
    """How a file indents: `mapping` spaces below a key, `sequence` spaces before the `-` below a key."""

    mapping: int = 2
    sequence: int = 2


def render(value: Any, style: Style | None = None) -> str:
    """A whole document in block style."""
    if not isinstance(value, dict | list) or not value:
        return f"{_inline(value)}\n"
    return "".join(f"{line}\n" for line in block_lines(value, style or Style()))


def block_lines(value: dict[Any, Any] | list[Any], style: Style) -> list[str]:
    """The lines of a collection in block style; its first line begins in column 0."""
    lines: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            head, body = value_lines(item, style)
            lines += [f"{_inline(key)}:{' ' + head if head else ''}", *body]
        return lines
    for item in value:
        head, body = value_lines(item, style)
        if head:
            lines += [f"- {head}", *(f"  {line}" if line else "" for line in body)]
        else:
            first, *rest = block_lines(item, style)
            lines += [f"- {first}", *(f"  {line}" if line else "" for line in rest)]
    return lines


def value_lines(value: Any, style: Style, *, flow: bool = False) -> tuple[str, list[str]]:
    """What stands behind a key, and the lines below it, relative to the key's column."""
    if isinstance(value, dict | list) and value:
        if flow and len(text := _inline(value)) <= _WIDTH:
            return text, []
        indent = style.sequence if isinstance(value, list) else style.mapping
        return "", [" " * indent + line if line else "" for line in block_lines(value, style)]
    if isinstance(value, str) and "\n" in value and _fits_literal(value):
        lines = value.removesuffix("\n").split("\n")
        return "|" if value.endswith("\n") else "|-", ["  " + line if line else "" for line in lines]
    return _inline(value), []


def _fits_literal(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    return (
        bool(lines[0].strip())
        and bool(lines[-1].strip())
        and not lines[0].startswith((" ", "\t"))
        and all(line == line.rstrip() and (not line or line.isprintable()) for line in lines)
    )


def _inline(value: Any) -> str:
    """A value on one line, flow style for collections."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no YAML form here")


def _string(text: str) -> str:
    """Without quotes where every reader takes it for the same text, else in single, else in double quotes."""
    safe = (
        _PLAIN.match(text)
        and isinstance(plain(text), str)
        and not _READ_OTHERWISE.match(text)
        and not re.search(r":(?:\s|\Z)|\s#|[,\[\]{}]", text)
        and text == text.strip()
    )
    if safe:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    escaped = "".join(_ESCAPES.get(char) or (char if char.isprintable() else _escape(char)) for char in text)
    return f'"{escaped}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""Patterns for names in places that have no shell: `*`, `?` and `[…]` stay within a folder, `**` goes through them."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[*?\[]")


def is_pattern(text: str) -> bool:
    return _SPECIAL.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The folder that everything that matches is below, "" or with `/` at its end."""
    found = _SPECIAL.search(pattern)
    return (
        pattern
        if found is None
        else pattern[: found.start()].rpartition("/")[0] + "/" * ("/" in pattern[: found.start()])
    )


def matcher(pattern: str) -> re.Pattern[str]:
    """Matches whole paths."""
    parts, at = [], 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif pattern[at] == "*":
            parts.append("[^/]*")
            at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            parts.append(f"[{'^' + inside[1:] if inside.startswith('!') else inside}]")
            at = end + 1
        else:
            parts.append(re.escape(pattern[at]))
            at += 1
    return re.compile("".join(parts) + r"\Z")

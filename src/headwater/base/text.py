"""Words and numbers for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_OTHER_THAN_NAME = re.compile(r"[^A-Za-z0-9]")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to `word`, or None when nothing is close enough to be a likely typo."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def listed(words: Sequence[str], *, most: int = 12) -> str:
    """Words in backticks, separated by commas, cut after `most`."""
    shown = ", ".join(f"`{word}`" for word in words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"


def counted(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def byte_size(count: float) -> str:
    """`1536` → `1.5 KB`; decimal prefixes stop at TB, one digit below 10."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """`0.42` → `0.4 s`, `75` → `1 min 15 s`, `7300` → `2 h 1 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def env_name(*parts: str) -> str:
    """The environment variable for a name: upper case, every other character an underscore."""
    return _OTHER_THAN_NAME.sub("_", "_".join(parts)).upper()

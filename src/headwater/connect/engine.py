"""DuckDB as the engine that runs people's SQL: what it says when it refuses."""

from __future__ import annotations

import re

import duckdb


def words(error: duckdb.Error) -> tuple[str, int]:
    """DuckDB's message without the quoted text that follows it, and the line it points at (0 when at none)."""
    message = str(error)
    line = re.search(r"^LINE (\d+):", message, re.MULTILINE)
    said = re.split(r"\n\s*LINE \d+:", message, maxsplit=1)[0]
    return " ".join(said.split()), int(line.group(1)) if line else 0

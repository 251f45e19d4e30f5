"""DuckDB as the engine that runs people's SQL: its words for one line, and stopping it."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator

import duckdb

from headwater.base.errors import HeadwaterError

_ASK_EVERY = 0.2  # seconds


def words(error: duckdb.Error) -> tuple[str, int]:
    """DuckDB's message without the quoted text that follows it, and the line it points at (0 when at none)."""
    message = str(error)
    line = re.search(r"^LINE (\d+):", message, re.MULTILINE)
    said = re.split(r"\n\s*LINE \d+:", message, maxsplit=1)[0]
    return " ".join(said.split()), int(line.group(1)) if line else 0


@contextlib.contextmanager
def interruptible(connection: duckdb.DuckDBPyConnection, check_cancelled: Callable[[], None]) -> Iterator[None]:
    """Stop the statement that runs inside the block soon after `check_cancelled` would raise.

    The statement then fails with a duckdb.InterruptException; whoever catches it calls `check_cancelled`.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_ASK_EVERY):
            try:
                check_cancelled()
            except HeadwaterError:
                connection.interrupt()
                return

    watcher = threading.Thread(target=watch, name="interrupt-sql", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()

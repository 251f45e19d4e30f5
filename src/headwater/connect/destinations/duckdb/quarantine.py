"""What the file's books hold of records that were set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.connect import warehouse
from headwater.connect.destinations.bookkeeping import refuse_older
from headwater.connect.destinations.duckdb import books
from headwater.connect.destinations.quarantine import BookedQuarantine, Words

if TYPE_CHECKING:
    from headwater.connect.destinations.duckdb import Settings

_WORDS = Words(
    rejects="_headwater.rejects",
    shapes="_headwater.shapes",
    declared="select source_name, declared from _headwater.tables join _headwater.columns "
    "using (schema_name, table_name) where stream = ? and schema_name = ?",
    mark="?",
    micros="epoch_us({})",
)


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, source: str, folder: Path, on_wait: Callable[[str], None]
) -> BookedQuarantine:
    """The file is opened for each question."""
    del folder
    path = Path(settings.filepath).expanduser()

    def ask(query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if not path.exists() or not path.stat().st_size:
            return []
        with warehouse.reading(path, who="headwater rejects", on_wait=on_wait) as connection:
            if not books.exist(connection):
                return []
            refuse_older(books.check_format(connection))
            found: list[tuple[Any, ...]] = connection.execute(query, list(values)).fetchall()
            return found

    return BookedQuarantine(_WORDS, ask, schema=settings.default_target_schema or source)

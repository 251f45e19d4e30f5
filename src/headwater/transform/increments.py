"""The text of an incremental model, which is two SELECTs in one: all rows, and the rows that are new.

    select id, status, updated_at from shop.orders
    where updated_at > (select max(updated_at) from this)  -- incremental

A line that ends with `-- incremental` counts only when rows are added to the table that stands; `this` is that table.
"""

from __future__ import annotations

import re

from headwater.base.errors import InputError, Where
from headwater.transform.references import Reads, read

THIS = "this"
_MARK = re.compile(r"--[ \t]*incremental[ \t]*$", re.IGNORECASE)


def is_marked(line: str) -> bool:
    return _MARK.search(line.rstrip()) is not None


def whole(sql: str) -> str:
    """The SELECT of all rows. Lines keep their numbers."""
    return "\n".join("" if is_marked(line) else line for line in sql.split("\n"))


def reads(sql: str, file: str, table: str, dialect: str) -> tuple[Reads, str]:
    """What either SELECT reads, apart from `this`; and the SELECT of new rows, where `this` is `table`.

    Raises what `read` raises of one of them, and InputError (`bad-incremental`) for `this` on a line without mark.
    """
    every = read(whole(sql), file, dialect)
    for found in every.tables:
        if _is_this(found.words):
            raise InputError(
                "bad-incremental",
                "`this` is the table as it stands, which a line without mark reads",
                where=Where(file, found.line),
                why="before its first build a model has no table",
                hint="end the line with `-- incremental`: it is left out when the table is made anew",
            )
    new = read(sql, file, dialect)
    known = {found.words.casefold() for found in every.tables}
    added = tuple(found for found in new.tables if not _is_this(found.words) and found.words.casefold() not in known)
    text = sql
    for start, end in sorted(new.places.get(THIS, ()), reverse=True):
        text = f"{text[:start]}{table}{text[end + 1 :]}"
    tables = (*every.tables, *added)
    return Reads(tables=tables, unsteady=every.unsteady or new.unsteady, places=every.places), text


def _is_this(words: str) -> bool:
    return words.casefold() == THIS

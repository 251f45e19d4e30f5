"""Who wrote the commits: one row for each e-mail address."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from headwater.connect.sources.git.columns import AUTHORS, moments, text
from headwater.connect.sources.git.tokens import field, whole

_PERIOD = 4
_SIZE = 4 << 20
_SUMS: list[tuple[str, str]] = [
    ("name", "last"),
    ("commits", "sum"),
    ("first_authored_at", "min"),
    ("last_authored_at", "max"),
]


def arguments(*, mailmap: bool) -> list[str]:
    """For `git log`, oldest first, so that the last name is the newest."""
    fields = "%aE%x00%aN%x00%ad" if mailmap else "%ae%x00%an%x00%ad"
    plain = ("--no-patch", "--no-show-signature", "--no-notes", "--no-decorate", "--no-color", "--encoding=UTF-8")
    return ["log", "--reverse", "--topo-order", "--date=raw", *plain, f"--format=tformat:%x00{fields}%x00"]


def authors(pieces: Iterable[bytes]) -> tuple[pa.RecordBatch, dict[str, int]]:
    """All of them, by their address, and how many texts were no UTF-8, by column."""
    known = AUTHORS.empty_table()
    repaired: dict[str, int] = {}
    for tokens in whole(pieces, _PERIOD, _SIZE):
        email, odd_email = text(field(tokens, 0, _PERIOD))
        name, odd_name = text(field(tokens, 1, _PERIOD))
        for column, count in (("email", odd_email), ("name", odd_name)):
            if count:
                repaired[column] = repaired.get(column, 0) + count
        at, _zone = moments(field(tokens, 2, _PERIOD))
        one = pa.repeat(pa.scalar(1, pa.int64()), len(at))
        more = pa.Table.from_arrays([email, name, one, at, at], schema=AUTHORS)
        both = pa.concat_tables([known, more]).group_by("email", use_threads=False).aggregate(_SUMS)
        known = both.select(["email", *(f"{name}_{how}" for name, how in _SUMS)]).rename_columns(AUTHORS.names)
    found = known.cast(AUTHORS).sort_by("email")
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in found.columns], schema=AUTHORS), repaired

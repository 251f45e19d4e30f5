"""Settings that all destinations for files share."""

from __future__ import annotations

from typing import Literal

from headwater.connect.objects import Access


class FileSettings(Access, frozen=True, kw_only=True):
    load_method: Literal["append-only", "overwrite"] = "append-only"
    max_file_bytes: int = 1 << 30


class Partitioned(FileSettings, frozen=True, kw_only=True):
    """`partition_by` names columns or parts of dates for all streams, or those of each stream."""

    partition_by: str | list[str] | dict[str, str | list[str]] | None = None


def partitions_of(settings: FileSettings, stream: str) -> tuple[str, ...]:
    """What a stream is partitioned by, as the setting names it."""
    wanted = settings.partition_by if isinstance(settings, Partitioned) else None
    if isinstance(wanted, dict):
        wanted = wanted.get(stream)
    if isinstance(wanted, str):
        wanted = wanted.split(",")
    return tuple(one.strip() for one in wanted or () if one.strip())

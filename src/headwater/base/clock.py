"""The only place that reads the clock. Durations use `monotonic`, never the wall clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime

monotonic = time.monotonic


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


def iso(instant: datetime) -> str:
    """RFC 3339 with microseconds and `Z`: sorts as text."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

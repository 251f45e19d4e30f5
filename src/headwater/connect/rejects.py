"""Records that were set aside: what a destination keeps of them, and how they are loaded again.

A reject is kept with the SCHEMA line that it came under, so that it can be read again as if the source sent it once
more, and with the moment since which the rows beside it were gathered. A row that was loaded at that moment or later
may be newer than the reject, and is never overwritten by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from headwater.connect.contract import Rejected, Session

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Why a reject stays that the destination would take.
OUTDATED = "a row with this key was loaded at the same time or later"


class Origin(Struct, frozen=True, kw_only=True):
    """The commit that set a record aside. Every row that was loaded before `since` is older than the record;
    `rejected_at` is the moment of the commit."""

    run_id: str
    sequence: int
    since: datetime
    rejected_at: datetime


class Reject(Struct, frozen=True, kw_only=True):
    """A record in quarantine. `id` is its own for ever: one that is set aside again gets another. `source` is told
    where a load without a pipeline is known by it only."""

    id: str
    pipeline: str | None
    origin: Origin
    rejected: Rejected
    source: str | None = None


class Chosen(Struct, frozen=True, kw_only=True):
    """Which rejects are meant; None is any. `run_id` and `id` may be cut to their first characters. `commit` is the run
    and the number of one commit."""

    pipeline: str | None = None
    stream: str | None = None
    run_id: str | None = None
    id: str | None = None
    commit: tuple[str, int] | None = None


class Count(Struct, frozen=True, kw_only=True):
    """How many rejects of a stream a run left."""

    pipeline: str | None
    run_id: str
    stream: str
    count: int
    rejected_at: datetime


class Again(Struct, frozen=True, kw_only=True):
    """Rejects that the next commit takes out of quarantine. Those of them that again can't be loaded are set aside as
    what they were, `origin`; None promises that there are none."""

    ids: tuple[str, ...]
    origin: Origin | None


class Quarantine(Protocol):
    """What a destination has set aside. Reading it changes nothing and waits for no load, but where a file lets only
    one process in. It may be that there is none yet."""

    def counts(self, chosen: Chosen) -> list[Count]:
        """The newest first."""
        ...

    def commits(self, chosen: Chosen) -> list[tuple[str | None, Origin]]:
        """The pipelines and commits that rejects are left of, the newest first."""
        ...

    def rejects(self, chosen: Chosen, limit: int | None = None) -> list[Reject]:
        """The newest commit first; within it in the order of arrival."""
        ...

    def declared(self, pipeline: str | None, stream: str) -> dict[str, str]:
        """The types that the source last declared the columns of a stream to have, as the books call them; {} for a
        stream that they don't know."""
        ...

    def close(self) -> None:
        """Safe to call twice."""
        ...


class QuarantineModule(Protocol):
    def open(self, settings: Any, *, source: str, folder: Path, on_wait: Callable[[str], None]) -> Quarantine:
        """`source` and `folder` as in `OpenRequest`. Raises EnvironmentProblemError as a load does."""
        ...


class ReplaySession(Session, Protocol):
    """A session that can take rejects out of quarantine."""

    def replay(self, again: Again) -> None:
        """With the next commit. To be called before its rows come. The commit raises RunFailedError
        (`rejects-changed`) when one of them is no longer there: then nothing of it is kept."""
        ...


def reject_id(pipeline: str | None, run_id: str, sequence: int, number: int) -> str:
    """The id of the `number`th record that a commit sets aside."""
    named = hashlib.sha256("\0".join((pipeline or "", run_id, str(sequence))).encode("utf-8", "surrogatepass"))
    return f"{named.hexdigest()[:10]}-{number}"


def shape_id(schema: bytes) -> str:
    """What names a SCHEMA line in the books."""
    return hashlib.sha256(schema).hexdigest()[:16]


def moment_of(number: int) -> datetime:
    """Of the microseconds since 1970: every database gives those without losing any."""
    return _EPOCH + timedelta(microseconds=int(number))


def rows(pipeline: str | None, entry: tuple[str, int], origin: Origin, rejects: Sequence[Rejected]) -> list[list[Any]]:
    """The rejects as the books have them, one column after the other. `entry` is the run and the number of the commit
    that writes them."""
    return [
        [
            reject_id(pipeline, *entry, number),
            number,
            pipeline,
            origin.run_id,
            origin.sequence,
            one.stream,
            one.record.decode(errors="backslashreplace"),
            one.reason,
            origin.rejected_at,
            origin.since,
            one.version,
            one.stages,
            shape_id(one.schema),
        ]
        for number, one in enumerate(rejects, 1)
    ]

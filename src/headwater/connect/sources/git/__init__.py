"""The history of a git repository, read by the program `git`: commits, the files that they change, who wrote them,
branches and tags.

Commits come after their parents. So what is delivered at any moment has a few newest commits that tell all of it, and
these are the bookmark: the next read takes what can't be reached from them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

import msgspec
import pyarrow as pa
from msgspec import Struct, field

from headwater.base.errors import InputError
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema
from headwater.connect.sources import catalog_entry
from headwater.connect.sources.git import history, people, refs, repository
from headwater.connect.sources.git.columns import INCREMENTAL, KEYS, NUMBERS, SCHEMAS
from headwater.connect.sources.git.program import StoppedError, Waiting
from headwater.connect.sources.git.repository import Repository
from headwater.connect.sources.git.settings import EVERY_REF, Settings
from headwater.connect.sources.source_state import decoded
from headwater.connect.stages.select import taken
from headwater.model.catalog import Catalog

__all__ = ["Settings", "discover", "read", "signature"]

# A piece of what `git log` writes has at most so many bytes, as its columns take about as much again.
_MOST_BYTES = 8 << 20


class Noted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that can be reached from `tips` was delivered, under these settings, of a repository that had no parents of
    the commits in `shallow`."""

    tips: list[str] = field(default_factory=list)
    since: str | None = None
    shallow: list[str] = field(default_factory=list)


class State(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    streams: dict[str, Noted] = field(default_factory=dict)


class _Stream(Struct, frozen=True, kw_only=True):
    """A selected stream. `is_full`: it is read whole and replaces what was loaded."""

    name: str
    columns: pa.Schema
    is_full: bool

    def schema(self) -> Schema:
        return Schema(stream=self.name, columns=self.columns, keys=KEYS[self.name], replace=self.is_full)

    def rows(self, batch: pa.RecordBatch, repaired: dict[str, int], most: int) -> Iterator[Rows]:
        """In batches of about `most` bytes; the first one counts what was repaired."""
        batch = batch.select(self.columns.names)
        step = max(1, batch.num_rows * most // max(1, batch.nbytes))
        counted = {name: count for name, count in repaired.items() if name in self.columns.names}
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            yield Rows(stream=self.name, batch=part, repaired={} if start else counted, size=part.nbytes)


def discover(settings: Settings) -> Catalog:
    """The streams, which are the same for every repository. Raises InputError and EnvironmentProblemError for one that
    can't be reached."""
    repository.reachable(settings)
    return Catalog(
        streams=[
            catalog_entry.entry(
                name, schema, keys=KEYS[name], cursor=None, is_incremental=name in INCREMENTAL, marks={}
            )
            for name, schema in SCHEMAS.items()
        ]
    )


def signature(settings: Settings) -> str:
    """The address: what the streams are depends on nothing else."""
    return hashlib.sha256(settings.repository.encode()).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The selected streams: what goes on from a bookmark first, then what is replaced, which only the last checkpoint
    covers. Raises what `repository.opened`, `repository.tips` and `program.output` do, InputError
    (`unreadable-state`, `bad-date`)."""
    state = decoded(request.state, State, of="the git source")
    since = None if settings.since is None else _epoch(settings.since)
    streams = _selected(request.catalog)
    if not streams:
        return
    waiting = Waiting(should_stop=request.should_stop, on_line=request.on_line, idle_seconds=request.idle_seconds)
    try:
        found = repository.opened(settings, waiting)
        tips = repository.tips(found)
        after = msgspec.json.decode(msgspec.json.encode(state), type=State)
        walk = _Walk(found, tips, since, request, after)
        going_on = [one for one in streams if not one.is_full]
        for begin in {tuple(walk.known(one)): None for one in going_on}:
            yield from walk.commits([one for one in going_on if tuple(walk.known(one)) == begin], list(begin))
        whole = [one for one in streams if one.is_full]
        yield from walk.commits([one for one in whole if one.name in INCREMENTAL], [], notes=False)
        for one in whole:
            if one.name not in INCREMENTAL:
                yield from walk.other(one)
    except StoppedError:
        return
    yield Checkpoint(state=msgspec.json.encode(after))


class _Walk:
    """One read of a repository: `after` is the state as it is to be noted next."""

    def __init__(
        self, found: Repository, tips: list[str], since: int | None, request: ReadRequest, after: State
    ) -> None:
        self._found = found
        self._tips = tips
        self._since = since
        self._request = request
        self._after = after
        self._shallow = found.shallow()
        self._told: set[int] = set()
        self._known: dict[str, list[str]] = {}

    def known(self, one: _Stream) -> list[str]:
        """What the stream goes on from: nothing when an earlier read saw less of what it read than there is now."""
        if one.name not in self._known:
            noted = self._after.streams.get(one.name, Noted())
            is_less = noted.since is not None and (self._since is None or _epoch(noted.since) > self._since)
            is_same = not is_less and noted.shallow == self._shallow
            self._known[one.name] = repository.present(self._found, noted.tips) if is_same else []
        return self._known[one.name]

    def commits(self, streams: list[_Stream], begin: list[str], *, notes: bool = True) -> Iterator[Message]:
        """Both streams of commits in one pass, or the one of them that is wanted."""
        if not streams:
            return
        for one in streams:
            yield one.schema()
        heads = set(begin)
        self._tell_rewritten(begin)
        with closing(self._log(streams, begin)) as parts:
            for part in parts:
                for one in streams:
                    batch = part.commits if one.name == "commits" else part.files
                    assert batch is not None
                    yield from one.rows(batch, part.repaired[one.name], self._request.batch_bytes)
                heads.update(part.shas)
                heads.difference_update(part.parents)
                # Where commits are left out by their age, those before another may still come after it.
                if notes and self._since is None:
                    self._note(streams, sorted(heads))
                    yield Checkpoint(state=msgspec.json.encode(self._after))
                if self._request.should_stop():
                    raise StoppedError
        if notes:
            self._note(streams, self._tips)
            yield Checkpoint(state=msgspec.json.encode(self._after))

    def other(self, one: _Stream) -> Iterator[Message]:
        """A stream that is read whole."""
        yield one.schema()
        repaired: dict[str, int] = {}
        if one.name == "authors":
            batch, repaired = self._authors()
            batches = [batch]
        else:
            batches = refs.branches(self._found) if one.name == "branches" else refs.tags(self._found)
        for batch in batches:
            yield from one.rows(batch, repaired, self._request.batch_bytes)

    def _authors(self) -> tuple[pa.RecordBatch, dict[str, int]]:
        asked = people.arguments(mailmap=self._found.settings.mailmap)
        with closing(self._git(asked, [])) as pieces:
            return people.authors(pieces)

    def _log(self, streams: list[_Stream], begin: list[str]) -> Generator[history.Part, None, None]:
        changes = any(one.name == "files" or not NUMBERS.isdisjoint(one.columns.names) for one in streams)
        asked = history.arguments(mailmap=self._found.settings.mailmap, changes=changes)
        size = min(self._request.batch_bytes, _MOST_BYTES)
        with closing(self._git(asked, begin, size)) as pieces:
            yield from history.parts(pieces, boundary=frozenset(self._shallow), size=size, changes=changes)

    def _git(self, asked: list[str], begin: list[str], size: int = 1 << 20) -> Generator[bytes, None, None]:
        """What `git log` writes of the commits that `begin` does not reach."""
        if not self._tips:
            return
        limit = [] if self._since is None else [f"--max-age={self._since}"]
        given = [*self._tips, *(f"^{tip}" for tip in begin)]
        names = "HEAD" if self._found.settings.ref == EVERY_REF else self._tips[0]
        yield from self._found.output(
            *asked, *limit, "--stdin", given=given, size=min(size, 1 << 20), config=[f"mailmap.blob={names}:.mailmap"]
        )

    def _note(self, streams: Iterable[_Stream], tips: list[str]) -> None:
        since = self._found.settings.since
        for one in streams:
            self._after.streams[one.name] = Noted(tips=tips, since=since, shallow=self._shallow)

    def _tell_rewritten(self, begin: list[str]) -> None:
        if not begin or begin == self._tips or not self._tips:
            return
        count = repository.left_behind(self._found, begin, self._tips)
        if count and count not in self._told:
            self._told.add(count)
            self._request.on_line(
                f"the history was rewritten: {count:,} commits that were loaded are no longer part of it; "
                "they stay where they were loaded until a run with --full-refresh"
            )


def _selected(catalog: Catalog) -> list[_Stream]:
    streams = []
    for entry in catalog.streams:
        part = taken(entry)
        if part is not None and entry.name in SCHEMAS:
            takes: Callable[[str], bool] = part.takes
            columns = pa.schema([one for one in SCHEMAS[entry.name] if takes(one.name)])
            is_full = entry.name not in INCREMENTAL or catalog_entry.is_full(entry)
            streams.append(_Stream(name=entry.name, columns=columns, is_full=is_full))
    return streams


def _epoch(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            "bad-date", f"`since` is no date: `{text}`", hint="write it as 2024-01-31, or as 2024-01-31T12:00:00Z"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())

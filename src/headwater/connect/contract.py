"""The one contract between sources, stages and destinations.

    Source.read() ─► Message* ─► Stage* ─► Session(stage · commit) ─► Receipt

A connector is a module. A source module has `Settings`, `discover`, `read`; a destination module has `Settings`,
`open`. `registry.py` maps names to modules. Messages come in order and are pulled: who reads slowly makes the
source wait. A Checkpoint vouches for all rows that came before it, and for none after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
from msgspec import Struct, field

from headwater.model.catalog import Catalog

# Field metadata of an Arrow string column whose text is JSON (objects, arrays, anything untyped).
JSON_FIELD = {b"headwater.type": b"json"}


class Schema(Struct, frozen=True, kw_only=True):
    """Says what a stream's rows look like from here on. Comes before the stream's first Rows; may come again.

    `columns` holds Arrow's `bool_, int64, float64, decimal128, string, binary, date32, time64(us),
    timestamp(us, UTC)` only; JSON is `string` with `JSON_FIELD` metadata. Column names are the source's own,
    nested objects already flattened to `a__b`. `keys` and `cursor` name columns. `replace` asks the destination
    to swap the stream's whole content at the end of the run for what this run delivers. A source that could send the
    rows encoded asks by `forms` what the destination takes, and waits for the answer.
    """

    stream: str
    columns: pa.Schema
    keys: tuple[str, ...] = ()
    cursor: str | None = None
    replace: bool = False
    forms: Future[frozenset[str]] | None = None


class Rows(Struct, frozen=True, kw_only=True):
    """Rows of one stream, in source order, with exactly the columns of the stream's last Schema, or encoded in a form
    (`connect.encoded`) that the destination said it takes.

    `missing` has one entry a row: null, or the list of columns that the source did not send for that row (a
    missing field is not a null: on an upsert the old value stays). None means nothing was missing.
    `version` is Singer's table version. `repaired` counts values that were changed to fit, by column.
    `size` is the rows' size in bytes as they came. Rows that come `again` can be had once more, with all of the stream
    since the last Checkpoint: a destination that sent them ahead of their commit need not keep them, and raises
    StartOverError when it wants them.
    """

    stream: str
    batch: pa.RecordBatch
    missing: pa.Array | None = None
    version: int | None = None
    repaired: dict[str, int] = field(default_factory=dict)
    size: int = 0
    again: bool = False


class Checkpoint(Struct, frozen=True, kw_only=True):
    """All rows before this message are covered by `state`: raw JSON text, opaque, never re-serialised."""

    state: bytes


class ActivateVersion(Struct, frozen=True, kw_only=True):
    """Rows of the stream with an older version no longer exist in the source."""

    stream: str
    version: int


class Rejected(Struct, frozen=True, kw_only=True):
    """A record that cannot be loaded, and why. `record` is its text as it came, JSON if it was readable.

    `stream` is the name under which it would have reached the destination. To be read again it needs the SCHEMA line
    that it came under (`schema`, Singer's, b"" when nobody knows), its table version, and the number of stages that it
    had not passed yet (`stages`, counted from the last one).
    """

    stream: str
    record: bytes
    reason: str
    schema: bytes = b""
    version: int | None = None
    stages: int = 0


Message = Schema | Rows | Checkpoint | ActivateVersion | Rejected


# As long as a pipeline of programs may stand still.
IDLE_SECONDS = 10_800.0


class ReadRequest(Struct, frozen=True, kw_only=True):
    """What a source is asked for. `catalog` holds the selection; `state` is the raw state to go on from.

    `folder` is a private scratch folder; `should_stop` is asked between batches: when it answers true, `read`
    emits a last Checkpoint if it can and returns. `jobs` streams may be read at a time, by a source that
    can; what it then has read and not yet yielded should stay below `ahead_bytes`. `may_start_over` allows `read` to
    raise StartOverError, `may_ask` to ask by `Schema.forms`. A server that shows no sign of life for `idle_seconds`
    while it is waited for ends the read (`no-sign-of-life`). `on_line` hears what a program behind the source writes
    for people to read. `on_bad_record` says what becomes of a record that can't be read: the read fails, or a Rejected
    is yielded.
    """

    catalog: Catalog
    state: bytes | None
    folder: Path
    batch_bytes: int = 8 << 20
    jobs: int = 1
    ahead_bytes: int = 32 << 20
    may_start_over: bool = False
    may_ask: bool = False
    on_bad_record: Literal["fail", "quarantine"] = "fail"
    idle_seconds: float = IDLE_SECONDS
    should_stop: Callable[[], bool] = lambda: False
    on_line: Callable[[str], None] = lambda _text: None


class StartOverError(Exception):
    """A source took something for granted that did not hold, as it says: what it yielded since its last Checkpoint is
    to be dropped, and to be read again from there, with `may_start_over` false. A destination says so of encoded rows,
    and of those that come `again`: those since its last commit are to be read again."""


class SourceModule(Protocol):
    """`Settings` is a msgspec struct whose fields are the plugin's settings."""

    Settings: type[Struct]

    def discover(self, settings: Any) -> Catalog:
        """What the source offers. Raises InputError or EnvironmentProblemError when it can't be reached."""
        ...

    def signature(self, settings: Any) -> str | None:
        """A digest of all that `discover` would look at: as long as it is the same, so is the catalog. Much cheaper
        than to discover, or None: then every run discovers."""
        ...

    def read(self, settings: Any, request: ReadRequest) -> Iterator[Message]: ...


class Change(Struct, frozen=True, kw_only=True):
    """Something the destination adjusted; the words of `model.event.Adjusted`."""

    stream: str
    column: str | None
    change: str
    detail: str
    count: int = 1


class StreamReceipt(Struct, frozen=True, kw_only=True):
    """`rows_in` were staged; `rows_out` of them were taken (loaded), `rejected` were set aside. Always
    `rows_in = rows_out + rejected`; a record given to `reject` counts in both `rows_in` and `rejected`.
    `repaired` counts changed values."""

    rows_in: int = 0
    rows_out: int = 0
    rejected: int = 0
    repaired: int = 0


class Receipt(Struct, frozen=True, kw_only=True):
    """What one commit made durable, per stream, together with its checkpoint."""

    sequence: int
    streams: dict[str, StreamReceipt]
    changes: tuple[Change, ...] = ()
    checkpoint: bytes | None = None


class StoredColumn(Struct, frozen=True, kw_only=True):
    """`declared` is the type that the source's schema gave, `sent` what the values came as, `type` what the destination
    holds. `is_inexact`: a value did not survive the type it was to have, so the column became text."""

    source: str
    name: str
    declared: str
    sent: str
    type: str
    is_json: bool = False
    is_inexact: bool = False


class Stored(Struct, frozen=True, kw_only=True):
    """How a stream stands in the destination. `place` is its table or folder, `method` the load method that applied;
    `keys` and `cursor` are the source's names."""

    place: str
    method: str
    keys: tuple[str, ...] = ()
    cursor: str | None = None
    columns: tuple[StoredColumn, ...] = ()


class OpenRequest(Struct, frozen=True, kw_only=True):
    """Who loads. `pipeline` (the state id) names the checkpoint; None keeps no checkpoint.

    `folder` is a private scratch folder for spooling; `source` is the extractor's namespace, the default schema
    name. `memory_bytes` bounds what a session holds before it spools to `folder`. `on_bad_row` says what becomes of a
    row that the destination refuses: the load fails, or the row is set aside with the reason. `on_wait` hears for whom
    a session waits, `on_notice` in a sentence what the user can better: the load goes on without it. `idle_seconds` as
    in `ReadRequest`.
    """

    pipeline: str | None
    run_id: str
    source: str
    folder: Path
    memory_bytes: int = 256 << 20
    on_bad_row: Literal["fail", "quarantine"] = "fail"
    idle_seconds: float = IDLE_SECONDS
    on_wait: Callable[[str], None] = lambda _who: None
    on_notice: Callable[[str], None] = lambda _text: None


class Session(Protocol):
    """A load in progress. Nothing is visible to a reader of the destination before `commit` returns."""

    def checkpoint(self) -> bytes | None:
        """The state that stands with the data for this pipeline; None when it never loaded here."""
        ...

    def prepare(self, schema: Schema) -> bool:
        """A stream's (new) shape. True when the stream is replaced, because the schema or the destination's own
        settings say so: its rows take effect at the `final` commit only, so no checkpoint that covers them may be
        committed before. Raises InputError (`unsupported-change`) for a change that would lose data."""
        ...

    def takes(self, stream: str) -> frozenset[str]:
        """The forms in which rows of a stream that is prepared may come encoded; `encoded.AT_ONCE` is one more word on
        it. It may turn out at any time that some
        do not fit: then StartOverError is raised, and nothing of what is not committed counts."""
        ...

    def stage(self, rows: Rows) -> None:
        """Take rows. They are lost when the session ends without a commit."""
        ...

    def reject(self, rejected: Rejected) -> None: ...

    def activate(self, version: ActivateVersion) -> None: ...

    def staged_bytes(self) -> int: ...

    def boundary(self) -> None:
        """A checkpoint vouches for all that was prepared, staged, rejected and activated so far. Must be cheap:
        some sources checkpoint after every row."""
        ...

    def commit(self, checkpoint: bytes | None, *, final: bool = False, to_boundary: bool = False) -> Receipt:
        """Rows, checkpoint and ledger row become durable together, or none of them does.

        `checkpoint` None keeps the one that stands. `final` is true once, when the source ended well: only then
        do replaced streams swap. Calling it with nothing staged is allowed and cheap. `to_boundary` leaves out
        what came after the last `boundary`: it stays staged for the next commit and is lost at `close`. The
        receipt counts what was committed, nothing else.
        """
        ...

    def sends_ahead(self) -> bool:
        """Whether rows are on their way before their commit, so that few commits take no longer than many."""
        ...

    def stored(self) -> dict[str, Stored]:
        """How the streams that this session committed rows of stand now."""
        ...

    def close(self) -> None:
        """Drop what was not committed and free everything. Safe to call twice."""
        ...


class DestinationModule(Protocol):
    Settings: type[Struct]

    def open(self, settings: Any, request: OpenRequest) -> Session: ...


Stage = Callable[[Message], Sequence[Message]]


def staged(message: Message, stages: Iterable[Stage]) -> Sequence[Message]:
    """What comes out of the stages, in their order, for one message."""
    found: Sequence[Message] = (message,)
    for stage in stages:
        found = [result for given in found for result in stage(given)]
    return found

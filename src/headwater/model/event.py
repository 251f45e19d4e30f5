"""A run is its events. Work emits them; terminal, log file, run store and UI only listen.

Each event is a frozen struct with a `kind` tag in JSON. `step` is the step's name within the run. Events never
hold a secret: whoever emits a plugin's text has passed it through the block's Redactor.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from headwater.model.catalog import CatalogChange


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Outcome(StrEnum):
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StreamFigures(Struct, frozen=True, kw_only=True):
    """A stream's counts. `read = loaded + filtered + rejected` holds at the end of a successful step on every
    native road; None means that road cannot know the figure. `loaded` counts rows accepted into the
    destination, not rows changed there. `size` is in bytes as read. `checkpoint` is `saved` when a state that stands
    with the data covers them, up to where it reaches."""

    stream: str
    read: int | None = None
    loaded: int | None = None
    rejected: int | None = None
    filtered: int | None = None
    repaired: int | None = None
    size: int | None = None
    seconds: float = 0.0
    checkpoint: str | None = None


class Problem(Struct, frozen=True, kw_only=True):
    """A HeadwaterError as data. `program_code` is the exit code of the plugin's program that is to blame, negative for
    a signal."""

    reference: str
    what: str
    where: str | None = None
    why: str | None = None
    hint: str | None = None
    exit_code: int = 1
    program_code: int | None = None


class RunStarted(Struct, frozen=True, kw_only=True, tag_field="kind", tag="run-started"):
    run_id: str
    environment: str | None
    steps: tuple[str, ...]
    version: str


class StepStarted(Struct, frozen=True, kw_only=True, tag_field="kind", tag="step-started"):
    """`road` is the way of the rows: `─►` is Arrow within this process, `═►` lines through a pipe. `streams` are the
    patterns of those that the run was told to take or, with `!`, to leave out; none are all."""

    step: str
    state_id: str | None = None
    road: str | None = None
    streams: tuple[str, ...] = ()


class Progress(Struct, frozen=True, kw_only=True, tag_field="kind", tag="progress"):
    """At most two a second and step. `phase` is what the step does now, in a word or three."""

    step: str
    phase: str
    streams: tuple[StreamFigures, ...] = ()
    size: int = 0
    seconds: float = 0.0


class PluginLine(Struct, frozen=True, kw_only=True, tag_field="kind", tag="plugin-line"):
    """A line that a plugin wrote to its stderr (or, for a command, its stdout)."""

    step: str
    plugin: str
    level: Level
    text: str
    stdout: bool = False


class Notice(Struct, frozen=True, kw_only=True, tag_field="kind", tag="notice"):
    """Something a person may want to know; a WARNING is one he can act on."""

    step: str | None
    level: Level
    text: str


class Adjusted(Struct, frozen=True, kw_only=True, tag_field="kind", tag="adjusted"):
    """The destination differs from what the source said, and how: `change` is one of `table-created`,
    `column-added`, `column-widened`, `renamed`, `value-repaired`, `field-extra`, `rows-deleted`,
    `rows-marked`, `rows-closed`, `history-started`, `version-ignored`."""

    step: str
    stream: str
    column: str | None
    change: str
    detail: str
    count: int = 1


class SourceChanged(Struct, frozen=True, kw_only=True, tag_field="kind", tag="source-changed"):
    """What a source offers differs from what it offered when it was last looked at."""

    step: str
    change: CatalogChange


class ColumnStored(Struct, frozen=True, kw_only=True):
    """A column at its source and in the destination. `declared` is the type the source gave it, `type` the one it is
    held in; `why` says in words what is between them. `repaired` counts values of this run that were changed to fit
    before they reached the destination."""

    source: str
    name: str
    declared: str
    type: str
    why: tuple[str, ...] = ()
    repaired: int = 0


class StreamStored(Struct, frozen=True, kw_only=True, tag_field="kind", tag="stream-stored"):
    """How a stream stands in the destination at the end of a load. `place` is its table or folder; `method` the load
    method that applied; `keys` and `cursor` are the source's names; `commits` are those of the whole load."""

    step: str
    stream: str
    place: str
    method: str
    keys: tuple[str, ...] = ()
    cursor: str | None = None
    commits: int = 0
    columns: tuple[ColumnStored, ...] = ()


class CheckpointSaved(Struct, frozen=True, kw_only=True, tag_field="kind", tag="checkpoint-saved"):
    """The data up to this state is durable. `state` is the JSON text of the state value."""

    step: str
    state_id: str
    state: str


class ModelBuilt(Struct, frozen=True, kw_only=True, tag_field="kind", tag="model-built"):
    step: str
    model: str
    outcome: Outcome
    rows: int | None = None
    seconds: float = 0.0
    skipped: bool = False
    message: str | None = None


class Checked(Struct, frozen=True, kw_only=True, tag_field="kind", tag="checked"):
    """A data check ran. `failing` counts the rows that break it. A failed one of severity `warn` does not fail the
    step; the other severity is `error`. `sample` names some of those rows by their keys, values as text and personal
    ones masked. `observed` is what a check saw that compares with former runs, as text."""

    step: str
    check: str
    outcome: Outcome
    severity: str = "error"
    failing: int = 0
    seconds: float = 0.0
    message: str | None = None
    sample: tuple[dict[str, str | None], ...] = ()
    observed: str | None = None


class LineageNode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a transformation. `key` is unique in its project, `type` is `model`, `seed`, `snapshot`, `test`,
    `source` or `exposure`; `place` is its table; `needs` are the keys of what it reads."""

    key: str
    name: str
    type: str
    place: str | None = None
    file: str | None = None
    needs: tuple[str, ...] = ()


class Lineage(Struct, frozen=True, kw_only=True, tag_field="kind", tag="lineage"):
    """What the parts of a transformation read, as its tool knows it."""

    step: str
    nodes: tuple[LineageNode, ...]


class StepFinished(Struct, frozen=True, kw_only=True, tag_field="kind", tag="step-finished"):
    step: str
    outcome: Outcome
    seconds: float
    streams: tuple[StreamFigures, ...] = ()
    problem: Problem | None = None


class RunFinished(Struct, frozen=True, kw_only=True, tag_field="kind", tag="run-finished"):
    run_id: str
    outcome: Outcome
    seconds: float


class Install(Struct, frozen=True, kw_only=True, tag_field="kind", tag="install"):
    """An environment of a plugin: `status` is one of `started`, `installed`, `skipped`, `failed`."""

    plugin: str
    status: str
    seconds: float = 0.0
    detail: str | None = None


Event = (
    RunStarted
    | StepStarted
    | Progress
    | PluginLine
    | Notice
    | Adjusted
    | SourceChanged
    | StreamStored
    | CheckpointSaved
    | ModelBuilt
    | Checked
    | Lineage
    | StepFinished
    | RunFinished
    | Install
)

Emit = Callable[[Event], None]

"""The lines that an Airbyte connector writes, as Singer messages: they then take the road that Singer's records take.

A block of lines is decoded in one call, and of its records only the stream's name and the bytes of `data` are picked
up, column by column.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import compress, count, repeat
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.connect.singer import lines
from headwater.connect.singer.lines import NOTHING, Block, Decoded, Envelope, Form, Marked
from headwater.connect.sources.airbyte.state import State


class Record(Struct, gc=False):
    """`emitted_at` and the rest are skipped."""

    stream: str = ""
    data: Raw = NOTHING


class Line(Struct, gc=False):
    """A message of the protocol. SCHEMA lines are none of it: they are put before a connector's output, as Singer's."""

    type: str
    record: Record = field(default_factory=Record)
    state: Raw = NOTHING
    log: Raw = NOTHING
    trace: Raw = NOTHING
    catalog: Raw = NOTHING
    spec: Raw = NOTHING
    stream: str | None = None
    schema: Raw = NOTHING
    key_properties: Raw = NOTHING
    bookmark_properties: Raw = NOTHING


class MarkedLine(Line, gc=False):
    """A line that was not JSON until `repair.marked` went over it: it held NaN, say."""


FORM = Form(msgspec.json.Decoder(Line), msgspec.json.Decoder(MarkedLine))
# Said of every stream several times, or of use to Airbyte's platform only.
_SILENT = frozenset({"DEBUG", "TRACE"})


class Log(Struct):
    level: str = "INFO"
    message: str = ""
    stack_trace: str | None = None


class Descriptor(Struct):
    name: str = ""


class Failure(Struct):
    """What a connector says of its own failure. `failure_type` is `config_error`, `system_error`, …"""

    message: str = ""
    internal_message: str | None = None
    stack_trace: str | None = None
    failure_type: str | None = None
    stream_descriptor: Descriptor | None = None


class Trace(Struct):
    type: str = ""
    error: Failure | None = None


class Reader:
    """What was said so far: `state` grows with every STATE message, `failures` are those that the connector told, and
    `heard` the last lines for people that it wrote among its messages."""

    def __init__(self, name: str, state: State, on_line: Callable[[str], None], *, full: frozenset[str]) -> None:
        self.name = name
        self.state = state
        self.failures: list[Failure] = []
        self.catalog: Raw | None = None
        self.spec: Raw | None = None
        self.heard: deque[str] = deque(maxlen=5)
        self._on_line = on_line
        self._full = full

    def decode(
        self, block: Block, *, noise: Callable[[str], None] | None, replace: Callable[[int], None] | None
    ) -> Decoded:
        """As `singer.lines.decode`. Text that is no message is a line for people, as for Airbyte itself."""
        found = lines.decode(block, noise=noise or self._tell, replace=replace, form=FORM)
        out: list[Envelope] = []
        try:
            self._translate(found.messages, out)
        except HeadwaterError as error:
            return Decoded(out, error)
        return Decoded(out, found.error)

    def _translate(self, found: list[Line], out: list[Envelope]) -> None:
        start = 0
        for position in compress(count(), map("RECORD".__ne__, map(attrgetter("type"), found))):
            out.extend(_records(found[start:position]))
            start = position + 1
            out.extend(self._control(found[position]))
        out.extend(_records(found[start:]))

    def _control(self, line: Line) -> list[Envelope]:
        match line.type:
            case "SCHEMA":
                return [_schema(line)]
            case "STATE":
                is_new = self.state.take(_read(line.state, dict[str, Any], "STATE"), skip=self._full)
                return [Envelope("STATE", value=Raw(self.state.encoded()))] if is_new else []
            case "LOG":
                self._log(_read(line.log, Log, "LOG"))
            case "TRACE":
                trace = _read(line.trace, Trace, "TRACE")
                if trace.type == "ERROR" and trace.error is not None:
                    self.failures.append(trace.error)
            case "CATALOG":
                self.catalog = line.catalog
            case "SPEC":
                self.spec = line.spec
            case "CONTROL":
                self._tell(
                    f"{self.name} asks for its settings to be changed, as after a token was renewed: they stay as they "
                    "are, and it may not be able to log in again"
                )
            case "CONNECTION_STATUS":
                pass
            case _:
                self._tell(f"a message of type `{line.type}` is ignored")
        return []

    def _log(self, log: Log) -> None:
        if log.level.upper() not in _SILENT:
            level = "" if log.level.upper() == "INFO" else f"{log.level} "
            for line in f"{level}{log.message}\n{log.stack_trace or ''}".rstrip().splitlines():
                self._tell(line)

    def _tell(self, text: str) -> None:
        self.heard.append(text)
        self._on_line(text)


def _records(found: list[Line]) -> list[Envelope]:
    streams = map(attrgetter("record.stream"), found)
    data = map(attrgetter("record.data"), found)
    if MarkedLine not in set(map(type, found)):
        return list(map(Envelope, repeat("RECORD"), streams, data))
    return [
        Marked("RECORD", stream, record) if isinstance(line, MarkedLine) else Envelope("RECORD", stream, record)
        for line, stream, record in zip(found, streams, data, strict=True)
    ]


def _schema(line: Line) -> Envelope:
    return Envelope(
        "SCHEMA",
        line.stream,
        schema=line.schema,
        key_properties=line.key_properties,
        bookmark_properties=line.bookmark_properties,
    )


def _read(text: Raw, form: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(text, type=form)
    except msgspec.DecodeError as error:
        raise RunFailedError(
            "bad-message", f"a {what} message of the connector can't be read", why=str(error)
        ) from None

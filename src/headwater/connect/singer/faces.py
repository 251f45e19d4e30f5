"""Native sources as Singer taps and native destinations as Singer targets, on plain byte streams.

They follow the Singer specification to the letter, so that they run under any runner, beside any other plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from headwater.base import clock
from headwater.base.errors import HeadwaterError, InputError, RunFailedError
from headwater.connect.contract import (
    ActivateVersion,
    Checkpoint,
    DestinationModule,
    Message,
    OpenRequest,
    ReadRequest,
    Rejected,
    Rows,
    Schema,
    Session,
    SourceModule,
    Stage,
    staged,
)
from headwater.connect.singer.batch_write import BatchFiles, BatchWriter
from headwater.connect.singer.parse import ParseOptions, messages
from headwater.connect.singer.write import Writer
from headwater.model.catalog import Catalog, CatalogStream

_CHUNK = 1 << 20


class Flush(Struct, frozen=True, kw_only=True):
    """When a target commits: at the first STATE after either limit is reached."""

    size: int = 128 << 20
    seconds: float = 60.0


def serve_tap(
    source: SourceModule,
    settings: Any,
    *,
    discover: bool,
    catalog: dict[str, Any] | None,
    state: bytes | None,
    out: BinaryIO,
    folder: Path,
    batch_files: BatchFiles | None = None,
    stages: Sequence[Stage] = (),
    should_stop: Callable[[], bool] = lambda: False,
    on_line: Callable[[str], None] = lambda _text: None,
) -> None:
    """Write the catalog (`discover`) or the messages of a sync to `out`.

    Without a catalog every stream and column is synced. A stream that is to be replaced comes as a new table
    version, activated when all its rows are out. With `batch_files` many rows go through files there, which are its
    reader's to delete. Raises InputError for a catalog that is none, RunFailedError
    (`target-gone`) when nobody reads `out` any more.
    """
    try:
        if discover:
            out.write(msgspec.json.format(msgspec.json.encode(source.discover(settings)), indent=2) + b"\n")
            out.flush()
            return
        stopped: list[bool] = []

        def asked() -> bool:
            if should_stop():
                stopped.append(True)
            return bool(stopped)

        request = ReadRequest(
            catalog=_everything(source.discover(settings)) if catalog is None else _decoded(catalog),
            state=None if state is None or state.strip() in (b"", b"null", b"{}") else state,
            folder=folder,
            should_stop=asked,
            on_line=on_line,
        )
        writer = Writer() if batch_files is None else BatchWriter(batch_files)
        for message in _versioned(_through(source.read(settings, request), stages), lambda: not stopped):
            out.write(writer.encode(message))
            if isinstance(message, Checkpoint):
                out.flush()
        out.flush()
    except BrokenPipeError as error:
        raise RunFailedError("target-gone", "the target closed its input before the tap was done") from error


def serve_target(
    destination: DestinationModule,
    settings: Any,
    *,
    read: Callable[[int], bytes] | BinaryIO,
    out: BinaryIO,
    request: OpenRequest,
    options: ParseOptions | None = None,
    flush: Flush | None = None,
    notice: Callable[[str], None] = lambda _text: None,
    stages: Sequence[Stage] = (),
) -> None:
    """Load what `read` gives until it gives nothing; write each state to `out` once its rows are durable.

    `read` is asked for up to a number of bytes and should give what there is. The end of the input is taken for a
    good end: a target under a foreign runner has no other word of its tap. Input that breaks off with an error
    keeps what the last state covers. No input: nothing is opened and nothing written.
    """
    load = _Load(destination, settings, request, out, flush or Flush())
    try:
        take = read if callable(read) else getattr(read, "read1", read.read)
        incoming = _through(messages(iter(lambda: take(_CHUNK), b""), options or ParseOptions(), notice), stages)
        while (message := _next(incoming, load)) is not None:
            load.take(message)
        load.finish()
    finally:
        load.close()


def _through(incoming: Iterator[Message], stages: Sequence[Stage]) -> Iterator[Message]:
    for message in incoming:
        yield from staged(message, stages)


def _next(incoming: Iterator[Message], load: _Load) -> Message | None:
    try:
        return next(incoming, None)
    except HeadwaterError:
        load.keep_covered()
        raise


class _Load:
    """A session, opened by the first message, and the states that wait for its commits."""

    def __init__(
        self, destination: DestinationModule, settings: Any, request: OpenRequest, out: BinaryIO, flush: Flush
    ) -> None:
        self._open: Callable[[], Session] = lambda: destination.open(settings, request)
        self._session: Session | None = None
        self._out = out
        self._flush = flush
        self._state: bytes | None = None
        self._is_replacing = False  # rows of a replaced stream only count at the end, and so do all states from there
        self._since = clock.monotonic()

    def take(self, message: Message) -> None:
        if self._session is None:
            self._session = self._open()
        match message:
            case Schema():
                if self._session.prepare(message) and not self._is_replacing:
                    self.keep_covered()
                    self._is_replacing = True
            case Rows():
                self._session.stage(message)
            case Rejected():
                self._session.reject(message)
            case ActivateVersion():
                self._session.activate(message)
            case Checkpoint():
                self._session.boundary()
                self._state = message.state
                if not self._is_replacing and (
                    self._session.staged_bytes() >= self._flush.size
                    or clock.monotonic() - self._since >= self._flush.seconds
                ):
                    self._session.commit(self._state)
                    self._acknowledge()

    def keep_covered(self) -> None:
        """Commit up to the last state; what came after it is lost with the session."""
        if self._session is not None and self._state is not None and not self._is_replacing:
            self._session.commit(self._state, to_boundary=True)
            self._acknowledge()

    def finish(self) -> None:
        if self._session is not None:
            self._session.commit(self._state, final=True)
            self._acknowledge()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def _acknowledge(self) -> None:
        """Say, once, that everything before the state is durable."""
        if self._state is not None:
            self._out.write(self._state + b"\n")
            self._out.flush()
        self._state, self._since = None, clock.monotonic()


def _versioned(found: Iterable[Message], is_whole: Callable[[], bool]) -> Iterator[Message]:
    """Singer knows no replacing but by table versions: rows without keys carry one, and the last state of a whole
    read comes after the activation of those that replace."""
    version = int(clock.now().timestamp() * 1000)
    keyless: set[str] = set()
    replaced: dict[str, None] = {}
    held: Checkpoint | None = None
    for message in found:
        if held is not None:
            yield held
            held = None
        if isinstance(message, Schema):
            (keyless.discard if message.keys else keyless.add)(message.stream)
            if message.replace:
                replaced[message.stream] = None
        if isinstance(message, Checkpoint):
            held = message
        elif isinstance(message, Rows) and (message.stream in keyless or message.stream in replaced):
            yield msgspec.structs.replace(message, version=message.version or version)
        else:
            yield message
    if is_whole():
        yield from (ActivateVersion(stream=stream, version=version) for stream in replaced)
    if held is not None:
        yield held


def _everything(catalog: Catalog) -> Catalog:
    for stream in catalog.streams:
        for entry in stream.metadata:
            entry.metadata["selected"] = entry.metadata.get("inclusion") != "unsupported"
    return catalog


class _Whole(Struct):
    """A catalog that must say what its streams are: one without would be taken for one that selects nothing."""

    streams: list[CatalogStream]

    def catalog(self) -> Catalog:
        return Catalog(streams=self.streams)


def _decoded(catalog: dict[str, Any]) -> Catalog:
    try:
        return msgspec.convert(catalog, _Whole).catalog()
    except msgspec.ValidationError as error:
        raise InputError(
            "bad-catalog",
            "the catalog is not a Singer catalog",
            why=str(error),
            hint="run the tap with --discover and start from what it writes",
        ) from error

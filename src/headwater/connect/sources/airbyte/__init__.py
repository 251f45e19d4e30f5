"""A source connector of Airbyte that is a Python package: `airbyte-source-…`, in an environment of its own.

It is started for each question (`spec`, `discover`, `read`) and answers in lines of JSON. Its records take the road of
Singer's. What it says of its state is told back to it by the next run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base.errors import RunFailedError
from headwater.base.process import wiped_when_killed
from headwater.base.scratch import scratch
from headwater.connect.contract import IDLE_SECONDS, Checkpoint, Message, ReadRequest, Schema
from headwater.connect.singer import lines, parse
from headwater.connect.sources.airbyte import catalog as catalogs
from headwater.connect.sources.airbyte import program
from headwater.connect.sources.airbyte.messages import Reader
from headwater.connect.sources.airbyte.state import State
from headwater.connect.sources.source_state import decoded
from headwater.connect.stages.select import Select, taken
from headwater.model.catalog import Catalog
from headwater.model.plugin import AIRBYTE

__all__ = ["Settings", "discover", "read", "signature", "specification"]

_MOST_BYTES = 128 << 20  # of a catalog or a specification


class Settings(Struct, frozen=True, kw_only=True):
    """`source` is `airbyte:PACKAGE`; `given` holds the connector's own settings."""

    source: str
    root: str = "."
    venv: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def program(self) -> program.Program:
        package = self.source.removeprefix(AIRBYTE)
        return program.Program(package=package, venv=self.venv, root=self.root, env=self.env, secrets=self.secrets)


def specification(connector: program.Program) -> dict[str, Any]:
    """What the connector's settings are: a JSON Schema. Raises RunFailedError, EnvironmentProblemError."""
    reader = _asked(connector, "spec", {})
    if reader.spec is None:
        raise _silent(connector, "spec")
    found: dict[str, Any] = msgspec.json.decode(reader.spec).get("connectionSpecification") or {}
    return found


def discover(settings: Settings) -> Catalog:
    reader = _asked(settings.program, "discover", {"config": settings.given})
    if reader.catalog is None:
        raise _silent(settings.program, "discover")
    return catalogs.ours(reader.catalog)


def signature(settings: Settings) -> str | None:
    """The settings and the installed packages: to ask a connector again takes seconds. What it offers may change
    without both; then `headwater select --refresh-catalog` asks."""
    if settings.venv is None:
        return None
    installed = Path(settings.venv).resolve().name
    return hashlib.sha256(msgspec.json.encode((settings.source, installed, settings.given))).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The selected streams, in the connector's order. Each of its states is a checkpoint; those of streams that are
    read whole are dropped, for the next run reads them whole again.

    A stream without keys that is read incrementally may get rows twice after a run that was killed: a connector says
    of each stream for itself how far it is.
    """
    entries = [entry for entry in request.catalog.streams if taken(entry) is not None]
    if not entries:
        return
    streams = catalogs.streams(entries)
    full = frozenset(one.name for one in streams if one.is_full)
    before = decoded(request.state, State, of="an Airbyte source")
    reader = Reader(settings.program.name, before, request.on_line, full=full)
    told = before.told({one.name: one.offered.namespace for one in streams if not one.is_full})
    files = {"config": settings.given, "catalog": catalogs.configured(streams)}
    if told is not None:
        files["state"] = told
    # Settings hold secrets: what is written of them is wiped in any case.
    with scratch() as folder, wiped_when_killed(folder):
        out = program.chunks(
            settings.program,
            "read",
            files,
            folder=folder,
            reader=reader,
            idle_seconds=request.idle_seconds,
            should_stop=request.should_stop,
            on_line=request.on_line,
        )
        with closing(out):
            yield from _messages(chain([catalogs.schema_lines(streams)], out), reader, request, full)
    if not request.should_stop():
        yield Checkpoint(state=reader.state.encoded())


def _messages(out: Iterable[bytes], reader: Reader, request: ReadRequest, full: frozenset[str]) -> Iterator[Message]:
    options = parse.ParseOptions(
        batch_bytes=request.batch_bytes, on_bad_record=request.on_bad_record, check_required=False
    )
    select = Select(request.catalog)
    for message in parse.messages(out, options, request.on_line, decode=reader.decode):
        for kept in select(message):
            if isinstance(kept, Schema) and kept.stream in full:
                yield msgspec.structs.replace(kept, replace=True)
            else:
                yield kept


def _asked(connector: program.Program, command: str, files: dict[str, Any]) -> Reader:
    """Run a command that answers with one message, and hear all that it says."""
    said: list[str] = []
    reader = Reader(connector.name, State(), said.append, full=frozenset())
    with scratch() as folder, wiped_when_killed(folder):
        out = program.chunks(
            connector, command, files, folder=folder, reader=reader, idle_seconds=IDLE_SECONDS, on_line=said.append
        )
        _hear(out, reader.decode)
    return reader


def _hear(out: Iterable[bytes], decode: Callable[..., lines.Decoded]) -> None:
    for block in lines.blocks(out, size=1 << 20, longest=_MOST_BYTES):
        if (error := decode(block, noise=None, replace=lambda _count: None).error) is not None:
            raise error


def _silent(connector: program.Program, command: str) -> RunFailedError:
    return RunFailedError(
        "connector-failed",
        f"`{connector.name} {command}` ended without an answer",
        hint="the package may be no Airbyte source: correct `source`",
    )

"""What a source in a process of its own says of its streams, and the columns that their first rows show."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.connect.contract import ReadRequest
from headwater.connect.sources.columns import Columns
from headwater.connect.sources.python import process
from headwater.model.catalog import Catalog
from headwater.sources.rows import MISSING

Frames = Callable[[dict[str, Any], ReadRequest], Generator[process.Frame, None, None]]

# So many items of a stream without a declared schema are looked at to find its columns.
_SAMPLE = 1000
_SAMPLE_BYTES = 1 << 20
_SAMPLE_SECONDS = 10.0  # for all streams together


class Described(Struct):
    """A stream: what it says of itself, and the columns that were declared or seen."""

    about: dict[str, Any]
    columns: Columns


def described(frames: Frames, *, root: str) -> dict[str, Described]:
    """The streams in the source's order. `frames` asks its process. What is slow is given some seconds from when the
    first stream was named, and shows its other columns when it is read. Raises what `process.frames` does."""
    found: dict[str, Described] = {}
    asked = {"do": "describe", "sample": _SAMPLE, "batch_bytes": _SAMPLE_BYTES}
    until = monotonic() + _SAMPLE_SECONDS
    request = ReadRequest(
        catalog=Catalog(),
        state=None,
        folder=Path(root),
        should_stop=lambda: bool(found) and monotonic() > until,
    )
    with suppress(process.StoppedError), closing(frames(asked, request)) as said:
        for frame in said:
            name = frame.about["stream"]
            if frame.what == "stream":
                found[name] = Described(frame.about, Columns(name, {}))
                until = monotonic() + _SAMPLE_SECONDS  # to start the process may have taken longer than that
                if frame.about["declared"]:
                    found[name].columns.declare(frame.schema())
            elif frame.what == "rows":
                batch = frame.batch()
                found[name].columns.take(batch.drop_columns([MISSING]) if MISSING in batch.schema.names else batch)
            if request.should_stop():
                break
    return found

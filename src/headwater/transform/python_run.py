"""Runs a Python model in a process of its own, see `sources.child`: tables go in as files, and out comes one.

The warehouse is held only while the tables are read. The code may take its time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import RunFailedError, Where
from headwater.base.scratch import scratch
from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.sources.columns import Columns
from headwater.connect.sources.python import process
from headwater.connect.warehouses import Session
from headwater.run.cancel import Cancel

_BATCH_BYTES = 8 << 20


class Place(Struct, frozen=True, kw_only=True):
    """Where the code runs: `root` is the project's folder, `venv` the environment with its packages, if any."""

    root: Path
    venv: str | None
    env: Mapping[str, str]
    secrets: tuple[str, ...] = ()


@contextlib.contextmanager
def made(
    file: Path,
    queries: Mapping[str, str],
    place: Place,
    session: Callable[[], AbstractContextManager[Session]],
    cancel: Cancel,
) -> Iterator[Path]:
    """Run the function of a file; its rows, in the column types of the contract, lie in an Arrow stream for as long as
    the block lasts. Raises what `process.frames` does, with the file, and `model-needs-package`."""
    with scratch() as folder:
        paths = {}
        with session() as reading, cancel.watched(reading.interrupt, reading.interrupt):
            for number, (name, query) in enumerate(queries.items()):
                paths[name] = folder / f"{number}.arrow"
                _write(paths[name], reading.batches(query), cancel)
        request = {
            "do": "model",
            "file": str(file),
            "inputs": {name: str(path) for name, path in paths.items()},
            "batch_bytes": _BATCH_BYTES,
        }
        _write(folder / "made.arrow", _run(request, file, place, cancel), cancel)
        for path in paths.values():
            path.unlink()
        yield folder / "made.arrow"


def _write(path: Path, batches: Iterator[pa.RecordBatch], cancel: Cancel) -> None:
    first = next(batches)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            cancel.check()
            writer.write_batch(batch)


def _run(request: Mapping[str, object], file: Path, place: Place, cancel: Cancel) -> Iterator[pa.RecordBatch]:
    source = str(file.relative_to(place.root)) if file.is_relative_to(place.root) else str(file)
    columns = Columns(file.stem, {})
    frames = process.frames(
        request,
        source=source,
        root=str(place.root),
        venv=place.venv,
        env=place.env,
        secrets=place.secrets,
        idle_seconds=IDLE_SECONDS,
        should_stop=cancel.is_set,
    )
    with closing(frames):
        try:
            for frame in frames:
                taken, _ = columns.take(frame.batch())
                yield taken
        except process.StoppedError:
            cancel.check()
            raise
        except RunFailedError as error:
            where = error.where or Where(source)
            if error.reference == "source-needs-package":
                raise RunFailedError(
                    "model-needs-package",
                    error.what,
                    where=where,
                    hint="name it at the top of the file: `# dependencies = […]`",
                ) from error
            hint = error.hint or "put it right and run it again; what was built before is still there"
            raise RunFailedError(error.reference, error.what, where=where, why=error.why, hint=hint) from error

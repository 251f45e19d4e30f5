"""How much memory a load takes that is ten times as large: rows made on the fly, into DuckDB, PostgreSQL and Parquet.

    python benchmarks/memory.py [--gigabytes 1,10] [--to duckdb,postgres,parquet] [--commits often,once] [--jobs N]

Prints the peak of the resident memory of the loading process (a database server is not counted), and of it what is
not backed by a file. `once` commits everything at the end: what a source without checkpoints leads to. When 1 and 10 GB
were loaded into all three, the figures go to RESULTS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headwater.base.memory import keep_freed

if "--load" in sys.argv:  # as a run does it, before Arrow is loaded
    keep_freed(one_heap="duckdb" not in sys.argv)

import pyarrow as pa
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parent))

import results

from headwater.connect import registry
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema
from headwater.model.catalog import Catalog
from headwater.model.event import StepFinished
from headwater.model.plan import Block, ExtractLoad, Plan
from headwater.model.plugin import PluginKind
from headwater.run import extract_load, runner
from headwater.run.keeping import Keeping
from headwater.store.catalogs import Catalogs
from headwater.store.run_folders import RunFolders
from headwater.store.state_system_db import SystemDbStates
from headwater.store.system_db import SystemDb

_BATCH_ROWS = 40_000
_INTRODUCTION = (
    "## Memory",
    "",
    (
        "Rows made on the fly, read and loaded by one process; `peak MB` is its resident memory at most, in 10⁶ bytes, "
        "and `anonymous` the part of it that no file backs. A table ten times as large should need no more. Seconds "
        "say little here: other programs ran beside."
    ),
    "",
)
_COLUMNS = pa.schema(
    [("id", pa.int64()), ("amount", pa.float64()), ("name", pa.string()), ("note", pa.string()), ("more", pa.string())]
)


class Settings(Struct, frozen=True, kw_only=True):
    """A source that makes its rows up. `gigabytes` are of Arrow's; `checkpoints` after each batch, or at the end."""

    gigabytes: float = 1
    checkpoints: bool = True


def discover(_settings: Settings) -> Catalog:
    marks: list[Any] = [{"breadcrumb": [], "metadata": {"selected": True}}]
    import msgspec

    return msgspec.convert(
        {
            "streams": [
                {
                    "tap_stream_id": "rows",
                    "stream": "rows",
                    "schema": {"properties": {name: {} for name in _COLUMNS.names}},
                    "metadata": marks,
                }
            ]
        },
        Catalog,
    )


def signature(_settings: Settings) -> str | None:
    return None


def read(settings: Settings, _request: ReadRequest) -> Iterator[Message]:
    yield Schema(stream="rows", columns=_COLUMNS)
    done = start = 0
    while done < settings.gigabytes * 1e9:
        batch = _batch(start)
        start += _BATCH_ROWS
        done += batch.nbytes
        yield Rows(stream="rows", batch=batch, size=batch.nbytes)
        if settings.checkpoints:
            yield Checkpoint(state=b'{"rows":%d}' % start)
    yield Checkpoint(state=b'{"rows":%d}' % start)


def _batch(start: int) -> pa.RecordBatch:
    """About 8 MB, and no two alike."""
    import pyarrow.compute as pc

    ids = pa.array(range(start, start + _BATCH_ROWS), pa.int64())
    text = ids.cast(pa.string())
    spread = pc.multiply(ids, 7_919).cast(pa.string())
    columns = [
        ids,
        pc.divide(ids.cast(pa.float64()), 7),
        pc.binary_join_element_wise("name", text, " "),
        pc.binary_join_element_wise("a note of some length about", text, spread, " "),
        pc.binary_join_element_wise(spread, "and more of it, so that a row has some", text, "bytes", "-" * 40, " "),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_COLUMNS)


_DESTINATIONS: dict[str, dict[str, Any]] = {
    "duckdb": {"filepath": "w.duckdb"},
    "parquet": {"destination_path": "out"},
    "jsonl": {"destination_path": "out"},
    "postgres": {"host": "127.0.0.1", "user": "postgres", "password": "bench", "database": "bench"},
}


def load(to: str, gigabytes: float, *, checkpoints: bool, jobs: int, root: Path, port: int) -> None:
    """One load in this process. Raises SystemExit when it fails."""
    registry.SOURCES["made"] = __name__ if __name__ != "__main__" else "memory"
    home = root / ".headwater"
    db = SystemDb(home)
    keeping = Keeping(
        states=SystemDbStates(db), catalogs=Catalogs(home), folders=RunFolders(home), locks=home / "locks"
    )
    config = {**_DESTINATIONS[to], **({"port": port} if to == "postgres" else {})}
    if to in ("duckdb", "parquet", "jsonl"):
        config = {name: str(root / value) for name, value in config.items()}
    step = ExtractLoad(
        name="made",
        extractor=_block(PluginKind.EXTRACTOR, "made", {"gigabytes": gigabytes, "checkpoints": checkpoints}),
        loader=_block(PluginKind.LOADER, to, config),
        state_id="made",
        jobs=jobs,
    )
    plan = Plan(run_id="r", root=str(root), home=str(home), environment=None, steps=(step,))
    ended: list[StepFinished] = []
    outcome = runner.execute(
        plan,
        {ExtractLoad: extract_load.executor(keeping)},
        emit=lambda event: ended.append(event) if isinstance(event, StepFinished) else None,
        cancel=runner.Cancel(),
    )
    if outcome is not runner.Outcome.SUCCESS:
        raise SystemExit(f"{outcome}: {ended[-1].problem}")
    (figures,) = ended[-1].streams
    assert figures.read == figures.loaded


def _block(kind: PluginKind, name: str, config: dict[str, Any]) -> Block:
    return Block(kind=kind, name=name, variant=None, namespace="bench", native=name, argv=(), env={}, config=config)


class Peak(NamedTuple):
    """In 10^6 bytes; `anonymous` is what no file backs: neither program code nor a file that is mapped."""

    resident: float
    anonymous: float
    seconds: float


def measured(command: list[str]) -> Peak:
    """Run it to its end. Raises SystemExit when it fails."""
    start = time.perf_counter()
    with subprocess.Popen(command) as process:
        peak = [0, 0]
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(0.05):
                with contextlib.suppress(OSError, KeyError):
                    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    found = {name: value for name, _, value in (line.partition(":") for line in lines)}
                    for place, name in enumerate(("VmHWM", "RssAnon")):
                        peak[place] = max(peak[place], int(found[name].split()[0]) * 1024)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        process.wait()
        ended.set()
        sampler.join()
    if process.returncode:
        raise SystemExit(f"{command} exited with {process.returncode}")
    return Peak(peak[0] / 1e6, peak[1] / 1e6, time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", default="1,10")
    parser.add_argument("--to", default="duckdb,postgres,parquet")
    parser.add_argument("--commits", default="often,once")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--load", nargs=5, metavar="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        to, gigabytes, commits, root, port = given.load
        load(to, float(gigabytes), checkpoints=commits == "often", jobs=given.jobs, root=Path(root), port=int(port))
        return
    sizes = [float(size) for size in given.gigabytes.split(",")]
    places = given.to.split(",")
    lines = ["| to | commits | GB | peak MB | of it anonymous | seconds |", "|---|---|---|---|---|---|"]
    print(*lines, sep="\n")
    with contextlib.ExitStack() as stack:
        server = None
        if "postgres" in places:
            from loading.servers import server as started

            server = stack.enter_context(started())
        for to in places:
            for commits in given.commits.split(","):
                for size in sizes:
                    if server is not None and to == "postgres":
                        server.do("drop schema if exists bench cascade", "drop schema if exists _headwater cascade")
                    with tempfile.TemporaryDirectory(prefix="memory-", dir=os.environ.get("TMPDIR", "/tmp")) as root:
                        port = server.port if server is not None else 0
                        asked = ["--load", to, str(size), commits, root, str(port)]
                        peak = measured([sys.executable, __file__, "--jobs", str(given.jobs), *asked])
                    lines.append(
                        f"| {to} | {commits} | {size:g} | {peak.resident:.0f} | {peak.anonymous:.0f} "
                        f"| {peak.seconds:.0f} |"
                    )
                    print(lines[-1], flush=True)
    if {1, 10} <= {*sizes} and {"duckdb", "postgres", "parquet"} <= {*places}:
        results.write(
            "memory",
            "\n".join([*_INTRODUCTION, *lines, "", f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {results.machine()}."]),
        )


if __name__ == "__main__":
    main()

"""The process in which a source's own code runs: one request on standard input, frames on standard output.

A frame is a line of JSON (`is`, `bytes`, …) and as many bytes as it says. Whatever the code prints goes to standard
error. Run as `python child.py PACKAGE_FOLDER ARROW_FOLDER`: the folder of this package, and the one in which Arrow is
found when the Python in use has none of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import itertools
import json
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO


class _Borrowed:
    """Finds Arrow among our own packages where the plugin's environment has none."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, _path: Any = None, target: Any = None) -> Any:
        if name == "pyarrow":
            return importlib.machinery.PathFinder.find_spec(name, [self._folder], target)
        return None


def _prepare(package: str, arrow: str) -> None:
    """Makes `headwater.sources` of this very version importable, and nothing else of ours that is not installed."""
    sys.meta_path.append(_Borrowed(arrow))
    found = importlib.util.find_spec("headwater")
    if found is None or list(found.submodule_search_locations or ()) != [package]:
        bare = ModuleType("headwater")
        bare.__path__ = [package]
        sys.modules["headwater"] = bare


class _Outlet:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def send(self, what: str, payload: Any = b"", **about: Any) -> None:
        size = memoryview(payload).nbytes
        self._file.write(json.dumps({"is": what, "bytes": size, **about}).encode() + b"\n")
        if size:
            self._file.write(payload)
        self._file.flush()
        self.count += 1


def main() -> int:
    """0 when the request was served, 1 when the code failed; the last frame says it either way."""
    package, arrow = sys.argv[1:3]
    out = _Outlet(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.read())
    # A module of a package finds its neighbours by the package's name; a file finds those beside it.
    sys.path[:1] = [] if request.get("module") else [str(Path(request["file"]).parent)]
    try:
        _prepare(package, arrow)
        _serve(request, out)
    except BrokenPipeError:
        return 1  # nobody listens any more
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is told, with its place
        with contextlib.suppress(BrokenPipeError):
            out.send("error", **_told(error, request["file"]))
        return 1
    out.send("done")
    return 0


def _serve(request: dict[str, Any], out: _Outlet) -> None:
    from headwater.sources import declared  # noqa: PLC0415 - only now can it be found

    if "url" in request:
        from headwater.sources import databases  # noqa: PLC0415 - its drivers are those of a SQL source only

        databases.serve(request, out.send, _stream_of)
        return
    if "function" in request:
        from headwater.sources import dlt_resources  # noqa: PLC0415 - its packages are those of a dlt source only

        dlt_resources.serve(request, out.send, _stream_of)
        return
    module = importlib.import_module(request["module"]) if request.get("module") else _loaded(request["file"])
    if request["do"] == "model":
        _make(module, request, out)
        return
    offered = declared.streams(module)
    if request["do"] == "describe":
        for one in offered:
            _describe(one, out)
        for one in (one for one in offered if one.schema is None):
            _sample(one, request, out)
        return
    by_name = {one.name: one for one in offered}
    for wanted in request["streams"]:
        one = by_name[wanted["name"]]
        out.send("begin", stream=one.name)
        _deliver(one, wanted, request, out)
        out.send("end", stream=one.name)


def _make(module: ModuleType, request: dict[str, Any], out: _Outlet) -> None:
    """What the function `model` makes of tables that lie in files: an Arrow table, a data frame, or a list of rows."""
    import pyarrow as pa  # noqa: PLC0415 - only now can it be found

    from headwater.sources import rows  # noqa: PLC0415 - likewise

    tables = {}
    for name, path in request["inputs"].items():
        with pa.memory_map(path) as file, pa.ipc.open_stream(file) as reader:
            tables[name] = reader.read_all()
    found = module.model(**tables)
    if hasattr(found, "__arrow_c_stream__") or hasattr(found, "__arrow_c_array__"):
        table = pa.table(found)
    elif isinstance(found, list | tuple):
        table = pa.table(rows.batch_of(found) if found else {})
    else:
        given = type(found).__name__
        raise rows.RowError(f"`model` returns a `{given}`, and not a table, a data frame or a list of rows")
    pace = rows.Pace(request["batch_bytes"])
    # A batch without rows tells the columns of a table that has none.
    out.send("rows", _stream_of(pa.RecordBatch.from_pylist([], schema=table.schema)))
    for batch in table.to_batches():
        for part in pace.parts(batch):
            out.send("rows", _stream_of(part))


def _loaded(file: str) -> ModuleType:
    name = Path(file).stem
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _describe(one: Any, out: _Outlet) -> None:
    about = {
        "stream": one.name,
        "keys": one.keys,
        "cursor": one.cursor,
        "ordered": one.is_ordered,
        "takes_bookmark": one.takes_bookmark,
        "line": one.line,
    }
    schema = b"" if one.schema is None else one.schema.serialize()
    out.send("stream", schema, declared=one.schema is not None, **about)


def _sample(one: Any, request: dict[str, Any], out: _Outlet) -> None:
    """The first rows, each piece at once: who asks may not wait for the next one. Where the code fails after some rows,
    these do: a read will tell."""
    sent = out.count
    try:
        _deliver(one, {"bookmark": None}, request, out, most=request["sample"], seconds=0.0)
    except BrokenPipeError:
        raise
    except Exception:
        if out.count == sent:
            raise


def _deliver(
    one: Any,
    wanted: dict[str, Any],
    request: dict[str, Any],
    out: _Outlet,
    most: int | None = None,
    seconds: float = 1.0,
) -> None:
    """Everything that the stream's function yields, or the first `most` items."""
    from headwater.sources import Bookmark, declared, rows, values  # noqa: PLC0415 - only now can it be found

    bookmark = values.from_json(wanted["bookmark"])
    found = one.function(**declared.arguments(one, request["config"], bookmark))
    if found is None:
        return
    if isinstance(found, dict) or not hasattr(found, "__iter__"):
        found = [found]
    if most is not None:
        found = itertools.islice(found, most)
    for piece in rows.pieces(found, one.schema, rows.Pace(request["batch_bytes"], seconds)):
        if isinstance(piece, Bookmark):
            out.send("bookmark", stream=one.name, value=values.to_json(piece.value))
        else:
            out.send("rows", _stream_of(piece), stream=one.name)


def _stream_of(batch: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - only now can it be found

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _told(error: BaseException, file: str) -> dict[str, Any]:
    """The error as the user wants to see it: the last line of their own code, or of that package, on the way to it."""
    own = str(Path(file).parent) + os.sep
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename.startswith(own)]
    theirs = [frame for frame in frames if "site-packages" not in frame.filename[len(own) :]]
    place: dict[str, Any] = {"file": None, "line": 0, "function": None}
    if theirs:
        place = {"file": theirs[-1].filename, "line": theirs[-1].lineno or 0, "function": theirs[-1].name}
    elif isinstance(error, SyntaxError):
        place = {"file": error.filename, "line": error.lineno or 0, "function": None}
    elif line := getattr(error, "line", 0):
        place = {"file": file, "line": line, "function": None}
    module = type(error).__module__
    name = type(error).__name__
    return {
        "kind": name if module in ("builtins", "__main__") or module.startswith("headwater.") else f"{module}.{name}",
        "text": str(error),
        "module": getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None,
        **place,
    }


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the code has left running keep nobody waiting.
    os._exit(code)

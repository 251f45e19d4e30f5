"""Models in Python: a file with a function `model`, which gets tables and returns one.

    def model(daily, shops="tap_shop.shops"):
        return daily.join(shops, "shop")

A parameter is a table, as Arrow: the model of that name, or what its default says: a table, or a SELECT. The function
returns an Arrow table, a data frame, or a list of dicts. It runs in a process of its own, see `sources.child`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.base.scratch import scratch
from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.names import quote
from headwater.connect.sources.python import process
from headwater.connect.sources.python.columns import Columns
from headwater.connect.warehouses import Session
from headwater.run.cancel import Cancel

_BATCH_BYTES = 8 << 20
_FUNCTION = "model"


class Place(Struct, frozen=True, kw_only=True):
    """Where the code runs: `root` is the project's folder, `venv` the environment with its packages, if any."""

    root: Path
    venv: str | None
    env: Mapping[str, str]
    secrets: tuple[str, ...] = ()


def inputs(text: str, file: str) -> dict[str, tuple[str, int]]:
    """The SELECT behind each parameter of the function, and the line on which it stands. Runs none of the code.

    Raises InputError (`bad-model`) with the line of what can't be meant.
    """
    try:
        tree = ast.parse(text, filename=file)
    except (SyntaxError, ValueError) as error:
        line = error.lineno or 1 if isinstance(error, SyntaxError) else 1
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError("bad-model", f"`{file}` is not Python: {said}", where=Where(file, line)) from error
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == _FUNCTION]
    if not found:
        _refuse(file, 1, "has no function `model`", "def model(orders): … returns an Arrow table or a data frame")
    given = found[-1].args
    if given.posonlyargs or given.vararg or given.kwarg:
        _refuse(file, found[-1].lineno, "takes more than named parameters", "each parameter is a table that it reads")
    padding = [None] * (len(given.args) - len(given.defaults))
    pairs = [*zip(given.args, [*padding, *given.defaults], strict=True)]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return {one.arg: (_query(file, one, default), one.lineno) for one, default in pairs}


def _query(file: str, parameter: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return f"select * from {quote(parameter.arg)}"  # noqa: S608 - quoted
    if not isinstance(default, ast.Constant) or not isinstance(default.value, str):
        _refuse(file, parameter.lineno, f"has a parameter `{parameter.arg}` whose default is no text", "schema.table")
    told = default.value.strip()
    return told if " " in told or "\n" in told else f"select * from {told}"  # noqa: S608 - the user's own


def _refuse(file: str, line: int, what: str, hint: str) -> NoReturn:
    raise InputError("bad-model", f"`{file}` {what}", where=Where(file, line), hint=hint)


def rows(
    session: Session, file: Path, queries: Mapping[str, str], place: Place, cancel: Cancel
) -> Iterator[pa.RecordBatch]:
    """What the function returns, in the column types of the contract; a first batch always comes.

    Its tables are read before it starts and lie in a private folder while it runs. Raises what `process.frames` does.
    """
    source = str(file.relative_to(place.root)) if file.is_relative_to(place.root) else str(file)
    with scratch() as folder:
        paths = {}
        for number, (name, query) in enumerate(queries.items()):
            paths[name] = str(folder / f"{number}.arrow")
            batches = session.batches(query)
            first = next(batches)
            with pa.OSFile(paths[name], "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
                for batch in batches:
                    cancel.check()
                    writer.write_batch(batch)
        request = {"do": "model", "file": str(file), "inputs": paths, "batch_bytes": _BATCH_BYTES}
        columns = Columns(file.stem, {})
        try:
            with closing(
                process.frames(
                    request,
                    source=source,
                    root=str(place.root),
                    venv=place.venv,
                    env=place.env,
                    secrets=place.secrets,
                    idle_seconds=IDLE_SECONDS,
                    should_stop=cancel.is_set,
                )
            ) as frames:
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
            why, hint = error.why, error.hint
            raise RunFailedError(error.reference, error.what, where=where, why=why, hint=hint) from error

"""Build what is out of date, in dependency order, one transaction a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import duckdb
from msgspec import Struct

from headwater.base.clock import iso, monotonic, now
from headwater.base.errors import HeadwaterError, InputError, RunFailedError, Where
from headwater.base.text import did_you_mean
from headwater.connect import engine
from headwater.connect.names import quote
from headwater.model.event import Emit, ModelBuilt, Outcome
from headwater.run.cancel import Cancel
from headwater.transform.built import Built, inputs, record, recorded, relations
from headwater.transform.models import Model
from headwater.transform.references import Reference

Connection: TypeAlias = duckdb.DuckDBPyConnection
Connect: TypeAlias = Callable[[], AbstractContextManager[Connection]]


class Target(Struct, frozen=True, kw_only=True):
    """Where models are built: two ways to open the warehouse, and the schema."""

    reading: Connect
    writing: Connect
    schema: str


def build(
    models: Sequence[Model],
    target: Target,
    *,
    step: str,
    emit: Emit,
    cancel: Cancel,
    full_refresh: bool = False,
) -> None:
    """Build every model that is out of date; `models` stand in dependency order.

    A model is out of date when its code, a model it reads or the rows of a table it reads changed since it was
    built, or when its table is gone; `full_refresh` takes all as such. Each is one transaction under one lease:
    readers see the old table or the new one, and nobody waits for more than one model. When nothing is out of
    date nothing is written.

    A model that fails keeps its old table; what reads it is left as it is; all others are built. Then
    RunFailedError (`model-failed`) is raised. InputError (`unknown-table`) is raised before anything is built.
    A cancelled run raises its reason; the model that was being built keeps its old table.
    """
    with target.reading() as connection:
        present = relations(connection)
        for model in models:
            for source in model.sources:
                _check_source(source, model, models, present, target.schema)
        before = recorded(connection, target.schema)
        out_of_date = _out_of_date(connection, models, before, target.schema, full_refresh=full_refresh)
    failed: dict[str, HeadwaterError] = {}
    behind: dict[str, str] = {}  # a model that can't be built now → the failed model it needs
    for model in models:
        cancel.check()
        needed = next((behind.get(name, name) for name in model.parents if name in failed or name in behind), None)
        if needed is not None:
            behind[model.name] = needed
            message = f"it needs `{needed}`, which failed"
            emit(ModelBuilt(step=step, model=model.name, outcome=Outcome.CANCELLED, message=message))
        elif model.name not in out_of_date:
            rows = before[model.name].rows
            emit(ModelBuilt(step=step, model=model.name, outcome=Outcome.SUCCESS, rows=rows, skipped=True))
        else:
            error = _build_one(model, target, step, emit, cancel)
            if error is not None:
                failed[model.name] = error
    if failed:
        raise _first(failed, behind)


def _out_of_date(
    connection: Connection, models: Sequence[Model], before: dict[str, Built], schema: str, *, full_refresh: bool
) -> set[str]:
    present = relations(connection)
    versions: dict[str, str] = {}
    found: set[str] = set()
    for model in models:
        built = before.get(model.name)
        if (
            full_refresh
            or built is None
            or model.unsteady
            or model.code != built.code
            or present.get((schema.casefold(), model.name.casefold())) != built.materialized
            or any(name in found for name in model.parents)
            or _inputs_now(connection, model, before, versions) != built.inputs
        ):
            found.add(model.name)
    return found


def _inputs_now(connection: Connection, model: Model, before: dict[str, Built], versions: dict[str, str]) -> str | None:
    """None when a source can't be read, such as a view that lost its table: building will say so, with the line."""
    try:
        return inputs(connection, model, before, versions)
    except duckdb.Error:
        return None


def _build_one(model: Model, target: Target, step: str, emit: Emit, cancel: Cancel) -> HeadwaterError | None:
    """Build and tell; the error is returned, so that models that don't need this one go on."""
    started = monotonic()
    try:
        # DuckDB's errors are caught outside: those about disk and file have become errors of ours by then, and
        # end the step, since no other model could be built either.
        with target.writing() as connection, cancel.watched(connection.interrupt, connection.interrupt):
            rows = _replace(connection, model, target.schema, cancel)
    except duckdb.Error as error:
        cancel.check()
        why, line = engine.words(error)
        problem: HeadwaterError = RunFailedError(
            "model-failed",
            f"the model `{model.name}` can't be built",
            where=Where(model.file, line),
            why=why,
            hint="put it right and run it again; what was built before is still there",
        )
    except InputError as error:
        problem = error
    else:
        emit(ModelBuilt(step=step, model=model.name, outcome=Outcome.SUCCESS, rows=rows, seconds=monotonic() - started))
        return None
    message = f"{problem.where}: {problem.why}"
    seconds = monotonic() - started
    emit(ModelBuilt(step=step, model=model.name, outcome=Outcome.FAILED, seconds=seconds, message=message))
    return problem


def _replace(connection: Connection, model: Model, schema: str, cancel: Cancel) -> int | None:
    """Swap the model's table or view for a new one, with its record. What it reads is looked at in the same
    transaction, so the record is true even when somebody loads meanwhile. Returns the rows of a table."""
    connection.execute("begin")
    connection.execute(f"create schema if not exists {quote(schema)}")
    # Models are found by their bare names; what is no model is looked for in the default schema.
    connection.execute("set search_path = ?", [f"{quote(schema)},main"])
    before = recorded(connection, schema)
    standing = relations(connection).get((schema.casefold(), model.name.casefold()))
    if standing is not None and model.name not in before:
        raise InputError(
            "not-ours",
            f"`{schema}.{model.name}` stands in the warehouse already and was not built from a model",
            where=Where(model.file),
            why="a model replaces only what a model made",
            hint=f"rename the model, drop the {standing}, or set another `schema`",
        )
    name = f"{quote(schema)}.{quote(model.name)}"
    if standing is not None:
        connection.execute(f"drop {standing} {name}")
    cancel.check()
    # No line break before the SELECT: the lines in DuckDB's messages are then those of the file.
    connection.execute(f"create {model.materialized} {name} as {model.sql}")
    rows = None
    if model.materialized == "table":
        row = connection.execute(f"select count(*) from {name}").fetchone()  # noqa: S608 - quoted
        rows = row[0] if row else 0
    read_from = inputs(connection, model, before, {})
    record(connection, schema, model.name, Built(model.materialized, model.code, read_from, iso(now()), rows))
    connection.execute("commit")
    return rows


def _check_source(
    source: Reference, model: Model, models: Sequence[Model], present: dict[tuple[str, str], str], schema: str
) -> None:
    """Refuse a table that is neither a model nor in the warehouse, before anything is built."""
    if source.catalog or source.schema.casefold() == "information_schema":
        return  # an attached database, a view of the system: DuckDB will say
    if ((source.schema or "main").casefold(), source.table.casefold()) in present:
        return
    names = [item.name for item in models]
    loaded = [f"{place}.{name}" for place, name in present if place not in ("_headwater", schema.casefold())]
    same_name = [words for words in loaded if words.endswith(f".{source.table.casefold()}")]
    guess = same_name[0] if same_name else did_you_mean(source.words, [*names, *loaded])
    raise InputError(
        "unknown-table",
        f"`{source.words}` is neither a model nor a table in the warehouse",
        where=Where(model.file, source.line),
        hint=f"did you mean `{guess}`?" if guess else "load it first, or correct the name",
    )


def _first(failed: dict[str, HeadwaterError], behind: dict[str, str]) -> HeadwaterError:
    """The first failure, with what else went wrong in its `why`."""
    first, *others = failed
    error = failed[first]
    lines = [error.why or "", *(f"`{name}` failed too: {failed[name].where}: {failed[name].why}" for name in others)]
    if behind:
        lines.append(f"not built, because they need it: {', '.join(behind)}")
    return type(error)(error.reference, error.what, where=error.where, why="\n".join(lines), hint=error.hint)

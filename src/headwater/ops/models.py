"""Models and their checks together: what is built on a table waits for what must hold of it."""

from __future__ import annotations

from pathlib import Path

from headwater.base.errors import HeadwaterError, InputError, RunFailedError
from headwater.connect.warehouses import Session
from headwater.model.event import Emit, StreamFigures
from headwater.model.plan import Build
from headwater.quality import check as asking
from headwater.quality.checks import Check, says
from headwater.quality.read import read_checks
from headwater.run.runner import Run
from headwater.transform import references
from headwater.transform import step as models
from headwater.transform.gates import Gate, Place
from headwater.transform.models import DEFAULT_SCHEMA


def build(step: Build, run: Run) -> tuple[StreamFigures, ...]:
    """Build the models of a step, each behind the checks of what it reads. Raises what `transform.step` raises, and
    `bad-check`."""
    schema = str(step.block.config.get("schema") or DEFAULT_SCHEMA)
    checks = read_checks(Path(step.folder), schema)
    return models.execute(step, run, [_gate(check, step, run) for check in checks])


def _gate(check: Check, step: Build, run: Run) -> Gate:
    def ask(session: Session, emit: Emit) -> HeadwaterError | None:
        try:
            failing = asking.ask(session, check, step=step.name, emit=emit, cancel=run.cancel)
        except InputError as error:
            try:
                asking.check_names(check, asking.known_columns(session))  # which says it better
            except InputError as better:
                return better
            return error
        if not failing or check.severity != "error":
            return None
        return RunFailedError(
            "checks-failed",
            f"the check `{check.name}` failed",
            where=check.where,
            why=says(check, failing),
            hint=asking.see(check),
        )

    schema, dialect = check.relation.schema, step.warehouse.native or ""
    return Gate(check.name, _place(schema, check.relation.name), _needs(check, dialect), repr(check), ask)


def _place(schema: str, name: str) -> Place:
    return schema.casefold(), name.casefold()


def _needs(check: Check, dialect: str) -> frozenset[Place]:
    found = {_place(check.relation.schema, check.relation.name)}
    if check.kind == "relationship":
        found.add(_place(check.parameters["to"].schema, check.parameters["to"].name))
    if check.kind == "sql":
        reads = references.read(check.parameters["query"], check.where.file, dialect)
        found |= {_place(table.schema or check.relation.schema, table.table) for table in reads.tables}
    return frozenset(found)

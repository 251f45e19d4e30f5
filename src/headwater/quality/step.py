"""The step `MODELS:check` of a run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from headwater.model.event import Level, Notice, StreamFigures
from headwater.model.plan import Build
from headwater.quality.check import run_checks
from headwater.quality.history import of_run
from headwater.quality.read import read_checks
from headwater.run import native
from headwater.run.runner import Run


def execute(step: Build, run: Run) -> tuple[StreamFigures, ...]:
    """Run the checks of the step's folder against its warehouse, the database of the loader.

    The block's setting `schema` is where models are. Nothing is written. Raises what `read_checks` and `run_checks`
    raise, and `warehouse-missing`.
    """
    schema = str(step.block.config.get("schema") or "analytics")
    checks = read_checks(Path(step.folder), schema)
    if not checks:
        run.emit(Notice(step=step.name, level=Level.WARNING, text=f"no checks in {step.folder}"))
        return ()

    def tell(holder: str) -> None:
        run.emit(Notice(step=step.name, level=Level.INFO, text=f"waiting for {holder}, who uses {warehouse.place}"))

    warehouse = native.warehouse(step.warehouse, root=Path(run.plan.root), who=step.name, on_wait=tell)
    with (
        closing(warehouse),
        warehouse.reading(schema) as session,
        run.cancel.watched(session.interrupt, session.interrupt),
    ):
        run_checks(session, checks, step=step.name, emit=run.emit, cancel=run.cancel, past=of_run(run, checks))
    return ()

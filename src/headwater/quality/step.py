"""The step `MODELS:check` of a run."""

from __future__ import annotations

from pathlib import Path

from headwater.connect import warehouse
from headwater.model.event import Level, Notice, StreamFigures
from headwater.model.plan import Build
from headwater.quality.check import run_checks
from headwater.quality.read import read_checks
from headwater.run.runner import Run


def execute(step: Build, run: Run) -> tuple[StreamFigures, ...]:
    """Run the checks of the step's folder against its warehouse, the DuckDB file `filepath` of the loader.

    The block's setting `schema` is where models are. Nothing is written. Raises what `read_checks` and `run_checks`
    raise, and `warehouse-missing`.
    """
    checks = read_checks(Path(step.folder), str(step.block.config.get("schema") or "analytics"))
    if not checks:
        run.emit(Notice(step=step.name, level=Level.WARNING, text=f"no checks in {step.folder}"))
        return ()
    path = Path(step.warehouse.config["filepath"])

    def tell(holder: str) -> None:
        run.emit(Notice(step=step.name, level=Level.INFO, text=f"waiting for {holder}, who uses {path.name}"))

    with (
        warehouse.reading(path, who=step.name, on_wait=tell, outside_files=True) as connection,
        run.cancel.watched(connection.interrupt, connection.interrupt),
    ):
        run_checks(connection, checks, step=step.name, emit=run.emit, cancel=run.cancel)
    return ()

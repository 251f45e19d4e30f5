"""The step `MODELS:build` of a run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from headwater.connect import warehouse
from headwater.model.event import Level, Notice, StreamFigures
from headwater.model.plan import Build
from headwater.run.runner import Run
from headwater.transform.build import Connection, Target, build
from headwater.transform.models import DEFAULT_SCHEMA, plan_models


def execute(step: Build, run: Run) -> tuple[StreamFigures, ...]:
    """Build the models of the step's folder in its warehouse, the DuckDB file `filepath` of the loader.

    Settings of the block: `schema` (where models are built), `full_refresh`. Raises what `plan_models` and `build`
    raise. No rows are moved, so none are reported.
    """
    schema = str(step.block.config.get("schema") or DEFAULT_SCHEMA)
    models = plan_models(Path(step.folder), schema=schema)
    path = Path(step.warehouse.config["filepath"])

    def tell(holder: str) -> None:
        run.emit(Notice(step=step.name, level=Level.INFO, text=f"waiting for {holder}, who uses {path.name}"))

    def writing() -> AbstractContextManager[Connection]:
        return warehouse.writing(path, who=step.name, on_wait=tell, outside_files=True)

    def reading() -> AbstractContextManager[Connection]:
        # Models need not read loaded tables: without a warehouse there is one after the first build.
        return warehouse.reading(path, who=step.name, on_wait=tell, outside_files=True) if path.exists() else writing()

    build(
        models,
        Target(reading=reading, writing=writing, schema=schema),
        step=step.name,
        emit=run.emit,
        cancel=run.cancel,
        full_refresh=bool(step.block.config.get("full_refresh")),
    )
    return ()

"""The step `MODELS:build` of a run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from headwater.model.event import Level, StreamFigures
from headwater.model.plan import Build
from headwater.run import native
from headwater.run.runner import Run
from headwater.transform.build import Target, build
from headwater.transform.gates import Gate
from headwater.transform.models import DEFAULT_SCHEMA, plan_models
from headwater.transform.python_run import Place

SEEDS = "seeds"
_JOBS = 4


def execute(step: Build, run: Run, gates: Sequence[Gate] = ()) -> tuple[StreamFigures, ...]:
    """Build the models of the step's folder in its warehouse, the database of the loader; `gates` are their checks.

    Settings of the block: `schema` (where models are built), `seeds`, `jobs`, `full_refresh`. Raises what `plan_models`
    and `build` raise. No rows are moved, so none are reported.
    """
    config, root = step.block.config, Path(run.plan.root)
    schema = str(config.get("schema") or DEFAULT_SCHEMA)

    def tell(holder: str) -> None:
        run.tell(step.name, Level.INFO, f"waiting for {holder}, who uses {warehouse.place}")

    warehouse = native.warehouse(step.warehouse, root=root, who=step.name, on_wait=tell)
    folder = Path(step.folder)
    seeds = root / str(config.get("seeds") or SEEDS)
    models = plan_models(folder, schema=schema, seeds=seeds, dialect=warehouse.dialect)
    with closing(warehouse):
        build(
            models,
            Target(
                warehouse=warehouse,
                schema=schema,
                python=Place(root=root, venv=step.block.venv, env=step.block.env, secrets=step.block.secrets),
                jobs=max(1, int(config.get("jobs") or _JOBS)),
            ),
            step=step.name,
            emit=run.emit,
            cancel=run.cancel,
            full_refresh=step.full_refresh or bool(config.get("full_refresh")),
            gates=gates,
        )
    return ()

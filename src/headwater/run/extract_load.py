"""Extract and load: prepares what the programs need and takes the road that fits the blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from headwater.base import clock
from headwater.model.event import Level, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.run.chain import Start
from headwater.run.discover import offered_catalog, selected_catalog
from headwater.run.keeping import Keeping
from headwater.run.pipe import pipe
from headwater.run.runner import Executor, Run
from headwater.run.singer_files import catalog_arguments, config_arguments, is_config_changed, state_arguments
from headwater.run.state import start_state, state_saver

# A destination that works on all processors, each of which asks for memory.
_MANY_THREADS = "duckdb"


def executor(keeping: Keeping) -> Executor:
    """The executor for ExtractLoad steps. Several threads may use it: each step has a folder of its own."""
    numbers = count()

    def execute(step: ExtractLoad, run: Run) -> tuple[StreamFigures, ...]:
        name = f"{run.plan.run_id}.{next(numbers)}" if run.plan.parallel > 1 else run.plan.run_id
        with alone(step, run, keeping), keeping.folders.opened(name) as folder:
            try:
                if all(block.native is None for block in (step.extractor, *step.mappers, step.loader)):
                    return _singer_to_singer(step, run, keeping, folder)
                # Imported late: these bring ctypes and Arrow, which the road above has no use for.
                from headwater.base.memory import keep_freed  # noqa: PLC0415 - see above

                keep_freed(one_heap=step.loader.native != _MANY_THREADS)
                from headwater.run.copy import copy  # noqa: PLC0415 - see above

                return copy(step, run, keeping, folder)
            finally:
                _tell_changed_configs(step, run, folder)

    return execute


def _singer_to_singer(step: ExtractLoad, run: Run, keeping: Keeping, folder: Path) -> tuple[StreamFigures, ...]:
    catalog = selected_catalog(step, run, lambda: offered_catalog(step, run, folder, keeping.catalogs))
    state = start_state(step, run, keeping.states, checkpoint=None, has_checkpoints=False)
    block = step.extractor
    first = Start(
        block=block,
        args=(
            *config_arguments(block, folder),
            *catalog_arguments(block, catalog, folder),
            *state_arguments(block, state, folder),
        ),
    )
    others = [Start(block=other, args=config_arguments(other, folder)) for other in (*step.mappers, step.loader)]
    return pipe(step, [first, *others], run, save=state_saver(step, run, keeping.states))


def _tell_changed_configs(step: ExtractLoad, run: Run, folder: Path) -> None:
    for block in (step.extractor, *step.mappers, step.loader):
        if is_config_changed(block, folder):
            text = f"`{block.name}` changed its config file (a renewed token?); the change is not kept"
            run.tell(step.name, Level.WARNING, text)


@contextmanager
def alone(step: ExtractLoad, run: Run, keeping: Keeping) -> Iterator[None]:
    """No other load of the pipeline runs meanwhile, unless the step says that one may. Raises RunFailedError
    (`already-running`)."""
    with ExitStack() as held:
        if step.state_id is not None and not step.force:
            owner = f"run {run.plan.run_id}, process {os.getpid()}, since {clock.iso(clock.now())}"
            held.callback(keeping.pipeline_lock(step.state_id, owner).release)
        yield

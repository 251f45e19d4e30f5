"""The demo: a project on real data, from nothing to an answered question."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from headwater.base.files import write_atomic
from headwater.connect import warehouse
from headwater.model.event import Emit, Event, StepFinished, StreamFigures
from headwater.ops import demo_project, runs
from headwater.ops.demo_project import answer
from headwater.ops.workspace import Workspace, find
from headwater.run.cancel import Cancel

WAREHOUSE = "warehouse.duckdb"


class Answer(Struct, frozen=True, kw_only=True):
    """What the demo found. `moved` counts the rows this run loaded; `run` says how it ended."""

    folder: Path
    run: runs.Result
    moved: int
    question: str
    carriers: tuple[answer.Carrier, ...] = ()
    conclusion: str = ""


def create(folder: Path) -> bool:
    """Write the demo's project into `folder`; files that are there stay as they are. True when it was new."""
    is_new = not (folder / "headwater.yml").exists()
    for name, content in demo_project.files().items():
        path = folder / name
        if not path.exists():
            write_atomic(path, content)
    return is_new


def workspace(folder: Path) -> Workspace:
    return find(folder)


def run(folder: Path, *, emit: Emit, cancel: Cancel) -> Answer:
    """Run the demo's job and read the answer from the warehouse. Idempotent: a second run moves no row."""
    figures: list[StreamFigures] = []

    def tell(event: Event) -> None:
        if isinstance(event, StepFinished):
            figures.extend(event.streams)
        emit(event)

    request = runs.Request(blocks=(demo_project.JOB,))
    result = runs.start(find(folder), request, emit=tell, cancel=cancel, install=True)
    moved = sum(item.loaded or 0 for item in figures)
    if result.problem is not None:
        return Answer(folder=folder, run=result, moved=moved, question=answer.QUESTION)
    with warehouse.reading(folder / WAREHOUSE, who="headwater demo") as connection:
        found = answer.carriers(connection)
    return Answer(
        folder=folder,
        run=result,
        moved=moved,
        question=answer.QUESTION,
        carriers=found,
        conclusion=answer.conclusion(found),
    )

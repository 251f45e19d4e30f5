"""Comparing what was loaded with its source, row by row."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import InputError
from headwater.model.event import Emit
from headwater.model.plan import ExtractLoad
from headwater.ops import planning, runs
from headwater.ops.runs import Result
from headwater.ops.workspace import Workspace
from headwater.plan.options import Options
from headwater.quality import verify
from headwater.quality.verify import Verdict, Wanted
from headwater.run.cancel import Cancel

__all__ = ["Answer", "Verdict", "Wanted", "compare", "named_key"]

named_key = verify.named_key


class Answer(Struct, frozen=True, kw_only=True):
    """`verdicts` are those of the streams that were reached."""

    verdicts: tuple[Verdict, ...]
    result: Result


def compare(
    workspace: Workspace,
    extractor: str,
    loader: str,
    wanted: Wanted,
    *,
    state_id: str | None = None,
    emit: Emit,
    cancel: Cancel,
) -> Answer:
    """Compare the streams of a pipeline in a run that is recorded like others: a check for each stream. It fails with
    `rows-differ` when one differs. Nothing is written at either end.

    Raises InputError (`not-a-pipeline`) unless the names are those of an extractor and a loader.
    """
    plan = planning.plan(workspace, (extractor, loader), Options(state_id=state_id))
    if len(plan.steps) != 1 or not isinstance(plan.steps[0], ExtractLoad):
        raise InputError(
            "not-a-pipeline",
            f"`{extractor}` and `{loader}` are no extractor and loader",
            hint="headwater verify TAP TARGET",
        )
    verdicts: list[Verdict] = []
    result = runs.recorded(
        workspace,
        replace(plan, steps=(replace(plan.steps[0], retries=0),)),
        f"verify {extractor} {loader}",
        lambda keeping: {ExtractLoad: verify.executor(keeping, wanted, verdicts.append)},
        emit=emit,
        cancel=cancel,
    )
    return Answer(verdicts=tuple(verdicts), result=result)

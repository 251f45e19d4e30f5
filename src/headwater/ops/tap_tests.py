"""The contract that every extractor is held to, native, Python or Singer: tried on the extractor itself, with the
settings and the selection of the project. Nothing is loaded, no run recorded, no state of the project read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import HeadwaterError
from headwater.model.event import Emit
from headwater.model.plugin import PluginKind
from headwater.ops import planning, plugins
from headwater.ops.runs import aside
from headwater.ops.tap_checks import CHECKS
from headwater.ops.tap_subject import BrokenError, SkippedError, Subject
from headwater.ops.workspace import Workspace
from headwater.plan import build
from headwater.plan.options import Options
from headwater.run.cancel import Cancel


class Check(Struct, frozen=True, kw_only=True):
    """One promise of the contract. `outcome` is `passed`, `failed` or `skipped`; `detail` says what was seen."""

    name: str
    outcome: str
    detail: str
    seconds: float


def run(workspace: Workspace, name: str, *, emit: Emit, cancel: Cancel, install: str | None = None) -> Iterator[Check]:
    """Try the promises one after the other, each as soon as it is asked for. Raises what keeps the extractor from being
    started at all; what goes wrong in it is a failed check."""
    plugin = planning.plugin(workspace, name, PluginKind.EXTRACTOR)
    plugins.install_as_asked(workspace, [plugin], install, emit=emit)
    step = build.extract(planning.facts(workspace), plugin, Options(refresh_catalog=True))
    with aside(workspace, emit=emit, cancel=cancel) as lab:
        subject = Subject(step, lab)
        for title, check in CHECKS:
            yield _tried(title, check, subject)
            cancel.check()


def _tried(title: str, check: Callable[[Subject], str], subject: Subject) -> Check:
    began = monotonic()
    try:
        outcome, detail = "passed", check(subject)
    except SkippedError as reason:
        outcome, detail = "skipped", str(reason)
    except BrokenError as fault:
        outcome, detail = "failed", str(fault)
    except HeadwaterError as error:
        subject.lab.run.cancel.check()
        place = f"{error.where}: " if error.where else ""
        outcome, detail = "failed", f"{place}{error.what} [{error.reference}]"
    return Check(name=title, outcome=outcome, detail=detail, seconds=round(monotonic() - began, 3))

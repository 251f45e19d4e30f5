from __future__ import annotations

import signal

import pytest

from headwater.base.errors import CancelledError, InputError, RunFailedError
from headwater.model.event import Outcome, Progress, RunFinished, RunStarted, StepFinished, StepStarted, StreamFigures
from headwater.model.plan import Block, Invoke, Plan
from headwater.model.plugin import PluginKind
from headwater.run.blame import End, verdict
from headwater.run.cancel import Cancel
from headwater.run.runner import execute

BLOCK = Block(kind=PluginKind.UTILITY, name="x", variant=None, namespace="x", native=None, argv=(), env={}, config={})


def steps(*names):
    steps = tuple(Invoke(name=name, block=BLOCK, command=None, argv=(), cwd="/") for name in names)
    return Plan(run_id="r", root="/", home="/h", environment="dev", steps=steps)


def run(executor, *names, cancel=None):
    events = []
    outcome = execute(steps(*names), {Invoke: executor}, emit=events.append, cancel=cancel or Cancel())
    return outcome, events


def test_steps_are_done_in_order():
    outcome, events = run(lambda _step, _run: (StreamFigures(stream="s", read=1),), "a", "b")
    assert outcome is Outcome.SUCCESS
    assert [type(event) for event in events] == [
        RunStarted,
        StepStarted,
        StepFinished,
        StepStarted,
        StepFinished,
        RunFinished,
    ]
    assert events[2].streams[0].read == 1


def test_the_first_failure_ends_the_run_with_what_was_known_of_it():
    def fail(step, run):
        run.emit(Progress(step=step.name, phase="x", streams=(StreamFigures(stream="s", read=5),)))
        raise InputError("bad", "it is wrong", hint="do this")

    outcome, events = run(fail, "a", "b")
    finished = events[3]
    assert (outcome, len(events), events[-1].outcome) == (Outcome.FAILED, 5, Outcome.FAILED)
    assert (finished.problem.reference, finished.problem.exit_code, finished.streams[0].read) == ("bad", 2, 5)


def test_the_machines_errors_are_told_as_such():
    def fail(_step, _run):
        raise OSError(28, "No space left on device", "/data/x")

    _, events = run(fail, "a")
    assert (events[2].problem.what, events[2].problem.exit_code) == ("`/data/x`: no space left on device", 3)


def test_a_bug_closes_the_run_and_is_raised():
    events = []
    with pytest.raises(ZeroDivisionError):
        execute(steps("a"), {Invoke: lambda _step, _run: 1 / 0}, emit=events.append, cancel=Cancel())
    assert (events[2].problem.reference, events[-1].outcome) == ("bug", Outcome.FAILED)


def test_a_run_that_is_cancelled_before_it_begins_does_nothing():
    cancel = Cancel()
    cancel.set(signal.SIGTERM)
    outcome, events = run(lambda _step, _run: 1 / 0, "a", "b", cancel=cancel)
    assert (outcome, events[2].problem.exit_code, len(events)) == (Outcome.CANCELLED, 143, 4)


def test_who_watches_a_cancel_is_called_once_also_when_late():
    cancel, seen = Cancel(), []
    with cancel.watched(lambda: seen.append("stop"), lambda: seen.append("kill")):
        cancel.set(signal.SIGINT)
        cancel.stop(RunFailedError("x", "later"))
        cancel.abort()
    with cancel.watched(lambda: seen.append("late"), lambda: seen.append("late kill")):
        pass
    assert seen == ["stop", "kill", "late", "late kill"]
    with pytest.raises(CancelledError):
        cancel.check()


def end(kind, code, at, **kw):
    return End(kind=PluginKind(kind), name=kind[0], code=code, at=at, **kw)


@pytest.mark.parametrize(
    ("ends", "reference"),
    [
        ([end("extractor", 0, 1), end("loader", 0, 2)], None),
        ([end("extractor", 1, 1), end("loader", 1, 2)], "extractor-failed"),
        ([end("extractor", 1, 2), end("loader", 1, 1)], "loader-failed"),
        ([end("extractor", 1, 1.002), end("loader", 1, 1)], "extractor-failed"),
        ([end("extractor", 1, 1.002), end("loader", 1, 1, cut_off=True)], "loader-failed"),
        ([end("extractor", -15, 2, stopped=True), end("loader", 1, 1)], "loader-failed"),
        ([end("extractor", -15, 2, stopped=True), end("loader", 0, 1, cut_off=True)], "loader-quit-early"),
        (
            [
                end("extractor", -15, 3, stopped=True),
                end("mapper", -15, 2, stopped=True, cut_off=True),
                end("loader", 0, 1, cut_off=True),
            ],
            "loader-quit-early",
        ),
    ],
)
def test_who_went_first_of_his_own_accord_is_to_blame(ends, reference):
    found = verdict(ends)
    assert (found and found.reference) == reference


def test_a_kill_hints_at_memory():
    assert "out of memory" in verdict([end("loader", -9, 1)]).hint


def test_what_a_library_makes_of_the_second_signal_is_that_signal():
    cancel, events = Cancel(), []

    def interrupted(_step, _run):
        cancel.set(signal.SIGINT)
        cancel.abort()
        raise RuntimeError("query interrupted")

    with pytest.raises(KeyboardInterrupt):
        execute(steps("a"), {Invoke: interrupted}, emit=events.append, cancel=cancel)
    (finished,) = [event for event in events if isinstance(event, StepFinished)]
    assert (finished.outcome, finished.problem.reference) == (Outcome.CANCELLED, "cancelled")

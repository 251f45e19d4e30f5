"""Steps that are done again, and steps side by side."""

from __future__ import annotations

import threading

import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.model.event import Outcome
from headwater.model.plan import Block, ExtractLoad, Invoke
from headwater.model.plugin import PluginKind
from headwater.run.abreast import side_by_side, waves
from headwater.run.attempts import attempts, pause_after
from headwater.run.cancel import Cancel


def failing(times, error):
    """Fails that many times, then answers with the number of its calls."""
    calls = []

    def work():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return work, calls


def again(work, retries, told=None, cancel=None):
    told = [] if told is None else told
    return attempts(work, retries=retries, pause_seconds=0, cancel=cancel or Cancel(), tell=told.append)


def test_a_step_is_done_again_until_it_succeeds():
    told = []
    work, _ = failing(2, RunFailedError("x", "the source is closed"))
    assert again(work, 3, told) == 3
    assert told == [
        "attempt 1 of 4 failed: the source is closed; the next one in 0.0 s",
        "attempt 2 of 4 failed: the source is closed; the next one in 0.0 s",
    ]


def test_the_last_failure_is_the_one_that_counts():
    work, calls = failing(9, RunFailedError("x", "no"))
    with pytest.raises(RunFailedError):
        again(work, 2)
    assert len(calls) == 3


def test_what_is_written_wrong_is_not_tried_again():
    work, calls = failing(9, InputError("x", "no"))
    with pytest.raises(InputError):
        again(work, 5)
    assert len(calls) == 1


def test_nothing_is_tried_again_after_a_wish_to_stop():
    cancel = Cancel()
    cancel.set(15)
    work, calls = failing(9, RunFailedError("x", "no"))
    with pytest.raises(RunFailedError):
        again(work, 5, cancel=cancel)
    assert len(calls) == 1


def test_pauses_double_and_differ_by_chance():
    assert [pause_after(n, 2.0, 0.5) for n in (1, 2, 3, 12)] == [2.0, 4.0, 8.0, 300.0]
    assert (pause_after(1, 2.0, 0.0), pause_after(1, 2.0, 1.0)) == (1.0, 3.0)


def block(kind):
    return Block(kind=kind, name="x", variant=None, namespace="x", native=None, argv=(), env={}, config={})


def pipeline(name, state_id):
    ends = {"extractor": block(PluginKind.EXTRACTOR), "loader": block(PluginKind.LOADER)}
    return ExtractLoad(name=name, state_id=state_id, **ends)


def test_only_pipelines_with_states_of_their_own_are_side_by_side():
    command = Invoke(name="say", block=block(PluginKind.UTILITY), command=None, argv=(), cwd=".")
    a, b, c, none = pipeline("a", "1"), pipeline("b", "2"), pipeline("c", "1"), pipeline("n", None)
    assert waves([a, b, none, c, command, a, command, command], 4) == [
        (a, b, none),
        (c,),
        (command,),
        (a,),
        (command,),
        (command,),
    ]
    assert waves([a, b], 1) == [(a,), (b,)]


def test_steps_side_by_side_meet():
    met = threading.Barrier(2, timeout=20)

    def do(step):
        met.wait()
        return Outcome.SUCCESS

    steps = [pipeline(name, name) for name in "abcd"]
    assert side_by_side(steps, do, most=2, cancel=Cancel()) is Outcome.SUCCESS


def test_after_a_failure_no_other_is_begun_and_those_that_run_end():
    begun, ended = [], []
    both, failed = threading.Event(), threading.Event()

    def do(step):
        begun.append(step.name)
        if step.name == "a":
            both.wait(20)
            failed.set()
            return Outcome.FAILED
        both.set()
        failed.wait(20)
        ended.append(step.name)
        return Outcome.FAILED

    steps = [pipeline(name, name) for name in "abc"]
    assert side_by_side(steps, do, most=2, cancel=Cancel()) is Outcome.FAILED
    assert (sorted(begun), ended) == (["a", "b"], ["b"])


def test_a_bug_in_a_thread_is_raised_where_one_waits():
    def do(step):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side([pipeline("a", "a"), pipeline("b", "b")], do, most=2, cancel=Cancel())

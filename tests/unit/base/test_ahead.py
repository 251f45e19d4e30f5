from __future__ import annotations

import threading
import time

import pytest

from headwater.base.ahead import Beat, ahead, interleaved


def sizes(_item):
    return 10


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_items_come_in_their_order():
    assert list(ahead(iter(range(1000)), budget_bytes=50, size_of=sizes)) == list(range(1000))
    assert threads() == []


def test_nothing_comes_of_nothing():
    assert list(interleaved([], jobs=3, budget_bytes=1, size_of=sizes)) == []
    assert list(interleaved([lambda: iter(())] * 3, jobs=2, budget_bytes=1, size_of=sizes)) == []


def test_each_reader_keeps_its_own_order():
    readers = [lambda name=name: ((name, number) for number in range(200)) for name in "abcde"]
    found = list(interleaved(readers, jobs=3, budget_bytes=100, size_of=sizes))
    assert len(found) == 1000
    for name in "abcde":
        assert [number for one, number in found if one == name] == list(range(200))


def test_a_reader_waits_when_enough_is_waiting():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    found = ahead(items(), budget_bytes=30, size_of=sizes)
    assert next(found) == 0
    time.sleep(0.1)
    assert len(made) <= 5  # one taken, three waiting, one in hand
    assert list(found) == list(range(1, 100))


def test_an_item_that_is_larger_than_the_budget_passes_alone():
    assert list(ahead(iter([1, 2, 3]), budget_bytes=5, size_of=sizes)) == [1, 2, 3]


def test_no_more_readers_are_at_work_than_asked_for():
    at_work, most = [], []

    def items():
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.01)
        yield 1
        at_work.pop()

    assert list(interleaved([items] * 6, jobs=2, budget_bytes=100, size_of=sizes)) == [1] * 6
    assert max(most) == 2


def test_an_error_comes_after_what_was_yielded_before_it_and_ends_the_others():
    closed = []

    def failing():
        yield "before"
        raise ValueError("broken")

    def endless():
        try:
            while True:
                yield "more"
        finally:
            closed.append(threading.current_thread().name)

    found = []
    with pytest.raises(ValueError, match="broken"):
        found.extend(interleaved([endless, failing], jobs=2, budget_bytes=100, size_of=sizes))
    assert "before" in found
    assert closed == ["ahead"]
    assert threads() == []


def test_closing_closes_the_readers_in_their_threads():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    found = interleaved([items, items, items], jobs=2, budget_bytes=20, size_of=sizes)
    assert next(found) == 1
    found.close()
    assert closed == ["ahead", "ahead"]  # the third was never begun
    assert threads() == []


def test_while_nothing_comes_the_beat_goes_on():
    beats = []
    gate = threading.Event()

    def items():
        gate.wait(10)
        yield 1

    def beat():
        beats.append(threading.current_thread())
        if len(beats) == 3:
            gate.set()

    assert list(ahead(items(), budget_bytes=1, size_of=sizes, beat=Beat(0.01, beat))) == [1]
    assert set(beats) == {threading.main_thread()}


def test_a_large_item_is_not_overtaken_for_ever():
    done = threading.Event()

    def small():
        while not done.is_set():
            yield 1

    def large():
        yield 100

    found = interleaved([small, small, large], jobs=3, budget_bytes=20, size_of=lambda item: item)
    for item in found:
        if item == 100:
            done.set()
    assert done.is_set()
    assert threads() == []


def test_who_leaves_unblocks_a_reader_that_waits_for_something_else():
    gate = threading.Event()

    def items():
        yield 1
        gate.wait()

    found = ahead(items(), budget_bytes=100, size_of=sizes, unblock=gate.set)
    assert next(found) == 1
    found.close()
    assert threads() == []


def test_an_error_in_the_beat_unblocks_the_reader_too():
    gate = threading.Event()

    def items():
        gate.wait()
        yield 1

    def beat():
        raise ValueError("the destination broke")

    with pytest.raises(ValueError, match="the destination broke"):
        list(ahead(items(), budget_bytes=1, size_of=sizes, beat=Beat(0.01, beat), unblock=gate.set))
    assert threads() == []


def test_a_reader_that_ends_by_itself_is_not_unblocked():
    told = []

    def failing():
        yield 1
        raise ValueError("broken")

    assert list(ahead(iter([1]), budget_bytes=1, size_of=sizes, unblock=lambda: told.append(1))) == [1]
    with pytest.raises(ValueError, match="broken"):
        list(ahead(failing(), budget_bytes=1, size_of=sizes, unblock=lambda: told.append(1)))
    assert told == []

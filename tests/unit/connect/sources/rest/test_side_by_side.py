"""Several streams read at a time: who waits for whom, what a checkpoint covers, and one pace for all."""

from __future__ import annotations

import json
import threading

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows
from headwater.connect.sources import rest

TWO = """
pagination: {type: page, size: 2}
streams:
  orders: {path: /orders, keys: id, columns: {id: integer}, incremental: {cursor: id, ordered: true, start: 0}}
  events: {path: /events, columns: {id: integer}, incremental: {cursor: id, start: 0}}
  whole: {path: /whole, columns: {id: integer}}
"""


def read(source, jobs, state=None, stop=lambda: False):
    request = ReadRequest(catalog=source.discovered(), state=state, folder=source.folder, jobs=jobs, should_stop=stop)
    return list(rest.read(source.settings, request))


def page(asked, count=5):
    first = (int(asked.query["page"]) - 1) * 2
    return [{"id": n} for n in range(first, min(count, first + 2))]


def ids(messages, stream):
    return [
        n for one in messages if isinstance(one, Rows) and one.stream == stream for n in one.batch["id"].to_pylist()
    ]


def test_each_stream_comes_whole_and_the_state_is_the_same_as_one_by_one(source):
    source.write(TWO)
    source.api.answer = page
    one, several = read(source, 1), read(source, 3)
    for stream in ("orders", "events", "whole"):
        assert ids(several, stream) == ids(one, stream) == [0, 1, 2, 3, 4]
    assert json.loads(one[-1].state) == json.loads(several[-1].state)


def test_two_streams_are_asked_for_at_the_same_time(source):
    source.write(TWO)
    both = threading.Barrier(2)

    def answer(asked):
        if asked.query["page"] == "1" and asked.path != "/whole":
            both.wait(60)  # would break if one came after the other
        return page(asked)

    source.api.answer = answer
    assert ids(read(source, 2), "events") == [0, 1, 2, 3, 4]


def test_a_checkpoint_never_stands_behind_rows_without_keys_that_it_does_not_cover(source):
    source.write(TWO)
    events_wait = threading.Event()

    def answer(asked):
        if asked.path == "/orders" and asked.query["page"] == "2":
            events_wait.wait(60)
        if asked.path == "/events" and asked.query["page"] == "2":
            events_wait.set()
        return page(asked)

    source.api.answer = answer
    messages = read(source, 2)
    for at, message in enumerate(messages):
        if isinstance(message, Checkpoint):
            came = ids(messages[:at], "events")
            assert came in ([], [0, 1, 2, 3, 4])
            assert bool(came) == (b'"events":{"bookmark":4' in message.state)
            assert not ids(messages[:at], "whole") or at == len(messages) - 1


def test_what_goes_wrong_in_one_stream_ends_them_all(source):
    source.write(TWO)
    source.api.answer = lambda asked: source.api.reply(b"", 404) if asked.path == "/events" else page(asked)
    with pytest.raises(HeadwaterError, match=r"`GET .*/events` was answered with status 404"):
        read(source, 3)


def test_a_run_that_is_cancelled_waits_for_none_of_them(source):
    source.write(TWO)
    is_let_go = threading.Event()
    source.api.answer = lambda asked: is_let_go.wait(60)
    messages = read(source, 2, stop=lambda: len(source.api.asked) >= 2)
    assert not ids(messages, "orders")
    is_let_go.set()


def test_all_streams_share_one_pace(source):
    source.write("limits: {requests: 1, per: hour}\n" + TWO)
    source.api.answer = page
    # The first call goes out at once, the second in an hour: whichever stream asks.
    read(source, 2, stop=lambda: bool(source.api.asked))
    assert len(source.api.asked) == 1

"""Several streams of a file at a time, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema
from headwater.connect.sources import python

_CODE = """
import os, pathlib, time
from headwater.sources import stream

HERE = pathlib.Path(__file__).parent


def met(me, other):
    (HERE / me).touch()
    while not (HERE / other).exists():
        time.sleep(0.01)


@stream(keys="id", cursor="id", ordered=True, schema={"id": int})
def left(bookmark: int = 0):
    MEET_LEFT
    for n in range(bookmark, 5):
        yield [{"id": n}]


@stream(cursor="id", schema={"id": int})
def right():
    MEET_RIGHT
    yield from ([{"id": n}] for n in range(5))


@stream(keys="id", schema={"id": int, "process": int})
def whole():
    yield {"id": 1, "process": os.getpid()}
"""


def _settings(folder: Path, left: str = "pass", right: str = "pass") -> python.Settings:
    (folder / "own.py").write_text(_CODE.replace("MEET_LEFT", left).replace("MEET_RIGHT", right))
    return python.Settings(source="own.py", root=str(folder))


def _read(settings: python.Settings, folder: Path, jobs: int, state: bytes | None = None) -> list[Message]:
    # Only streams without a declared schema are asked for rows.
    catalog = python.discover(settings)
    return list(python.read(settings, ReadRequest(catalog=catalog, state=state, folder=folder, jobs=jobs)))


def _ids(messages: list[Message], stream: str) -> list[int]:
    return [
        n for one in messages if isinstance(one, Rows) and one.stream == stream for n in one.batch["id"].to_pylist()
    ]


def test_each_stream_comes_whole_and_the_state_is_the_same_as_one_by_one(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    one, several = _read(settings, tmp_path, 1), _read(settings, tmp_path, 3)
    for stream in ("left", "right"):
        assert _ids(several, stream) == _ids(one, stream) == [0, 1, 2, 3, 4]
    ends = [messages[-1] for messages in (one, several)]
    assert all(isinstance(end, Checkpoint) for end in ends)
    states = [json.loads(end.state) for end in ends if isinstance(end, Checkpoint)]
    assert states[0] == states[1]
    assert [m.stream for m in several if isinstance(m, Schema)][-1] == "whole"


def test_two_streams_run_at_the_same_time(tmp_path: Path) -> None:
    settings = _settings(tmp_path, "met('l', 'r')", "met('r', 'l')")
    assert _ids(_read(settings, tmp_path, 2), "right") == [0, 1, 2, 3, 4]


def test_a_checkpoint_never_stands_behind_rows_without_keys_that_it_does_not_cover(tmp_path: Path) -> None:
    messages = _read(_settings(tmp_path, "met('l', 'r')", "met('r', 'l')"), tmp_path, 2)
    for at, message in enumerate(messages):
        if isinstance(message, Checkpoint):
            came = _ids(messages[:at], "right")
            assert came in ([], [0, 1, 2, 3, 4])
            assert bool(came) == (b'"right":{"bookmark":4' in message.state)


def test_what_goes_wrong_in_one_stream_ends_those_that_are_silent(tmp_path: Path) -> None:
    settings = _settings(tmp_path, "met('l', 'never')", "raise ValueError('lost')")
    with pytest.raises(HeadwaterError, match="failed in `right`: ValueError: lost"):
        _read(settings, tmp_path, 2)


def test_who_takes_no_more_ends_those_that_are_silent(tmp_path: Path) -> None:
    settings = _settings(tmp_path, "pass", "met('r', 'never')")
    request = ReadRequest(catalog=python.discover(settings), state=None, folder=tmp_path, jobs=2)
    messages = python.read(settings, request)
    assert _ids([next(message for message in messages if isinstance(message, Rows))], "left")
    messages.close()  # type: ignore[attr-defined]  # it is a generator

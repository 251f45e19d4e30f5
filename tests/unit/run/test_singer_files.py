"""What a Singer program finds in the files that it is started with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.model.plan import Block
from headwater.model.plugin import PluginKind
from headwater.run.singer_files import state_arguments

TAP = Block(
    kind=PluginKind.EXTRACTOR,
    name="tap-x",
    variant=None,
    namespace="tap_x",
    native=None,
    argv=("tap-x",),
    env={},
    config={},
    capabilities=("state",),
)


def given(state, folder):
    _, path = state_arguments(TAP, state, folder)
    return Path(path).read_text()


def test_a_state_is_handed_over_as_it_was_written(tmp_path):
    for text in (
        '{ "bookmarks": {"a": {"id": 1}},  "currently_syncing": "a"}',
        '{"bookmarks":{},"currently_syncing":null}',
        '{"value": "currently_syncing"}',
        '["currently_syncing"]',
    ):
        assert given(text, tmp_path) == text


@pytest.mark.parametrize("rest", [{}, {"bookmarks": {"a": {"id": 1}, "b": {}}}])
def test_no_tap_is_told_to_go_on_with_a_stream_of_which_nothing_is_known(tmp_path, rest):
    assert json.loads(given(json.dumps({**rest, "currently_syncing": "b"}), tmp_path)) == rest

"""The words of `headwater rejects`."""

from __future__ import annotations

import pytest

from headwater.cli.words import rejects_command


@pytest.mark.parametrize(
    ("state_id", "command"),
    [
        ("dev:tap-a-to-target-b", "headwater rejects list --state-id dev:tap-a-to-target-b"),
        ("dev:tap a-to-target-b", "headwater rejects list --state-id 'dev:tap a-to-target-b'"),
        (None, "headwater rejects list"),
    ],
)
def test_the_command_can_be_pasted_into_a_shell(state_id, command):
    assert rejects_command(state_id) == command

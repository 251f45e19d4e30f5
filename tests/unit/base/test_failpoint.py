from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from headwater.base import failpoint
from headwater.base.errors import InputError

PASSES = """
import sys
from headwater.base import failpoint
failpoint.arm(sys.argv[1])
for number in range(4):
    print(number, flush=True)
    failpoint.reach("commit.begun")
    failpoint.reach("commit.done")
"""


def passes(armed):
    child = subprocess.run([sys.executable, "-c", PASSES, armed], capture_output=True, text=True, check=False)
    return child.returncode, child.stdout.split()


def test_the_process_dies_when_it_comes_to_the_point_for_that_time():
    assert passes("commit.done:1") == (-signal.SIGKILL, ["0"])
    assert passes("commit.begun:3") == (-signal.SIGKILL, ["0", "1", "2"])


def test_nothing_happens_at_other_points_or_before_that_time():
    assert passes("commit.done:5") == (0, ["0", "1", "2", "3"])
    assert passes("state.begun:1") == (0, ["0", "1", "2", "3"])
    assert passes("") == (0, ["0", "1", "2", "3"])


@pytest.mark.parametrize("text", ["commit", "commit.done", "commit.done:0", "commit.done:x", "commit.done:1:maim"])
def test_a_point_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="names no point"):
        failpoint.arm(text)

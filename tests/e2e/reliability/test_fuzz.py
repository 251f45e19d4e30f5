"""Streams that chance has broken: refused with a clear error, or taken exactly as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SEED, times

MOST_MEGABYTES = 512


@pytest.mark.parametrize("part", range(2))
def test_mutated_streams(part, figures):
    count = times(1000, 50_000)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzz.py"), str(SEED * 1_000_000 + part * count), str(count)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) < MOST_MEGABYTES
    figures("protocol fuzz", "mutated Singer streams", count)
    figures.most("protocol fuzz", "MB of memory", int(done.stdout))

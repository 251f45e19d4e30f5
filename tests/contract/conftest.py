"""Stand-ins that several suites ask."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def google() -> Iterator[str]:
    """The address of a stand-in for Google Cloud Storage with a bucket `lake`."""
    command = [sys.executable, Path(__file__).parent / "states" / "google_stand_in.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to tune without glibc")

_POOL = "ARROW_DEFAULT_MEMORY_POOL"
_HEAP = """
import sys, threading
from headwater.base.memory import keep_freed
if sys.argv[1] != "leave":
    keep_freed(one_heap=sys.argv[1] == "one")
def heap():
    for line in open("/proc/self/maps"):
        if line.rstrip().endswith("[heap]"):
            begin, _, end = line.split()[0].partition("-")
            return int(end, 16) - int(begin, 16)
def batch():
    bytearray(20 << 20)
other = threading.Thread(target=batch)
other.start()
other.join()
print(heap() >> 20)
"""
_SHOWN = """
import os, sys
{first}
from headwater.base.memory import keep_freed
keep_freed()
import pyarrow as pa
print(pa.default_memory_pool().backend_name, os.environ.get("ARROW_DEFAULT_MEMORY_POOL"))
"""


def _said(script: str, *args: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != _POOL}
    done = subprocess.run(
        [sys.executable, "-c", script, *args], env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_a_thread_gave_back_stays_in_the_one_heap() -> None:
    assert int(_said(_HEAP, "leave")) < 20 <= int(_said(_HEAP, "one"))


def test_with_several_heaps_a_thread_has_its_own() -> None:
    assert int(_said(_HEAP, "several")) < 20


@pytest.mark.parametrize("first", ["", "import pyarrow"])
def test_arrow_takes_that_heap_and_programs_we_start_are_not_told(first: str) -> None:
    assert _said(_SHOWN.format(first=first)) == "system None"


def test_a_pool_that_somebody_chose_stays() -> None:
    assert _said(_SHOWN.format(first=""), **{_POOL: "mimalloc"}) == "mimalloc mimalloc"

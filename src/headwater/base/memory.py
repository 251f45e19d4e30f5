"""Memory that one batch gave back is kept for the next.

Batches of much the same size come one after another. Left alone, glibc returns the memory of each to the system, and so
does the pool that Arrow brings along: every page is then mapped and cleared again, batch after batch.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# The most that glibc takes for it; a larger piece goes back to the system by itself.
_LARGEST_KEPT = 32 << 20
_MOST_KEPT = 128 << 20
_POOL = "ARROW_DEFAULT_MEMORY_POOL"


def keep_freed(*, one_heap: bool = True) -> None:
    """Have this process keep what it frees, up to 128 MB a heap, and have Arrow use these heaps, unless the environment
    names another pool. Of several heaps each keeps as much; in one all threads wait for each other, which matters where
    many of them make small pieces.

    To be called before Arrow is imported: its C++ code chooses its pool then. Does nothing without glibc.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tune is None:
        return
    tune(_MMAP_THRESHOLD, _LARGEST_KEPT)
    tune(_TRIM_THRESHOLD, _MOST_KEPT)
    if one_heap:
        tune(_ARENA_MAX, 1)
    if _POOL in os.environ:
        return
    os.environ[_POOL] = "system"
    try:
        import pyarrow as pa  # noqa: PLC0415 - it reads the variable as it is loaded

        pa.set_memory_pool(pa.system_memory_pool())
    finally:
        os.environ.pop(_POOL, None)  # it is not for the programs that we start; another step may be here, too

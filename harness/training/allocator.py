"""Memory that the C library holds for the next batch, instead of returning it and having it zeroed again."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_VARIABLE = "HARNESS_KEEP_MEMORY"  # 0: the allocator is not changed
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # of glibc's malloc.h
_HOLDING = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 256 * 2**20))
# The first call ends glibc's adaptation; these are the values that it reaches with large arrays.
_USUAL = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 * 2**20), (_TRIM_THRESHOLD, 64 * 2**20), (_TOP_PAD, 0))


@contextmanager
def held_memory() -> Iterator[None]:
    """Let glibc hold freed memory inside, so that large activations cost no system calls. Other C libraries do nothing.

    No number changes. At the end the memory is returned.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get(SWITCH_VARIABLE) == "0":
        yield
        return
    libc = ctypes.CDLL(None)
    for option, value in _HOLDING:
        libc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL:
            libc.mallopt(option, value)
        libc.malloc_trim(0)

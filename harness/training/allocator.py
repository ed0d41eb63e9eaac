"""Memory that the C library keeps for the next batch, in place of giving it back and having it zeroed again."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH = "HARNESS_KEEP_MEMORY"  # 0 leaves the allocator as it is
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # of glibc's malloc.h
_KEEPING = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 256 * 2**20))
# The first call ends glibc's own adaptation, so that these are the values at which that arrives with large arrays.
_USUAL = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 * 2**20), (_TRIM_THRESHOLD, 64 * 2**20), (_TOP_PAD, 0))


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it glibc keeps what is freed: large activations cost no system calls. Elsewhere it does nothing.

    No number changes. At the end what was kept is given back.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get(SWITCH) == "0":
        yield
        return
    libc = ctypes.CDLL(None)
    for option, value in _KEEPING:
        libc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL:
            libc.mallopt(option, value)
        libc.malloc_trim(0)

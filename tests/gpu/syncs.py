"""How often the host waits for the device."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

SAID = "called a synchronizing CUDA operation"


def counted_syncs(work: Callable[[], object]) -> Counter[str]:
    """Call `work`, and return how often the host waited for the device at each place: `fit.py:159`.

    torch.cuda.synchronize is not counted.
    """
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught if SAID in str(w.message))

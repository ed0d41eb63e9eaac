"""What a fit used of its device: seconds, and on a GPU memory and energy."""

import time
from dataclasses import dataclass

import torch

from harness.training.nvidia import energy_joules

JOULES_PER_WH = 3600
MIN_SECONDS = 1.0  # NVML's energy counter moves in steps of some 0.1 s


@dataclass(frozen=True)
class Usage:
    """What one fit used. None: it cannot be told, as on a CPU, where several fits share the memory of a process."""

    seconds: float = 0.0
    peak_memory: int | None = None  # bytes of the GPU
    energy_wh: float | None = None  # of the GPU

    def share(self, fits: int) -> "Usage":
        """An equal share of the time and energy of fits that ran in one loop; none of them has a memory of its own."""
        return Usage(self.seconds / fits, None, None if self.energy_wh is None else self.energy_wh / fits)


NOT_MEASURED = Usage()


class Meter:
    """Measures from its creation on. Start it when no other fit of this process runs."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._started = device, time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._joules = _joules(device)

    def read(self) -> Usage:
        """What was used so far."""
        seconds, joules = time.perf_counter() - self._started, _joules(self._device)
        known = joules is not None and self._joules is not None and seconds >= MIN_SECONDS
        return Usage(
            seconds,
            torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None,
            (joules - self._joules) / JOULES_PER_WH if known else None,  # type: ignore[operator]
        )


def _joules(device: torch.device) -> float | None:
    """What the GPU has used since its driver was loaded; None on other devices."""
    if device.type != "cuda":
        return None
    return energy_joules(f"GPU-{torch.cuda.get_device_properties(device).uuid}")

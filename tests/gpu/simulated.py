"""A simulated NVIDIA GPU: `install()`, in a process of its own, before the harness is imported."""

from tests.gpu.simulation.device import Card, install

__all__ = ["Card", "install"]

"""The ways of making the same fit: compiled or not, its steps captured or not; the next one where one breaks down."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from harness.errors import one_line
from harness.training.device import free_memory, is_out_of_memory

T = TypeVar("T")


@dataclass(frozen=True)
class Way:
    """How a fit is made. fallbacks: what it does not do though the options ask for it, and why."""

    capture: bool  # steps as graphs, on CUDA
    compile: bool
    fallbacks: tuple[str, ...] = ()


def first_that_works(attempt: Callable[[Way], T], way: Way, must_compile: bool) -> tuple[T, Way]:
    """Make the attempt, and again in a plainer way where the way itself is the reason that it fails.

    A compiler that fails is no reason to lose a fit, unless the user asked to compile. A graph holds its memory for the
    whole fit: a smaller batch, which gives other numbers, comes after the same batch without a graph.
    """
    while True:
        try:
            return attempt(way), way
        except Exception as error:
            plainer = _plainer(way, error, must_compile)
            if plainer is None:
                raise
            way = plainer
        free_memory()


def _plainer(way: Way, error: Exception, must_compile: bool) -> Way | None:
    """The next way after this error; None where the error would come again."""
    if way.compile and not must_compile and isinstance(error, torch._dynamo.exc.TorchDynamoException):
        return replace(way, compile=False, fallbacks=(*way.fallbacks, f"not compiled: {one_line(error)}"))
    if way.capture and torch.cuda.is_available() and is_out_of_memory(error):
        return replace(way, capture=False, fallbacks=(*way.fallbacks, "not captured: too little memory for a graph"))
    return None

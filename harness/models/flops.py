"""The floating-point operations (FLOPs) of one image as torch counts them: 2 for a multiply-add, norms not counted."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.models.heads import Shape


def flops_of(forward: Callable[[], object]) -> int:
    """The FLOPs of the convolutions, matrix products and attention in a forward pass; on the meta device too."""
    # With gradients: without them torch's counter fails where a parameter is the argument of a module.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        forward()
    return int(counter.get_total_flops())


def head_flops(head: nn.Module, shape: Shape) -> int | None:
    """The FLOPs of a head for the features of one image; None where a custom head does not take a single image.

    A copy of the head is run, so that the head stays as it is.
    """
    try:
        copy = deepcopy(head).eval()
        device = next(copy.parameters()).device
        return flops_of(lambda: copy(torch.zeros(1, *shape, device=device)))
    except Exception:  # whatever the code of a custom head raises
        return None

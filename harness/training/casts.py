"""The weights of a backbone in lower precision: one kernel casts all of them, and one all of their gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

CAST = (nn.Conv2d, nn.Linear)  # whose weights autocast lowers; a subclass may do something else with them before


class CastWeights:
    """A backbone whose convolutions and linear layers find their weights already cast, as autocast would cast them.

    Autocast alone casts each weight in each step, and its gradient back: two hundred kernels of a ResNet-50.
    """

    def __init__(self, backbone: nn.Module, dtype: torch.dtype, before: Callable[[], None] | None = None) -> None:
        self._backbone, self._dtype, self._before = backbone, dtype, before
        self._names = [
            f"{module_name}.{name}" if module_name else name
            for module_name, module in backbone.named_modules()
            if type(module) in CAST
            for name, _ in module.named_parameters(recurse=False)
        ]

    def __call__(self, images: Tensor) -> Tensor:
        """The features of the images; call it within autocast."""
        if not self._names:
            return self._of(self._backbone(images))
        weights = dict(self._backbone.named_parameters(remove_duplicate=False))
        cast = _Cast.apply(self._dtype, self._before, *(weights[name] for name in self._names))
        return self._of(functional_call(self._backbone, dict(zip(self._names, cast, strict=True)), (images,)))

    @staticmethod
    def _of(found: Any) -> Tensor:
        assert isinstance(found, Tensor)
        return found


class _Cast(torch.autograd.Function):
    """Tensors in another precision, each in its own memory layout."""

    @staticmethod
    def forward(
        ctx: Any, dtype: torch.dtype, before: Callable[[], None] | None, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.before, ctx.dtypes = before, [weight.dtype for weight in weights]
        cast = [torch.empty_like(weight, dtype=dtype) for weight in weights]
        torch._foreach_copy_(cast, list(weights))
        trained = ctx.needs_input_grad[2:]
        ctx.mark_non_differentiable(*(c for c, wanted in zip(cast, trained, strict=True) if not wanted))
        return tuple(cast)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if ctx.before is not None:
            ctx.before()
        there = [(index, gradient) for index, gradient in enumerate(gradients) if gradient is not None]
        cast = [torch.empty_like(gradient, dtype=ctx.dtypes[index]) for index, gradient in there]
        if cast:
            torch._foreach_copy_(cast, [gradient for _, gradient in there])
        found = dict(zip((index for index, _ in there), cast, strict=True))
        return None, None, *(found.get(index) for index in range(len(gradients)))

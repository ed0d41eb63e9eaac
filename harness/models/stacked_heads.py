"""A stack of heads of one type: parameters [fits, ...], features [fits, n, ...] -> logits [fits, n, classes].

The same computation as in the heads themselves, for many fits in one kernel. All fits are padded to the largest batch;
padded images have the weight 0 and no effect.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.models.heads import (
    BatchNormFlatten,
    BatchNormGap,
    DropoutFlatten,
    DropoutGap,
    Linear,
    Reads,
    Shape,
    moments_of,
)

STACKABLE = (DropoutGap, DropoutFlatten, BatchNormGap, BatchNormFlatten, Linear)


class StackedHead:
    """Heads of one type in STACKABLE that differ only in their weights, for maps of this shape.

    state: name -> the stacked values of a parameter or buffer of all fits.
    """

    def __init__(self, heads: Sequence[nn.Module], shape: Shape) -> None:
        first = heads[0]
        assert isinstance(first, STACKABLE), "such heads cannot be stacked"
        self.p = first.dropout.p if isinstance(first, DropoutGap | DropoutFlatten) else 0.0
        self._norm = first.norm if isinstance(first, BatchNormGap | BatchNormFlatten) else None
        self._pools = isinstance(first, DropoutGap | BatchNormGap | Linear)
        self._pixels = shape[1] * shape[2]
        self.state = {name: torch.stack([h.state_dict()[name] for h in heads]) for name in first.state_dict()}
        self.parameters = [self.state[name].requires_grad_() for name, _ in first.named_parameters()]

    def reads(self, training: bool) -> Reads:
        """What the heads read: maps [fits, n, C, h, w], moments [fits, n, 2, C] or means [fits, n, C]."""
        if not self._pools or (training and self.p):
            return "maps"
        return "means" if self._norm is None else "moments"

    def train(self, features: Tensor, weight: Tensor, mask: Tensor | None) -> Tensor:
        """The logits in training mode; updates the running statistics.

        weight: [fits, n], 1 for an image and 0 for padding. mask: of dropout, where p is not 0.
        """
        if self._norm is not None:
            return self._linear(self._normed(features, *self._batch_statistics(features, weight)))
        return self._linear(self._reduced(features if mask is None else features * mask))

    def evaluate(self, features: Tensor) -> Tensor:
        """The logits in evaluation mode."""
        if self._norm is not None:
            return self._linear(self._normed(features, self.state["norm.running_mean"], self.state["norm.running_var"]))
        return self._linear(self._reduced(features))

    def _linear(self, features: Tensor) -> Tensor:
        return torch.baddbmm(self.state["linear.bias"][:, None], features, self.state["linear.weight"].mT)

    def _reduced(self, features: Tensor) -> Tensor:
        if features.ndim == 3:
            return features
        return features.mean(dim=(3, 4)) if self._pools else features.flatten(2)

    def _normed(self, features: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalise the features by these statistics [fits, C], then pool or flatten them."""
        assert self._norm is not None
        scale = ((variance + self._norm.eps).rsqrt() * self.state["norm.weight"])[:, None]
        shift, mean = self.state["norm.bias"][:, None], mean[:, None]
        if features.ndim == 4:
            return (features[:, :, 0] - mean) * scale + shift
        normed = (features - mean[..., None, None]) * scale[..., None, None] + shift[..., None, None]
        return self._reduced(normed)

    def _batch_statistics(self, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [fits, C] over the images of the batch; updates the running statistics."""
        means, variances = features.unbind(2) if features.ndim == 4 else moments_of(features)
        images = weight.sum(dim=1)[:, None]

        def average(values: Tensor) -> Tensor:
            return (values * weight[..., None]).sum(dim=1) / images.clamp(min=1)

        mean = average(means)
        variance = average(variances) + average((means - mean[:, None]).square())
        count = images * self._pixels
        self._run("mean", mean, images > 0)
        self._run("var", variance * (count / (count - 1).clamp(min=1)), images > 0)
        self.state["norm.num_batches_tracked"] += images[:, 0] > 0
        return mean, variance

    def _run(self, name: str, value: Tensor, active: Tensor) -> None:
        assert self._norm is not None and self._norm.momentum is not None
        running = self.state[f"norm.running_{name}"]
        running.copy_(torch.where(active, running.lerp(value, self._norm.momentum), running))

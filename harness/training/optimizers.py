"""The optimizers of a fit: torch's, and the same over a stack of fits."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.models.custom import head_class
from harness.study.settings import Settings
from harness.training.learning_rate import is_scheduled

SGD_MOMENTUM = 0.9
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # Kingma and Ba 2015

# A capturable optimizer that also steps outside of a graph, as for the last batch of an epoch, is meant to do so.
warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")


def make_optimizer(model: nn.Module, settings: Settings, source: str | None = None) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over what is trained of the model. source: of one of the user's own."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate: float | Tensor = settings.learning_rate
    decay, device = settings.weight_decay, parameters[0].device.type
    if source is not None:
        own: torch.optim.Optimizer = head_class(settings.optimizer, source)(parameters, lr=rate, weight_decay=decay)
        return own
    if device == "cuda" and is_scheduled(settings):
        rate = torch.tensor(rate, device=parameters[0].device)  # which a captured step reads anew each time
    fused = device in ("cuda", "cpu")
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=SGD_MOMENTUM, fused=fused)
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return kind(
        parameters,
        lr=rate,
        weight_decay=decay,
        betas=ADAM_BETAS,
        eps=ADAM_EPS,
        fused=fused,
        capturable=device == "cuda",
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the steps to come; nothing waits for the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class StackedOptimizer:
    """The optimizer of make_optimizer for parameters [fits, ...], with a decay and a step count for each fit.

    settings: of each fit, all with the same optimizer. state: all tensors that a step changes except the parameters.
    """

    def __init__(self, parameters: Sequence[Tensor], settings: Sequence[Settings]) -> None:
        self._parameters, self._kind = parameters, settings[0].optimizer
        device = parameters[0].device
        self._decay = torch.tensor([s.weight_decay for s in settings], device=device)
        self._first = [torch.zeros_like(p, requires_grad=False) for p in parameters]
        self._second = [torch.zeros_like(p, requires_grad=False) for p in parameters]
        exact = torch.float32 if device.type == "mps" else torch.float64  # which Apple's GPUs do not have
        self._steps = torch.zeros(len(settings), dtype=exact, device=device)
        self.state = [*self._first, *self._second, self._steps]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rates: Tensor, active: Tensor) -> None:
        """Update the parameters of the fits that are `active` [fits], by their rates [fits]; leave the others alone."""
        self._steps += active
        update = self._sgd if self._kind == "sgd" else self._adam
        for index, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            update(index, parameter, gradient, _like(rates, parameter), _like(active, parameter))

    def _sgd(self, index: int, parameter: Tensor, gradient: Tensor, rate: Tensor, active: Tensor) -> None:
        decay = _like(self._decay, parameter)
        momentum = self._first[index] * SGD_MOMENTUM + gradient + decay * parameter
        _set(self._first[index], momentum, active)
        _set(parameter, parameter - rate * momentum, active)

    def _adam(self, index: int, parameter: Tensor, gradient: Tensor, rate: Tensor, active: Tensor) -> None:
        decay, start = _like(self._decay, parameter), parameter
        if self._kind == "adamw":  # decay apart from the gradient (Loshchilov and Hutter 2019)
            start = parameter * (1 - rate * decay)
        else:
            gradient = gradient + decay * parameter
        first = self._first[index].lerp(gradient, 1 - ADAM_BETAS[0])
        second = self._second[index] * ADAM_BETAS[1] + gradient.square() * (1 - ADAM_BETAS[1])
        steps = self._steps.clamp(min=1)
        short, long = (_like(1 - beta**steps, parameter).to(parameter.dtype) for beta in ADAM_BETAS)
        moved = start - rate / short * first / (second.sqrt() / long.sqrt() + ADAM_EPS)
        for old, new in ((self._first[index], first), (self._second[index], second), (parameter, moved)):
            _set(old, new, active)


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    """A value for each fit, [fits], as [fits, 1, ...]."""
    return values.view(-1, *[1] * (parameter.ndim - 1))


def _set(old: Tensor, new: Tensor, active: Tensor) -> None:
    old.copy_(torch.where(active, new, old))

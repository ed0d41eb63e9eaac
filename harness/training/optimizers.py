"""The optimizers of a fit: torch's, those of timm and the user's own, and torch's over a stack of fits."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.backbone import Backbone
from harness.models.custom import head_class
from harness.models.layer_depths import layer_depths
from harness.models.timm_optimizers import timm_optimizer
from harness.study.allowed import OPTIMIZERS
from harness.study.settings import Settings
from harness.training.learning_rate import is_scheduled

SGD_MOMENTUM = 0.9
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # Kingma and Ba 2015

# A capturable optimizer that also steps outside of a graph, as for the last batch of an epoch, is meant to do so.
warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")


def make_optimizer(model: nn.Module, settings: Settings, source: str | None = None) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over what is trained of the model. source: of one of the user's own."""
    groups, rate, decay = parameter_groups(model, settings), settings.learning_rate, settings.weight_decay
    device: torch.device = groups[0]["params"][0].device
    if source is not None:
        made = head_class(settings.optimizer, source)
        own: torch.optim.Optimizer = made(groups[0]["params"], lr=rate, weight_decay=decay)
        return own
    if settings.optimizer not in OPTIMIZERS:
        return timm_optimizer(settings.optimizer, groups, rate, decay)
    if device.type == "cuda" and is_scheduled(settings):
        for group in groups:
            group["lr"] = torch.tensor(group["lr"], device=device)  # which a captured step reads again each time
    first, fused = groups[0]["lr"], device.type in ("cuda", "cpu")
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=first, weight_decay=decay, momentum=SGD_MOMENTUM, fused=fused)
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return kind(
        groups,
        lr=first,
        weight_decay=decay,
        betas=ADAM_BETAS,
        eps=ADAM_EPS,
        fused=fused,
        capturable=device.type == "cuda",
    )


def parameter_groups(model: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """What is trained of the model, in torch's groups: those of one learning rate, and their share `lr_scale` of it.

    With layer_decay a layer of the backbone has layer_decay^depth (Clark et al. 2020, as BEiT has it), the head all.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    depths = _depths(model, settings.backbone) if settings.layer_decay < 1 else {}
    groups: dict[int, list[nn.Parameter]] = {}
    for parameter in trained:
        groups.setdefault(depths.get(parameter, 0), []).append(parameter)
    scales = {depth: settings.layer_decay**depth for depth in groups}
    return [
        {"params": group, "lr": settings.learning_rate * scales[depth], "lr_scale": scales[depth]}
        for depth, group in groups.items()
    ]


def _depths(model: nn.Module, name: str) -> dict[nn.Parameter, int]:
    """The depth of each parameter of the model's backbone, of this name."""
    backbone = next(module for module in model.modules() if isinstance(module, Backbone))
    depths = layer_depths(backbone.network, name)
    return {parameter: depths[name] for name, parameter in backbone.network.named_parameters()}


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters of an optimizer, in its order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the steps to come, each group's in its scale; nothing waits for the device."""
    for group in optimizer.param_groups:
        scaled = rate * group.get("lr_scale", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(scaled)
        else:
            group["lr"] = scaled


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

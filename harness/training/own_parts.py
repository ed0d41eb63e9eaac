"""Losses and optimizers of the user's own, `module:Class` in the study file, are tried before anything is trained."""

import torch
from torch import Tensor, nn

from harness.errors import HarnessError, described
from harness.models.custom import head_class
from harness.study.own_file import file_name
from harness.study.settings import Settings
from harness.training.optimizers import make_optimizer

TRIAL_IMAGES = 4


def try_loss(settings: Settings, source: str, classes: int, device: str) -> None:
    """Compute the loss of a few random logits. Raises HarnessError, with what is expected of a loss, where it fails."""
    made = head_class(settings.loss, source)  # its own error is clear enough
    name = settings.loss.rpartition(":")[2]
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            own = made()
            if any(parameter.requires_grad for parameter in own.parameters()):
                raise HarnessError("it has parameters, and nothing would train them")
            logits = torch.rand(TRIAL_IMAGES, classes, device=device, requires_grad=True)
            labels = torch.arange(TRIAL_IMAGES, device=device) % classes
            _check_loss(own.to(device)(logits, labels), logits)
    except Exception as error:  # a user's code raises anything
        raise HarnessError(
            f"{file_name(settings.loss)} cannot be used: {described(error)}; expected: a torch.nn.Module made by"
            f" {name}() that turns logits [n, {classes}] and labels [n] into their loss, or into one for each image"
        ) from None


def _check_loss(loss: object, logits: Tensor) -> None:
    if not isinstance(loss, Tensor):
        raise HarnessError(f"it returns a {type(loss).__name__} and not a tensor")
    if loss.shape not in ((), (len(logits),)):
        raise HarnessError(f"for {len(logits)} images it returns a tensor of shape {list(loss.shape)}")
    if not loss.isfinite().all():
        raise HarnessError("it is not finite")
    loss.mean().backward()  # type: ignore[no-untyped-call]
    if logits.grad is None or not logits.grad.isfinite().all():
        raise HarnessError("its gradient is not finite")


def try_optimizer(settings: Settings, source: str, device: str) -> None:
    """Make a step with the optimizer. Raises HarnessError, with what is expected of one, where it fails."""
    head_class(settings.optimizer, source)  # its own error is clear enough
    name = settings.optimizer.rpartition(":")[2]
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            model = nn.Linear(2, 2).to(device)
            before = model.weight.detach().clone()
            optimizer = make_optimizer(model, settings, source)
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise HarnessError("it is no torch.optim.Optimizer")
            model(torch.ones(TRIAL_IMAGES, 2, device=device)).square().sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())  # as after an interruption
            if torch.equal(before, model.weight):
                raise HarnessError("its step changes nothing")
    except Exception as error:  # a user's code raises anything
        raise HarnessError(
            f"{file_name(settings.optimizer)} cannot be used: {described(error)}; expected: a torch.optim.Optimizer"
            f" made by {name}(parameters, lr=..., weight_decay=...) whose step() needs no closure"
        ) from None

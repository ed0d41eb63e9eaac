"""The state of an optimizer as tensors and plain data, which a file holds without code, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from harness.training.optimizers import parameters_of

Tensors = dict[str, Tensor]


def state_of(optimizer: Optimizer) -> tuple[Any, Tensors]:
    """The state as JSON has it, and the tensors that it names.

    Raises TypeError where the state holds something else, such as a generator of random numbers.
    """
    tensors: Tensors = {}
    numbers = [{key: value for key, value in group.items() if _changes(key, value)} for group in optimizer.param_groups]
    return _packed(optimizer.state_dict() | {"param_groups": numbers}, tensors, "optimizer"), tensors


def restore_state(optimizer: Optimizer, packed: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give a new optimizer the state of `state_of`. Its further settings, such as the betas, it has already."""
    found, parameters = _unpacked(packed, tensors), parameters_of(optimizer)
    for index, state in found["state"].items():
        found["state"][index] = {key: _like(parameters[index], value) for key, value in state.items()}
    groups = zip(optimizer.state_dict()["param_groups"], found["param_groups"], strict=True)
    optimizer.load_state_dict(found | {"param_groups": [group | numbers for group, numbers in groups]})


def _changes(key: str, value: Any) -> bool:
    """Whether steps may change an entry of a group, such as their count, a number or a tensor of one.

    A learning rate that is a tensor is set again at each step.
    """
    if isinstance(value, Tensor):
        return key != "lr"
    return isinstance(value, int | float) and not isinstance(value, bool)


def _packed(value: Any, tensors: Tensors, name: str) -> Any:
    """The value with a name in place of each tensor, which goes into `tensors`; containers say what they are."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _packed(each, tensors, f"{name}.{key}")] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_packed(each, tensors, f"{name}.{place}") for place, each in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}")


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpacked(each, tensors) for key, each in content}
    found = [_unpacked(each, tensors) for each in content]
    return found if kind == "list" else tuple(found)


def _like(parameter: Tensor, value: Any) -> Any:
    """The value in the memory layout that the optimizer itself would give it: other strides are other arithmetic."""
    if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value

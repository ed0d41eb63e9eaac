"""A network in training, by the kernels of the harness: batch norm with the addition and the ReLU that follow it."""

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import relu

from harness.errors import described
from harness.models.networks import BATCH_NORMS
from harness.training.casts import CastWeights
from harness.training.fused_norm import FusedNorm
from harness.training.fused_pool import fused_pool
from harness.training.side_conv import Side, SideConv

ADDITIONS = (operator.add, operator.iadd, torch.add)
RELUS = (relu, torch.relu)
FAR = 0.2  # that gradients in bf16 may be from those in fp32, by their norms; torch's own are up to 0.09


@dataclass(frozen=True)
class Fused:
    """A network on the same weights. join: called before the gradients of its weights are read."""

    network: nn.Module
    join: Callable[[], None]


def fuse(network: nn.Module) -> Fused | None:
    """The network in training, its batch norms fused; None where it has none, or torch.fx cannot read it.

    Call it in the mode in which the network is trained: a batch norm in evaluation mode stays as it is.
    """
    try:
        graph = _Tracer().trace(network)
    except Exception:  # whatever the network's code does with values that are not there, such as loops over sizes
        return None
    fused, side = fx.GraphModule(network, graph), Side()
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    made = [_replace_norm(fused, node) for node in nodes if _is_norm(_module(fused, node))]
    if not made:
        return None
    for node in made:
        _give_each_its_own(fused, node)
    often = Counter(node.target for node in nodes)
    for node in [node for node in graph.nodes if often[node.target] == 1]:
        _replace_pool(fused, node)
        _replace_conv(fused, node, side)
    graph.lint()
    fused.recompile()
    return Fused(fused, side.join)


class _Tracer(fx.Tracer):
    """Reads the code of modules that have batch norms; others are taken as they are."""

    def is_leaf_module(self, m: nn.Module, _name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or not any(isinstance(part, nn.BatchNorm2d) for part in m.modules())


def _module(fused: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that a node calls."""
    return fused.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_norm(module: nn.Module | None) -> bool:
    """Whether a module is a batch norm that learns from its batch."""
    return (
        isinstance(module, nn.BatchNorm2d)
        and type(module) in BATCH_NORMS
        and module.training
        and module.affine
        and module.track_running_stats
        and module.momentum is not None
        and isinstance(getattr(module, "drop", None), nn.Identity | None)
    )


class _Behind(NamedTuple):
    """What follows a batch norm in the same step. nodes: in their order, those of the addition and the ReLU."""

    nodes: tuple[fx.Node, ...] = ()
    added: fx.Node | None = None
    relu: bool = False


def _replace_norm(fused: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Replace a batch norm and what follows it by one step, which is returned."""
    name, norm, graph = str(node.target), _module(fused, node), fused.graph
    assert isinstance(norm, nn.BatchNorm2d) and norm.momentum is not None
    own = getattr(norm, "act", nn.Identity())
    behind = _behind(fused, node) if isinstance(own, nn.Identity) else _Behind(relu=type(own) is nn.ReLU)
    end = behind.nodes[-1] if behind.nodes else node
    fused.add_submodule(step := f"fused_{node.name}", FusedNorm(norm.eps, norm.momentum, behind.relu))
    with graph.inserting_before(end):
        held = [graph.get_attr(f"{name}.{of}") for of in ("weight", "bias", "running_mean", "running_var")]
        (x,) = node.all_input_nodes
        made = found = graph.call_module(step, (x, *held, behind.added))
        if type(own) not in (nn.Identity, nn.ReLU):
            found = graph.call_module(f"{name}.act", (made,))
    end.replace_all_uses_with(found)
    for old in (*reversed(behind.nodes), node):
        graph.erase_node(old)
    return made


def _behind(fused: fx.GraphModule, node: fx.Node) -> _Behind:
    """The addition and the ReLU that follow, each the only reader of what is before it."""
    nodes = _to_reader(fused, node)
    added = _other_summand(nodes[-1], (node, *nodes)[-2]) if nodes else None
    summed = _Behind(nodes, added) if added is not None else _Behind()
    end = summed.nodes[-1] if summed.nodes else node
    nodes = (*summed.nodes, *_to_reader(fused, end))
    return _Behind(nodes, added, True) if nodes != summed.nodes and _is_relu(fused, nodes[-1]) else summed


def _to_reader(fused: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, ...]:
    """The nodes up to the only reader of a node, identities among them; empty where several read it."""
    nodes: list[fx.Node] = []
    while len(node.users) == 1:
        (node,) = node.users
        nodes.append(node)
        if not isinstance(_module(fused, node), nn.Identity):
            return tuple(nodes)
    return ()


def _other_summand(node: fx.Node, summand: fx.Node) -> fx.Node | None:
    """What a node adds to a summand; None where it is no addition of two maps."""
    if node.op != "call_function" or node.target not in ADDITIONS or node.kwargs:
        return None
    others = [one for one in node.args if one is not summand]
    return others[0] if len(node.args) == 2 and len(others) == 1 and isinstance(others[0], fx.Node) else None


def _is_relu(fused: fx.GraphModule, node: fx.Node) -> bool:
    return type(_module(fused, node)) is nn.ReLU or (node.op == "call_function" and node.target in RELUS)


def _give_each_its_own(fused: fx.GraphModule, node: fx.Node) -> None:
    """Give the two readers of a step a result each, so that it gets their gradients apart and adds them itself."""
    readers, step = [_module(fused, reader) for reader in node.users], _module(fused, node)
    if len(readers) != 2 or any(reader is None or getattr(reader, "inplace", False) for reader in readers):
        return
    assert isinstance(step, FusedNorm)
    step.readers = 2
    for index, reader in enumerate(list(node.users)):
        with fused.graph.inserting_before(reader):
            reader.replace_input_with(node, fused.graph.call_function(operator.getitem, (node, index)))


def _replace_pool(fused: fx.GraphModule, node: fx.Node) -> None:
    pool = fused_pool(_module(fused, node))
    if pool is not None:
        fused.add_submodule(step := f"fused_{node.name}", pool)
        node.target = step


def _replace_conv(fused: fx.GraphModule, node: fx.Node, side: Side) -> None:
    name, conv = str(node.target), _module(fused, node)
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return
    with fused.graph.inserting_before(node):
        held = [fused.graph.get_attr(f"{name}.{of}") for of in ("weight", "bias")[: 1 if conv.bias is None else 2]]
    fused.add_submodule(step := f"fused_{node.name}", SideConv(conv, side))
    node.target, node.args = step, (*node.args, *held)


@cache
def why_not(device: torch.device) -> str | None:
    """Why networks are not fused on a device; None where a small one has the gradients there that torch computes."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            small, images = _Small().to(device), torch.randn(4, 3, 15, 14).to(device)
        fused = fuse(small.train())
        assert fused is not None
        in_bf16 = CastWeights(fused.network, torch.bfloat16, fused.join)
        found = _gradients(small, in_bf16, images.to(torch.bfloat16, memory_format=torch.channels_last))
        right = _gradients(small, small, images)
        far = max(float((one - other).norm() / other.norm()) for one, other in zip(found, right, strict=True))
        return None if far <= FAR else f"the kernels gave other numbers than torch: by {100 * far:.2g} %"
    except Exception as error:  # whatever Triton, its C compiler and the driver raise
        return described(error)


class _Small(nn.Module):
    """A network with a step of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 7, 2, 3, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.first = nn.Sequential(nn.Conv2d(24, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24))

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        return relu(self.second(self.first(x)) + x)


def _gradients(small: _Small, network: Callable[[Tensor], Tensor], images: Tensor) -> list[Tensor]:
    """The result of a network on the weights of `small`, and their gradients."""
    small.zero_grad(set_to_none=True)
    found = network(images)
    found.float().square().sum().backward()  # type: ignore[no-untyped-call]
    return [found.detach().float(), *(p.grad.clone() for p in small.parameters() if p.grad is not None)]

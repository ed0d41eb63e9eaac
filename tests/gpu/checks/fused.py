"""The kernels of the harness against torch in double precision, and a fit with them against one without."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from harness.training.fused_norm import FusedNorm
from harness.training.fused_pool import fused_pool
from harness.training.fusing import why_not
from harness.training.job import run_job
from harness.training.side_conv import Side, SideConv
from tests.gpu.fits import far, silent
from tests.gpu.lab import Lab, must

SHAPES = ((64, 64, 75, 75), (64, 256, 38, 38), (64, 1024, 10, 10), (64, 2048, 5, 5), (7, 40, 13, 11))
NEAR = 0.006  # by the norms: bf16 has eight bits
NEAR_TORCH = 0.02  # of a probability or a loss, after two epochs in bf16
Case = tuple[list[Tensor], list[Tensor], list[Tensor]]  # found, found again, right


def fused_kernels(lab: Lab) -> str:
    """Results and gradients of each kernel, twice, on maps of a ResNet-50 and an odd one."""
    lab.needs_hardware("its kernels run in Triton's interpreter in the tests")
    device = torch.device("cuda")
    must(why_not(device) is None, f"not fused: {why_not(device)}")
    worst: dict[str, float] = {}
    for name, (found, again, right) in cases(device, SHAPES, 75):
        must(all(map(torch.equal, found, again)), f"{name}: other bits the second time")
        error = max(
            float((one.double() - other).norm() / other.norm()) for one, other in zip(found, right, strict=True)
        )
        worst[name] = max(worst.get(name, 0.0), error)
    words = ", ".join(f"{name} {error:.1e}" for name, error in worst.items())
    return must(max(worst.values()) <= NEAR, f"by the norms (<= {NEAR}): {words}; the same bits twice")


def near_torch(lab: Lab) -> str:
    """The same fit in bf16 with the kernels and without."""
    lab.needs_hardware("a fit with its kernels")
    context, (job, *_) = lab.case("base.precision=bf16", "base.dropout=0.0", "base.epochs=2", "base.optimizer=sgd")
    fits = [run_job(job, replace(context, fuse=fuse), silent) for fuse in (True, False)]
    facts = [fit.record.facts for fit in fits]
    must(facts[0].fused == "on", f"not fused: {'; '.join(facts[0].fallbacks)}")
    must(facts[1].fused is None, "fused, though --fuse is off")
    found = far(*fits)
    return must(found <= NEAR_TORCH, f"of a probability or a loss after two epochs: {found:.1e} (<= {NEAR_TORCH})")


def cases(device: torch.device, shapes: Sequence[tuple[int, ...]], side: int) -> Iterator[tuple[str, Case]]:
    """Cases of each kernel. shapes: of the maps of batch norms. side: of those of the others, in pixels."""
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, generator=generator)

    def mapped(*shape: int) -> Tensor:
        return drawn(*shape).to(torch.bfloat16, memory_format=torch.channels_last)

    for shape, (added, relu, readers) in product(shapes, product((False, True), (False, True), (1, 2))):
        maps = [2 * mapped(*shape) + 3, *([mapped(*shape)] if added else [])]
        affine = [drawn(shape[1]), drawn(shape[1])]
        yield "batch norm", _norm_case(maps, affine, [mapped(*shape) for _ in range(readers)], relu)
    for size, stride, padding in ((3, 2, 1), (2, 2, 0)):
        pool = nn.MaxPool2d(size, stride, padding)
        fused, x = fused_pool(pool), mapped(shapes[0][0], 64, side, side).relu()
        assert fused is not None
        yield "max pooling", _case(fused, pool, [x], mapped(*pool(x).shape), [])
    for channels, size, padding in ((3, 7, 3), (1, 3, 1), (4, 2, 0), (16, 3, 1)):
        conv = nn.Conv2d(channels, 64, size, 2, padding).to(device)
        weights, x = [conv.weight.detach(), drawn(64)], mapped(shapes[0][0], channels, side, side)
        stream = Side()
        yield (
            "convolution",
            _case(SideConv(conv, stream), _conv(conv), [x], mapped(*conv(x.float()).shape), weights, stream.join),
        )


def _conv(conv: nn.Conv2d) -> Callable[..., Tensor]:
    return lambda x, weight, bias: torch.conv2d(x, weight, bias, conv.stride, conv.padding)


def _norm_case(maps: list[Tensor], affine: list[Tensor], gradients: list[Tensor], relu: bool) -> Case:
    """A batch norm as `_case` has it: the result of two readers is one, whose gradient is the sum of theirs."""
    step = FusedNorm(1e-5, 0.1, relu)
    step.readers = len(gradients)

    def fused(x: Tensor, *rest: Tensor) -> list[Tensor]:
        added, (weight, bias) = (rest[0] if len(maps) == 2 else None), rest[-2:]
        mean, variance = torch.zeros_like(weight), torch.ones_like(weight)
        found = step(x, weight, bias, mean, variance, added)
        return [*(found if isinstance(found, tuple) else (found,)), mean, variance]

    def right(x: Tensor, *rest: Tensor) -> list[Tensor]:
        weight, bias = rest[-2:]
        mean, variance = torch.zeros_like(weight), torch.ones_like(weight)
        y = batch_norm(x, mean, variance, weight, bias, True, 0.1, 1e-5) + (rest[0] if len(maps) == 2 else 0)
        return [*[y.relu() if relu else y] * len(gradients), mean, variance]

    found, again = (_gradients(fused, maps, affine, gradients) for _ in range(2))
    doubles = [[one.double() for one in group] for group in (maps, affine, gradients)]
    return found, again, _gradients(right, doubles[0], doubles[1], doubles[2])


def _case(
    fused: Callable[..., Tensor], right: Callable[..., Tensor], maps: list[Tensor], gradient: Tensor,
    weights: list[Tensor], join: Callable[[], None] = lambda: None,
) -> Case:  # fmt: skip
    """The results and the gradients of a step by its kernels, again, and by torch in double precision."""
    lowered = [weight.bfloat16() for weight in weights]
    found, again = (_gradients(lambda *given: [fused(*given)], maps, lowered, [gradient], join) for _ in range(2))
    doubles = [[one.double() for one in group] for group in (maps, lowered, [gradient])]
    return found, again, _gradients(lambda *given: [right(*given)], doubles[0], doubles[1], doubles[2])


def _gradients(
    step: Callable[..., list[Tensor]], maps: list[Tensor], weights: list[Tensor], gradients: list[Tensor],
    join: Callable[[], None] = lambda: None,
) -> list[Tensor]:  # fmt: skip
    """What a step gives, and the gradients of all that it reads."""
    given = [one.detach().requires_grad_() for one in (*maps, *weights)]
    found = step(*given)
    of_given = torch.autograd.grad(found[: len(gradients)], given, gradients)
    join()
    return [one.detach() for one in (*found, *of_given)]

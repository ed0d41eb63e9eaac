"""What torch.compile adds to fine-tuning, what it costs, and from how many images on it pays."""

from collections.abc import Iterator

import torch

from tests.bench.figure import Bench, Row
from tests.bench.gpu.loop import BOTH, COMPILED, GRAPH, Scale, Timed, in_words, no_cuda, time_fit
from tests.bench.gpu.roof import Roof
from tests.bench.gpu.steps import free
from tests.gpu.machine import compiler_words


def measure(bench: Bench) -> Iterator[Row] | list[Row]:
    """The rows of both backbones, the smaller first: the larger compiles for minutes."""
    if not torch.cuda.is_available():
        return no_cuda("gpu-compile")
    device = torch.device("cuda")
    return rows_of(Scale.of(bench), device, Roof(device))


def rows_of(scale: Scale, device: torch.device, roof: Roof) -> Iterator[Row]:
    """Each backbone compiled, without and with a graph of the step, beside the graph alone."""
    work = f"{in_words(scale, device)}; {compiler_words()}"
    for backbone in scale.backbones:
        plain = time_fit(backbone, GRAPH, scale, device)
        compiled = time_fit(backbone, COMPILED, scale, device)
        yield compiled.row(f"images/s: {backbone}, {COMPILED.name}", work, scale.batch)
        yield Row(f"seconds to compile: {backbone}", compiled.once, f"{work}; what the first epoch took longer.")
        both = time_fit(backbone, BOTH, scale, device)
        yield both.row(f"images/s: {backbone}, {BOTH.name}", work, scale.batch)
        yield from roof.rows(backbone, BOTH, scale, both, work)
        yield pays_from(backbone, plain, compiled, both, work)
        free(device)


def pays_from(backbone: str, plain: Timed, compiled: Timed, both: Timed, work: str) -> Row:
    """The number of images of a fit above which compiling saves more than it costs."""
    name = f"images from which compiling pays: {backbone}"
    saved = plain.per_image - both.per_image
    costs = f"{compiled.once:.0f} s to compile, {1e6 * saved:.1f} us saved an image, both with one graph a step"
    if saved <= 0:
        return Row(name, None, f"{work}; never: {costs}.")
    return Row(name, compiled.once / saved, f"{work}; {costs}.", parts={"once_s": compiled.once, "saved_s": saved})

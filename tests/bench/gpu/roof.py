"""How fast a step could be at best: by its matrix operations, and by the bytes that it has to move."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from harness.models.backbone import load_backbone
from harness.study.settings import ResolvedSettings
from tests.bench.figure import Goal, Row
from tests.bench.gpu.loop import Scale, Timed, Way, wait

PEAKS = {  # bf16 matrix FLOP/s by the data sheets, dense; the first name that is part of the device's counts
    "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "GH200": 989e12, "A100": 312e12,
}  # fmt: skip
PEAK_GOALS = {"resnet50": Goal(">=", 0.13), "resnet152": Goal(">=", 0.16)}
ROOF_GOAL = Goal(">=", 0.6)
OPTIMIZER_BYTES = 4 * 7 + 2 * 2  # a parameter: Adam reads 4 fp32 values and writes 3; its bf16 copy is written and read
HOW_BYTES = (
    "bytes of a step by shapes in bf16, each operation reading its inputs and writing its outputs once: convolutions"
    " and their two products backwards; batch norm two passes forwards and two backwards, activations and additions"
    " within these; Adam in fp32"
)


class ByteCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes that the operations inside have to move, as HOW_BYTES says."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        out = func(*args, **(kwargs or {}))
        name, read, written = func._schema.name.removeprefix("aten::"), _tensors(args), _tensors(out)
        self.bytes += _moved(name, [_size(t) for t in read], [_size(t) for t in written])
        return out


def _moved(name: str, read: list[int], written: list[int]) -> int:
    """The bytes of one operation."""
    if name == "convolution":
        return sum(read) + sum(written)
    if (
        name == "convolution_backward"
    ):  # the gradient of the output is read for that of the input and that of the weight
        products = sum(size > 0 for size in written[:2])
        return sum(read) + (products - 1) * read[0] + sum(written)
    if "batch_norm_backward" in name:  # sums of gradient and input, then the gradient of the input from both
        return 2 * (read[0] + read[1]) + written[0]
    if "batch_norm" in name:  # statistics, then the normalised map
        return 2 * read[0] + written[0]
    if name in ("add", "add_") and len(read) == 2:  # with the pass that made the first operand
        return read[1]
    if "max_pool" in name:
        return sum(read) + sum(written)
    return 0


def _tensors(values: Any) -> list[Tensor | None]:
    """The tensors among arguments or results; None stays where an operation gives nothing back."""
    return [value for value in tree_flatten(values)[0] if value is None or isinstance(value, Tensor)]


def _size(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel() * tensor.element_size()


def step_bytes(backbone: str, scale: Scale) -> float:
    """The bytes that a training step has to move."""
    network, images = _on_meta(backbone, scale, scale.batch)
    with ByteCounter() as counter:
        network(images).sum().backward()
    return float(counter.bytes + OPTIMIZER_BYTES * sum(p.numel() for p in network.parameters()))


def step_flops(backbone: str, scale: Scale) -> float:
    """The floating-point operations of a training step."""
    network, images = _on_meta(backbone, scale, 2)
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return float(counter.get_total_flops()) / 2 * scale.batch


def _on_meta(backbone: str, scale: Scale, batch: int) -> tuple[torch.nn.Module, Tensor]:
    """The network and a batch of images: shapes only."""
    settings = ResolvedSettings(backbone=backbone, weights="none", image_size=scale.size)
    network = load_backbone(settings, 0).to("meta", torch.bfloat16).train()
    return network, torch.zeros(batch, 3, scale.size, scale.size, device="meta", dtype=torch.bfloat16)


class Roof:
    """The matrix peak of a device, and the bandwidth of its memory."""

    def __init__(self, device: torch.device, megabytes: int = 1024) -> None:
        self.peak, self.how_peak = matrix_peak(device)
        self.bandwidth = copy_bandwidth(device, megabytes)

    def rows(self, backbone: str, way: Way, scale: Scale, timed: Timed, work: str) -> list[Row]:
        """The share of the matrix peak and that of the memory roof which a timed fit reaches."""
        step = timed.per_image * scale.batch
        flops, moved = step_flops(backbone, scale), step_bytes(backbone, scale)
        least = moved / self.bandwidth
        label = f"{backbone}, {way.name}"
        parts = {"step_s": step, "flops": flops, "bytes": moved, "peak": self.peak, "bandwidth": self.bandwidth}
        return [
            Row(f"share of the matrix peak: {label}", flops / step / self.peak,
                f"{work}; {flops / 1e12:.2f} TFLOP a step; {self.how_peak}.", PEAK_GOALS.get(backbone), parts=parts),
            Row(f"share of the memory roof: {label}", least / step,
                f"{work}; {moved / 1e9:.1f} GB a step, {1e3 * least:.2f} ms at {self.bandwidth / 1e12:.2f} TB/s,"
                f" measured here by copying; {HOW_BYTES}.", ROOF_GOAL, parts=parts),
        ]  # fmt: skip


def matrix_peak(device: torch.device, side: int = 8192) -> tuple[float, str]:
    """The bf16 matrix FLOP/s of the device, and where the number comes from."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    for model, peak in PEAKS.items():
        if model in name:
            return peak, f"peak {peak / 1e12:.0f} TFLOP/s by the data sheet"
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    best = 2 * side**3 / _least_seconds(lambda: torch.mm(matrix, matrix), device)
    return best, f"peak {best / 1e12:.2f} TFLOP/s, the best of 20 products of {side} x {side} matrices here"


def copy_bandwidth(device: torch.device, megabytes: int) -> float:
    """Bytes a second, read and written, the best of 20 copies within the device's memory."""
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)

    return 2 * source.numel() / _least_seconds(lambda: target.copy_(source), device)


def _least_seconds(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of 20 times, after one that is not timed."""
    times = []
    for _ in range(21):
        started = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])

"""What the device does in a step: kernels, the share of the time in which one runs, and waits of the host for it."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile, supported_activities

from tests.bench.figure import Bench, Goal, Row
from tests.bench.gpu.loop import EAGER, GRAPH, Scale, Way, in_words, no_cuda, prepare_fit, wait
from tests.gpu.syncs import counted_syncs

SYNC_GOAL = Goal("==", 0)
WORK = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of the events of a trace in which the device is busy
PROFILED_STEPS = 10
NOTHING_SEEN = "the profiler saw no kernel: CUPTI may be missing or forbidden here"


@dataclass(frozen=True)
class Traced:
    """What the device did in an epoch. names: seconds of each kernel."""

    kernels: int
    copies: int
    busy: float  # seconds in which at least one ran
    span: float  # seconds from the first to the end of the last
    names: Counter[str]


def measure(bench: Bench) -> Iterator[Row] | list[Row]:
    """The rows of both backbones."""
    if not torch.cuda.is_available():
        return no_cuda("gpu-kernels")
    # A graph that is replayed after the profiler has let go of the device crashed some drivers (torch.profiler).
    os.environ.update(DISABLE_CUPTI_LAZY_REINIT="1", TEARDOWN_CUPTI="0")
    scale = Scale.of(bench)
    return rows_of(replace(scale, images=PROFILED_STEPS * scale.batch), torch.device("cuda"))


def rows_of(scale: Scale, device: torch.device) -> Iterator[Row]:
    """The waits first: nothing can go wrong there."""
    work, steps = in_words(scale, device), scale.images // scale.batch
    for backbone in scale.backbones:
        yield Row(f"host syncs a step: {backbone}, {GRAPH.name}", syncs_a_step(backbone, scale, device),
                  f"{work}; an epoch of {2 * steps} steps less one of {steps}, over {steps}.", SYNC_GOAL)  # fmt: skip
    for backbone in scale.backbones:
        for way in (EAGER, GRAPH):
            yield from _rows(f"{backbone}, {way.name}", traced(backbone, way, scale, device), steps, work)


def _rows(label: str, found: Traced, steps: int, work: str) -> list[Row]:
    if not found.kernels or not found.span:
        return [Row(f"{what}: {label}", None, NOTHING_SEEN) for what in ("kernels a step", "device busy")]
    longest = {name[:120]: seconds / steps for name, seconds in found.names.most_common(12)}
    return [
        Row(f"kernels a step: {label}", found.kernels / steps, f"{work}; {steps} steps by torch.profiler, besides"
            f" {found.copies} copies and fills.", parts={"longest_s_a_step": longest}),
        Row(f"device busy: {label}", found.busy / found.span, f"{work}; the share of {1e3 * found.span:.1f} ms in which"
            " a kernel or a copy ran, with the profiler on, which slows the host.", parts={"busy_s": found.busy}),
    ]  # fmt: skip


def traced(backbone: str, way: Way, scale: Scale, device: torch.device) -> Traced:
    """Trace the second epoch of a fit of three: the first makes kernels, the third ends with a scoring."""
    there = ProfilerActivity.CUDA in supported_activities()  # type: ignore[no-untyped-call]
    activity = ProfilerActivity.CUDA if there else ProfilerActivity.CPU  # which sees no kernel
    with profile(activities=[activity]):  # of a graph that is captured before the first, a driver may tell nothing
        torch.zeros(1, device=device)
    profiler = profile(activities=[activity])

    def after_epoch(epoch: int, _metrics: object) -> None:
        wait(device)
        if epoch == 1:
            profiler.start()
        elif epoch == 2:
            profiler.stop()

    prepare_fit(backbone, way, scale, device)(after_epoch, 3)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        return read_trace(json.loads(file.read_text(encoding="utf-8", errors="replace"), strict=False))


def read_trace(trace: dict[str, object]) -> Traced:
    """The device's work in a trace in Chrome's format, whose times are in microseconds."""
    events = trace.get("traceEvents")
    assert isinstance(events, list)
    work = [event for event in events if event.get("cat") in WORK and "dur" in event]
    names: Counter[str] = Counter()
    for event in work:
        names[event["name"]] += event["dur"] * 1e-6
    spans = sorted((float(event["ts"]), float(event["ts"]) + float(event["dur"])) for event in work)
    busy, end = 0.0, spans[0][0] if spans else 0.0
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    kernels = sum(event["cat"] == "kernel" for event in work)
    span = end - spans[0][0] if spans else 0.0
    return Traced(kernels, len(work) - kernels, busy * 1e-6, span * 1e-6, names)


def syncs_a_step(backbone: str, scale: Scale, device: torch.device) -> float:
    """How often the host waits for the device in a step: what an epoch of twice the steps has more."""
    epochs, found = 2, []
    for images in (scale.images, scale.images, 2 * scale.images):  # the first makes what the others find
        run = prepare_fit(backbone, GRAPH, replace(scale, images=images), device)
        found.append(counted_syncs(partial(run, lambda *_: None, epochs)).total())
    return (found[2] - found[1]) / (epochs * scale.images / scale.batch)

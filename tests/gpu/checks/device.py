"""The machine, and what is particular to a device: waits of the host, too little memory, several of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from harness.execution.process import ProcessExecutor
from harness.store.results import FoldResult
from harness.study.plan import batches
from harness.training.device import free_memory, resolve_precision
from harness.training.job import run_job
from harness.training.run import run_jobs
from tests.gpu.fits import apart, fitted, result, silent
from tests.gpu.lab import Lab, SkippedError, must
from tests.gpu.machine import compiler_words, gpu_words, torch_words
from tests.gpu.syncs import counted_syncs

CUDA = torch.device("cuda")


def machine(lab: Lab) -> str:
    """The GPU, and what the harness chooses on it."""
    context, (job, *_) = lab.case("base.epochs=1")
    run_job(job, context, silent)  # which makes its settings
    properties, precision = torch.cuda.get_device_properties(0), resolve_precision("auto", CUDA)
    tf32 = torch.backends.cudnn.allow_tf32
    words = (
        f"{properties.name}, sm_{properties.major}{properties.minor}, {properties.total_memory / 2**30:.0f} GiB;"
        f" {torch.cuda.device_count()} visible; NVML: {gpu_words()}; {torch_words()}; {compiler_words()} (for --compile"
        f" on); precision auto is {precision}; TF32 in fp32 convolutions: {'yes' if tf32 else 'no'}"
    )
    must(not tf32, f"fp32 would be TF32: {words}")
    must(precision == "fp32" or properties.major >= 8, f"bf16 on a GPU that has no bf16: {words}")
    return words


def syncs(lab: Lab) -> str:
    """How often the host waits for the device more where there are more batches: training and scoring, both ways."""
    more = {}
    for way in (True, False):
        counts = []
        for size in (12, 6):
            context, (job, *_) = lab.case(f"base.batch_size={size}", capture=way)
            counts.append(counted_syncs(partial(run_job, job, context, silent)))
        extra = {place: n - counts[0][place] for place, n in counts[1].items() if n > counts[0][place]}
        must(
            bool(counts[0]), "no wait was counted at all, not even those of an epoch: counting them does not work here"
        )
        more["captured" if way else "kernel by kernel"] = extra
    return must(not any(more.values()), f"of twice the batches more than of the batches: {more}")


def too_little_memory(lab: Lab) -> str:
    """A network that does not fit by batches, and a stack that does not fit whole."""
    small = ("test_resnet", 64) if lab.simulated else ("resnet18", 512)
    context, (job, *_) = lab.case(
        f"base.backbone={small[0]}", f"data.image_size={small[1]}", "base.batch_size=48", "base.epochs=1"
    )
    alone = _within_share(0.6, lambda: [run_job(job, context, silent)])[0].record.facts.micro_batch
    must(alone is not None and alone < 48, f"a whole batch of 48 at {small} fitted into 60 % of what it takes")
    small = ("test_resnet", 64) if lab.simulated else ("resnet18", 256)
    grid = "oversampling: [none, random], learning_rate: [0.01, 0.02, 0.03, 0.04], weight_decay: [0, 0.1]"
    context, jobs = lab.case(
        f"base.backbone={small[0]}", f"data.image_size={small[1]}", "base.batch_size=48", "base.epochs=2",
        "base.trainable=head", f"stages=[{{name: heads, grid: {{head: [batchnorm-flatten], {grid}}}}}]", stack=True,
    )  # fmt: skip
    found = _within_share(0.8, lambda: [result(each) for each in run_jobs(jobs, context, silent)])
    sizes = sorted({len(each.record.facts.stack) for each in found})
    words = f"{alone} images at a time of 48; {len(jobs)} heads in loops of {sizes}"
    return must(sizes[0] > 1 and sizes[-1] < len(jobs), words)


def _within_share(share: float, work: Callable[[], list[FoldResult]]) -> list[FoldResult]:
    """Do the work, and again in this share of the memory that it took."""
    free_memory()
    torch.cuda.reset_peak_memory_stats()
    work()
    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    free_memory()
    torch.cuda.set_per_process_memory_fraction(share * peak / total)
    try:
        return work()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        free_memory()


def two_workers(lab: Lab) -> str:
    """Two processes that share a GPU, and this one."""
    lab.needs_hardware("worker processes")
    context, jobs = lab.case()
    executor = ProcessExecutor([context.device] * 2)
    try:
        ended = {job.id: found for job, found in executor.run(batches(jobs), context, lambda _: None, silent)}
    finally:
        executor.close()
    worst = 0.0
    for job in jobs:
        found = ended[job.id]
        must(isinstance(found, FoldResult), f"{found}")
        assert isinstance(found, FoldResult)
        worst = max(worst, apart(found, fitted(job, context)))
    return must(worst == 0, f"{len(jobs)} fits apart by {worst:g} from those of one process")


def two_devices(lab: Lab) -> str:
    """A network and a stack on the second visible GPU, and on the first."""
    lab.needs_hardware("two GPUs")
    if torch.cuda.device_count() < 2:
        raise SkippedError("one GPU is visible")
    differences = {}
    for setting in ("base.trainable=all", "base.trainable=head"):
        context, jobs = lab.case(setting, "stages=[{name: heads, grid: {head: [batchnorm-gap]}}]", stack=True)
        both = [
            [result(each) for each in run_jobs(jobs[:2] if "head" in setting else jobs[:1], on, silent)]
            for on in (replace(context, device="cuda:0"), replace(context, device="cuda:1"))
        ]
        differences[setting] = max(map(apart, *both))
    names = {torch.cuda.get_device_name(index) for index in range(2)}
    return must(
        len(names) > 1 or not any(differences.values()), f"{' and '.join(sorted(names))}, apart by {differences}"
    )

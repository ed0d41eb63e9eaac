"""A training from its settings to its results: the model is built, the task is chosen, the loop is run."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from harness.data.inner_split import inner_split
from harness.data.pixels import open_pixels
from harness.models.baselines import Baseline, built_in_model
from harness.models.heads import Corrected, Shape, reads
from harness.models.lora import draw_adapters
from harness.models.repositories import require_source
from harness.stats.priors import learnt_shares, log_odds_shift
from harness.store.results import FoldResult, OnEpoch
from harness.study.allowed import CLASSIFIERS, OPTIMIZERS
from harness.study.identity import derive_seed
from harness.study.origin import is_own
from harness.study.plan import Job
from harness.study.provenance import versions
from harness.study.settings import OWN_PARTS, Settings
from harness.training.checkpoint import Checkpoints
from harness.training.context import Context
from harness.training.device import Arithmetic, device_name, make_deterministic, resolve_precision, within_memory
from harness.training.features import CachedFeatures, cached_features
from harness.training.fit import fit_once
from harness.training.fit_baseline import fit_baseline
from harness.training.fit_history import Fitted
from harness.training.fit_probe import fit_probe
from harness.training.loaders import FeatureLoader, Loader, PixelLoader, WithSynthetic
from harness.training.network import Compiled, Network, Quicker, Start, compiles, fresh_backbone, new_head
from harness.training.result import Trained, result_of
from harness.training.task import FitJob, Task, resampled_rows, resampling_counts, task_of
from harness.training.usage import Meter, Usage
from harness.training.ways import Way, first_that_works

Train = Callable[[Job, Context, Sequence[FitJob], CachedFeatures | None], list[Trained]]


def run_job(job: Job, context: Context, on_epoch: OnEpoch) -> FoldResult:
    """Fit one job and return its result. Raises whatever goes wrong in it."""
    return run_training([job], context, on_epoch)[0]


def run_training(jobs: Sequence[Job], context: Context, on_epoch: OnEpoch) -> list[FoldResult]:
    """Train the network of jobs that share it, and return the result of each; what it used is an equal share.

    Raises whatever goes wrong in any of them.
    """
    make_deterministic(context.threads)
    settings = jobs[0].scenario.settings
    cached = cached_features(jobs[0], context) if settings.trainable == "head" else None
    meter = Meter(torch.device(context.device))
    task = task_of(jobs[0], context, cached)
    fit_jobs = [FitJob(task, j.scenario.settings, j.seed, partial(on_epoch, j.id), context.heads) for j in jobs]
    found = _way_to_train(settings)(jobs[0], context, fit_jobs, cached)
    usage = _with_earlier(meter.read(), found[0].fitted.earlier_seconds)
    together = {"usage": usage.share(len(jobs)), "trained_with": tuple(job.id for job in jobs)}
    results = []
    for job, trained in zip(jobs, found, strict=True):
        trained = replace(trained, **together if len(jobs) > 1 else {"usage": usage})
        results.append(result_of(job, context, task, trained, cached))
        cached = cached and replace(cached, passes=0)  # counted once
    return results


def _way_to_train(settings: Settings) -> Train:
    if settings.is_probe:
        return _fit_probe
    return _train_baseline if settings.backbone in CLASSIFIERS else _train_network


def _with_earlier(usage: Usage, seconds: float) -> Usage:
    """The usage of a fit that a process before this one began; what that one used besides time is not known."""
    return Usage(usage.seconds + seconds) if seconds else usage


def _train_baseline(
    job: Job, context: Context, fit_jobs: Sequence[FitJob], _cached: CachedFeatures | None
) -> list[Trained]:
    """Fit a model that learns without gradients, on the pixels."""
    (fit_job,) = fit_jobs
    settings, device = job.scenario.settings, torch.device(context.device)
    model = built_in_model(CLASSIFIERS[settings.backbone], len(context.dataset.classes))
    assert isinstance(model, Baseline)
    loader = PixelLoader(open_pixels(context.pixels[settings.framing]), model.mean, model.std, device)
    return [Trained(model, fit_baseline(model.to(device), loader, fit_job), "fp32", None)]


def _fit_probe(job: Job, context: Context, fit_jobs: Sequence[FitJob], cached: CachedFeatures | None) -> list[Trained]:
    """Fit a head that learns in one go, on the cached features."""
    assert cached is not None
    (fit_job,) = fit_jobs
    head, loader = _head_alone(job, context, cached, fit_job.task)
    inner = inner_split(context.dataset, fit_job.task.real, derive_seed(job.seed, "inner"))
    # Synthetic images lie between images of both sides: those that it chooses by come from its training side alone.
    trial = resampled_rows(job, context, inner.kept, cached) if len(fit_job.task.synthetic) else None
    precision = resolve_precision(job.scenario.settings.precision, torch.device(context.device))
    return [Trained(head, fit_probe(head, loader, fit_job, inner, trial), precision, None)]


def _train_network(
    job: Job, context: Context, fit_jobs: Sequence[FitJob], cached: CachedFeatures | None
) -> list[Trained]:
    """Train a whole network, or a head on cached features, with as many images at a time as the memory takes."""
    settings, device = job.scenario.settings, torch.device(context.device)
    precision = resolve_precision(settings.precision, device)
    task = fit_jobs[0].task
    images = len(task.train) * settings.epochs
    # The code of an own part, or of an optimizer of timm, may count steps or draw numbers in Python; a graph would
    # repeat those of one step. The kernels of the harness, launched one by one, would be slower than torch's.
    own = is_own(settings.backbone) or any(getattr(settings, part) in context.heads for part in OWN_PARTS)
    known = settings.optimizer in OPTIMIZERS and not own
    fuse = context.fuse and known and precision == "bf16"
    fused = fuse and cached is None and _start(job, context).fused is not None
    first = Way(context.capture and known, cached is None and compiles(context.compile, device, images, fused))

    def attempt(micro_batch: int, way: Way) -> tuple[nn.Module, list[Fitted]]:
        # Heads on cached features are small, and computed in fp32.
        arithmetic = Arithmetic(device, precision if cached is None else "fp32", way.capture, fuse)
        if cached is None:
            model, loader = _whole_network(job, context, task, arithmetic, micro_batch if way.compile else None)
        else:
            model, loader = _head_alone(job, context, cached, task)
        about = {"precision": precision, "compile": "on" if way.compile else "off", "micro_batch": str(micro_batch)}
        about |= {"fused": "on"} if isinstance(model, Network) and model.is_fused else {}
        checkpoints = _checkpoints(job, context, about)
        return model, fit_once(model, loader, fit_jobs, arithmetic, micro_batch, checkpoints)

    def attempts(micro_batch: int) -> tuple[tuple[nn.Module, list[Fitted]], Way]:
        return first_that_works(partial(attempt, micro_batch), first, must_compile=context.compile == "on")

    ((model, fitted), way), micro_batch = within_memory(attempts, settings.batch_size)
    smaller = micro_batch if micro_batch < settings.batch_size else None
    return [Trained(model, each, precision, way, micro_batch=smaller) for each in fitted]


def _whole_network(
    job: Job, context: Context, task: Task, arithmetic: Arithmetic, compile_for: int | None
) -> tuple[nn.Module, Loader]:
    """Backbone and head, trained together, and the loader of the pixels. compile_for: batches of so many images."""
    settings, start = job.scenario.settings, _start(job, context)
    if settings.lora_rank:
        draw_adapters(start.backbone.network, derive_seed(job.seed, "lora"))
    head = _head(job, context, task, start.shape)
    compiled = None if compile_for is None else Compiled(start.compiled, compile_for)
    network = Network(start.backbone, head, arithmetic, Quicker(compiled, start.fused, start.not_fused))
    pixels = open_pixels(context.pixels[settings.framing])
    return network, PixelLoader(pixels, start.backbone.mean, start.backbone.std, arithmetic.device)


def _start(job: Job, context: Context) -> Start:
    """The backbone of a job before training, on the device."""
    settings = job.scenario.settings
    weights = context.digests.weights[settings.backbone, settings.weights]
    require_source(settings.backbone, weights)
    return fresh_backbone(settings, weights, context.seed, torch.device(context.device))


def _head_alone(job: Job, context: Context, cached: CachedFeatures, task: Task) -> tuple[nn.Module, Loader]:
    """The head, and the loader of the features that it reads: cached ones, and those of synthetic images."""
    head = _head(job, context, task, cached.files[0].shape)
    form = partial(reads, head)
    loader = FeatureLoader(cached.files, torch.device(context.device), form)
    if not len(task.synthetic):
        return head, loader
    return head, WithSynthetic(loader, task.images, task.synthetic, form)


def _head(job: Job, context: Context, task: Task, shape: Shape) -> nn.Module:
    """The head before training; where its predictions are corrected, for the class shares of the training images."""
    head = new_head(job.scenario.settings, shape, context, derive_seed(job.seed, "head"))
    if isinstance(head, Corrected):
        true, learnt = (np.array(list(counts.values())) for counts in resampling_counts(job, context, task))
        shift = log_odds_shift(true / true.sum(), learnt_shares(job.scenario.settings.loss, learnt))
        head.shift.copy_(torch.from_numpy(shift))
    return head


def _checkpoints(job: Job, context: Context, about: dict[str, str]) -> Checkpoints:
    """The checkpoints of a job; one is used only with the packages, the device and the `about` it was made with."""
    about |= {
        "device": device_name(torch.device(context.device)),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "versions": versions(*job.scenario.settings.packages),
    }
    folder = context.checkpoints / job.id if context.checkpoints else None
    return Checkpoints(folder, context.checkpoint_every, about)

"""One job from its settings to its result: the model is built, the rows are chosen, the loop is run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import nn

from harness.data.folds import oversample
from harness.data.leaks import oversampled_before_split
from harness.data.manifest import SPLITS, Dataset, Rows
from harness.data.pixels import open_pixels
from harness.models.backbone import load_backbone
from harness.models.baselines import Classifier, own_model
from harness.models.heads import Shape, initialise, make_head, reads
from harness.store.results import FitFacts, FoldRecord, FoldResult, Metrics, OnEpoch
from harness.study.identity import derive_seed
from harness.study.plan import Job
from harness.study.provenance import code_digest, versions
from harness.study.settings import CLASSIFIERS, ResolvedSettings
from harness.training.checkpoint import Checkpoints
from harness.training.context import Context
from harness.training.device import all_cores, device_name, make_deterministic, resolve_precision, within_memory
from harness.training.features import frozen_features
from harness.training.fit import Fitted, Task, fit
from harness.training.fit_baseline import learn
from harness.training.loaders import FeatureFiles, FeatureInputs, Inputs, PixelInputs
from harness.training.network import Network, compiles, fresh_backbone


@dataclass(frozen=True)
class Frozen:
    """The kept features of a frozen backbone, as the jobs on it read them."""

    files: list[FeatureFiles]
    passes: int  # images that had to go through the backbone now
    seconds: float  # that the extraction took, now or before: once for all jobs
    parameters: int  # of the backbone


@dataclass(frozen=True)
class Trained:
    """A model after its fit, the numbers of the fit, and how it was made."""

    model: nn.Module  # a whole network, or the head of a frozen one
    fitted: Fitted
    precision: str
    compile: str | None = None  # "on" or "off"
    micro_batch: int | None = None  # images at a time, where memory had no room for a whole batch
    stack: tuple[str, ...] = ()  # ids of the jobs that were fitted in one loop
    seconds: float = 0.0


def run_job(job: Job, context: Context, on_epoch: OnEpoch) -> FoldResult:
    """Fit one job and return its result. Raises whatever goes wrong in it."""
    make_deterministic(context.threads)
    frozen = kept_features(job, context) if job.scenario.settings.trainable == "head" else None
    started = time.perf_counter()
    before, task = task_of(job, context)
    trained = _fit(job, context, task, frozen, for_job(on_epoch, job.id))
    trained = replace(trained, seconds=time.perf_counter() - started)
    return result_of(job, context, before, task, trained, frozen)


def task_of(job: Job, context: Context) -> tuple[Rows, Task]:
    """The training rows before oversampling, and what is to be learnt."""
    before, train, evaluate = _rows(job, context)
    labels = torch.from_numpy(context.dataset.labels).to(torch.device(context.device))
    classes = context.dataset.classes
    positive = classes.index(context.dataset.positive) if context.dataset.positive else None
    return before, Task(labels, train, evaluate, positive, every_epoch=job.evaluate == "val")


def result_of(
    job: Job, context: Context, before: Rows, task: Task, trained: Trained, frozen: Frozen | None
) -> FoldResult:
    """The result of a fit, with the model's weights where it is scored on the test set."""
    fitted = trained.fitted
    record = FoldRecord(
        job_id=job.id,
        history=fitted.history,
        selected_epoch=fitted.selected_epoch,
        metrics=_metrics(job, fitted),
        class_counts={"before": context.dataset.counts(before), "after": context.dataset.counts(task.train)},
        facts=_facts(job, context, trained, frozen),
    )
    weights = safetensors.torch.save(_state(trained.model)) if job.evaluate == "test" else None
    return FoldResult(record, _predictions(job, context.dataset, task.evaluate, fitted), weights)


def _facts(job: Job, context: Context, trained: Trained, frozen: Frozen | None) -> FitFacts:
    parameters, learnt = _sizes(trained.model, frozen)
    return FitFacts(
        device=device_name(torch.device(context.device)),
        precision=trained.precision,
        torch=torch.__version__,
        seconds=trained.seconds,
        parameters=parameters,
        trained_parameters=learnt,
        threads=context.threads,
        code=code_digest(),
        versions=versions(),
        fold_digest=job.rows,
        compile=trained.compile,
        micro_batch=trained.micro_batch,
        batch_size=trained.micro_batch and job.scenario.settings.batch_size,
        stack=trained.stack,
        backbone_passes=frozen.passes if frozen else None,
        extraction_seconds=frozen.seconds if frozen else None,
    )


def _fit(
    job: Job, context: Context, task: Task, frozen: Frozen | None, told: Callable[[int, Metrics], None]
) -> Trained:
    """Build the model of a job and train it."""
    settings, device = job.scenario.settings, torch.device(context.device)
    if settings.backbone in CLASSIFIERS:
        classifier, pixels = _classifier(settings, context)
        return Trained(classifier, learn(classifier, pixels, task, settings, job.seed, told), "fp32")
    precision, head_seed = resolve_precision(settings.precision, device), derive_seed(job.seed, "head")
    compiled = frozen is None and compiles(context.compile, device, len(task.train) * settings.epochs)
    compile_ = "on" if compiled else "off"

    def attempt(micro_batch: int) -> tuple[nn.Module, Fitted]:
        if frozen is None:
            model, inputs = _whole_network(settings, context, head_seed, micro_batch, compiled)
        else:
            model, inputs = _head_alone(settings, context, head_seed, frozen)
        about = {"precision": precision, "compile": compile_, "micro_batch": str(micro_batch)}
        kept = _checkpoints(job, context, about)
        network_precision = precision if frozen is None else "fp32"  # heads on kept features are small
        return model, fit(model, inputs, task, settings, job.seed, network_precision, told, micro_batch, kept)

    (model, fitted), micro_batch = within_memory(attempt, settings.batch_size)
    return Trained(model, fitted, precision, compile_, micro_batch if micro_batch < settings.batch_size else None)


def _checkpoints(job: Job, context: Context, about: dict[str, str]) -> Checkpoints:
    """The job's checkpoints; one is used only by the packages, on the device and in the way that it was made."""
    device = device_name(torch.device(context.device))
    about |= {
        "device": device,
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "versions": versions(),
    }
    folder = context.checkpoints / job.id if context.checkpoints else None
    return Checkpoints(folder, context.checkpoint_every, about)


def _rows(job: Job, context: Context) -> tuple[Rows, Rows, Rows]:
    """The training rows before and after oversampling, and the rows that are scored."""
    dataset, settings = context.dataset, job.scenario.settings
    if job.fold is None:
        train, validation = dataset.rows("train"), dataset.rows("test")[:0]
    else:
        fold = context.folds[job.repeat, job.fold]
        train, validation = fold.train, fold.validation
        if settings.leaks:
            k = sum(repeat == job.repeat for repeat, _ in context.folds)
            leak_seed = derive_seed(context.seed, "leak", job.repeat)
            leaking = oversampled_before_split(dataset, fold, k, leak_seed, settings.oversampling_ratio)
            return train, leaking.train, leaking.validation
    seed = derive_seed(job.seed, "oversampling")
    sampled = oversample(train, dataset.labels[train], settings.oversampling, seed, settings.oversampling_ratio)
    return train, sampled, validation if job.evaluate == "val" else dataset.rows("test")


def _classifier(settings: ResolvedSettings, context: Context) -> tuple[Classifier, Inputs]:
    """A model that learns without gradients, and the pixels that it reads."""
    device = torch.device(context.device)
    model = own_model(CLASSIFIERS[settings.backbone], len(context.dataset.classes))
    assert isinstance(model, Classifier)
    pixels = open_pixels(context.pixels[settings.image_size])
    return model.to(device), PixelInputs(pixels, model.mean, model.std, device)


def _whole_network(
    settings: ResolvedSettings, context: Context, seed: int, batch: int, compiled: bool
) -> tuple[nn.Module, Inputs]:
    """Backbone and head, trained together, and the pixels that they read."""
    device = torch.device(context.device)
    weights = context.digests.weights[settings.backbone, settings.weights]
    start = fresh_backbone(settings, weights, context.seed, device)
    head = new_head(settings, start.shape, context, seed).to(device)
    network = Network(start.backbone, head, batch, start.compiled if compiled else None)
    pixels = open_pixels(context.pixels[settings.image_size])
    return network, PixelInputs(pixels, start.backbone.mean, start.backbone.std, device)


def _head_alone(settings: ResolvedSettings, context: Context, seed: int, frozen: Frozen) -> tuple[nn.Module, Inputs]:
    """The head, and the kept features that it reads."""
    device = torch.device(context.device)
    head = new_head(settings, shape_of(frozen.files[0]), context, seed).to(device)
    return head, FeatureInputs(frozen.files, device, partial(reads, head))


def kept_features(job: Job, context: Context) -> Frozen:
    """The features of its frozen backbone, made now if they are not there; of the test images for a test job only."""
    settings, device = job.scenario.settings, torch.device(context.device)
    precision = resolve_precision(settings.precision, device)
    weights = context.digests.weights[settings.backbone, settings.weights]
    identity = f"{weights}:{context.seed}" if weights == "none" else weights
    pixels = context.pixels[settings.image_size]
    files, parts = [], []
    for split in SPLITS if job.evaluate == "test" else ("train",):
        rows = context.dataset.rows(split)
        load = partial(load_backbone, settings, context.seed)
        with all_cores():
            kept = frozen_features(settings, load, identity, pixels, rows, context.features, device, precision)
        files.append(FeatureFiles(int(rows[0]), kept.maps, kept.moments))
        parts.append(kept)
    passes, seconds = sum(part.passes for part in parts), sum(part.seconds for part in parts)
    return Frozen(files, passes, seconds, parts[0].parameters)


def shape_of(files: FeatureFiles) -> Shape:
    """The shape of one image's map."""
    _, channels, height, width = np.load(files.maps, mmap_mode="r").shape
    return channels, height, width


def new_head(settings: ResolvedSettings, shape: Shape, context: Context, seed: int) -> nn.Module:
    """The head before training, its weights drawn from the seed."""
    head = make_head(settings, shape, len(context.dataset.classes), context.heads.get(settings.head), seed)
    initialise(head, seed)
    return head


def _metrics(job: Job, fitted: Fitted) -> Metrics:
    """The numbers of the selected epoch under their names in MLflow."""
    training = {k: v for k, v in fitted.history[fitted.selected_epoch - 1].items() if k.startswith("train/")}
    return training | {f"{job.evaluate}/{name}": value for name, value in fitted.metrics.items()}


def _predictions(job: Job, dataset: Dataset, rows: Rows, fitted: Fitted) -> pd.DataFrame:
    """A row for each image scored: image, patient, label, fold, repeat and prob_<class>."""
    frame = dataset.table.loc[rows, ["image", "patient", "label"]].reset_index(drop=True)
    frame["fold"] = pd.array([job.fold] * len(frame), dtype="Int64")
    frame["repeat"] = job.repeat
    for index, name in enumerate(dataset.classes):
        frame[f"prob_{name}"] = fitted.probabilities[:, index]
    return frame


def _sizes(model: nn.Module, frozen: Frozen | None) -> tuple[int, int]:
    """The number of parameters that the predictions depend on, and of those learnt, by gradients or without.

    model: a whole network, or the head of a frozen one.
    """
    learnt = sum(p.numel() for p in model.parameters() if p.requires_grad or isinstance(model, Classifier))
    head, backbone = (model.head, model.backbone.size) if isinstance(model, Network) else (model, 0)
    whole = sum(p.numel() for p in head.parameters()) + backbone + (frozen.parameters if frozen else 0)
    return whole, learnt


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def for_job(on_epoch: OnEpoch, job_id: str) -> Callable[[int, Metrics], None]:
    """What tells the epochs of one job."""
    return lambda epoch, metrics: on_epoch(job_id, epoch, metrics)

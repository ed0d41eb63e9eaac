"""From a trained model to the result that is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import safetensors.torch
import torch
from torch import nn

from harness.data.dataset import Dataset, Rows
from harness.models.backbone import anatomy_of
from harness.models.baselines import Baseline
from harness.models.flops import head_flops
from harness.models.heads import bare
from harness.models.probes import ProbeHead
from harness.models.weight_source import weights_source
from harness.stats.metrics import Probabilities
from harness.store.results import FitFacts, FoldRecord, FoldResult, Metrics
from harness.study.plan import Job
from harness.study.provenance import code_digest, versions
from harness.training.context import Context
from harness.training.device import device_name
from harness.training.features import CachedFeatures
from harness.training.fit_history import Fitted
from harness.training.network import Network
from harness.training.task import Task, fold_rows, resampling_counts
from harness.training.usage import NOT_MEASURED, Usage
from harness.training.ways import Way


@dataclass(frozen=True)
class Trained:
    """A model after its fit, the numbers of the fit, and how it was made."""

    model: nn.Module  # a whole network, or the head of a frozen one
    fitted: Fitted
    precision: str
    way: Way | None  # None: without gradients
    micro_batch: int | None = None  # images at a time, where memory had no room for a whole batch
    stack: tuple[str, ...] = ()  # ids of the jobs that were fitted in one loop
    trained_with: tuple[str, ...] = ()  # ids of the jobs that share its training
    usage: Usage = NOT_MEASURED


def result_of(job: Job, context: Context, task: Task, trained: Trained, cached: CachedFeatures | None) -> FoldResult:
    """The result of a fit, with the model's weights where it is scored on the test set.

    cached: the features that the model was trained on, where its backbone is frozen.
    """
    fitted = trained.fitted
    record = FoldRecord(
        job_id=job.id,
        history=fitted.history,
        selected_epoch=fitted.selected_epoch,
        metrics=_metrics(job, fitted),
        class_counts=_class_counts(job, context, task),
        facts=_facts(job, context, trained, cached),
    )
    weights = safetensors.torch.save(_state(trained.model)) if job.evaluate == "test" else None
    dataset = context.dataset
    further = {name: _predictions(job, dataset, task.further[name], found) for name, found in fitted.further.items()}
    return FoldResult(record, _predictions(job, dataset, task.evaluate, fitted.probabilities), weights, further)


def _class_counts(job: Job, context: Context, task: Task) -> dict[str, dict[str, int]]:
    """The training images by class before and after resampling, synthetic ones included and also on their own.

    Those of the whole fold too where a share is used, and those that were held out where a fit stops by them.
    """
    counts, whole = context.dataset.counts, job.scenario.settings.train_share == 1
    before, after = resampling_counts(job, context, task)
    found = {"before": before, "after": after}
    if not whole:
        found = {"fold": counts(fold_rows(job, context)), **found}
    if len(task.inner):
        found["inner"] = counts(task.inner)
    if job.scenario.settings.synthesises:
        found["synthetic"] = {name: after[name] - count for name, count in counts(task.real).items()}
    return found


def _facts(job: Job, context: Context, trained: Trained, cached: CachedFeatures | None) -> FitFacts:
    parameters, trained_parameters = _sizes(trained.model, cached)
    normalised = trained.model if isinstance(trained.model, Baseline) else anatomy_of(job.scenario.settings)
    source, licence = weights_source(job.scenario.settings)
    return FitFacts(
        device=device_name(torch.device(context.device)),
        torch=torch.__version__,
        threads=context.threads,
        code=code_digest(),
        versions=versions(*job.scenario.settings.packages),
        fold_digest=job.rows,
        precision=trained.precision,
        compile=None if trained.way is None else "on" if trained.way.compile else "off",
        capture="on" if trained.fitted.captured else None,
        fused="on" if isinstance(trained.model, Network) and trained.model.is_fused else None,
        fallbacks=_fallbacks(trained),
        micro_batch=trained.micro_batch,
        batch_size=trained.micro_batch and job.scenario.settings.batch_size,
        stack=trained.stack,
        trained_with=trained.trained_with,
        seconds=trained.usage.seconds,
        parameters=parameters,
        trained_parameters=trained_parameters,
        backbone_passes=cached.passes if cached else None,
        extraction_seconds=cached.seconds if cached else None,
        mean=_channels(normalised.mean),
        std=_channels(normalised.std),
        chosen=trained.fitted.chosen,
        flops=_flops(job, trained.model),
        peak_memory=trained.usage.peak_memory,
        source=source,
        licence=licence,
        energy_wh=trained.usage.energy_wh,
    )


def _channels(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _fallbacks(trained: Trained) -> tuple[str, ...]:
    """What was done otherwise than by the options, and why."""
    of_way = trained.way.fallbacks if trained.way else ()
    of_model = trained.model.fallbacks if isinstance(trained.model, Network) else ()
    return *of_way, *of_model, *trained.fitted.fallbacks


def _metrics(job: Job, fitted: Fitted) -> Metrics:
    """The numbers of the selected epoch under their names in MLflow."""
    training = {k: v for k, v in fitted.history[fitted.selected_epoch - 1].items() if k.startswith("train/")}
    return training | {f"{job.evaluate}/{name}": value for name, value in fitted.metrics.items()}


def _predictions(job: Job, dataset: Dataset, rows: Rows, probabilities: Probabilities) -> pd.DataFrame:
    """A row for each image scored: image, patient, label, its metadata, fold, repeat and prob_<class>."""
    frame = dataset.table.loc[rows, ["image", "patient", "label", *dataset.metadata]].reset_index(drop=True)
    frame["fold"] = pd.array([job.fold] * len(frame), dtype="Int64")
    frame["repeat"] = job.repeat
    for index, name in enumerate(dataset.classes):
        frame[f"prob_{name}"] = probabilities[:, index]
    return frame


def _sizes(model: nn.Module, cached: CachedFeatures | None) -> tuple[int, int]:
    """The number of parameters that the predictions depend on, and of those trained, by gradients or without."""
    if isinstance(model, Network):
        return model.backbone.size + sum(p.numel() for p in model.head.parameters()), model.trained_parameters
    at_once = isinstance(bare(model), Baseline | ProbeHead)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad or at_once)
    return sum(p.numel() for p in model.parameters()) + (cached.parameters if cached else 0), trained


def _flops(job: Job, model: nn.Module) -> int | None:
    """The FLOPs of predicting one image: through the backbone and the head, as often as is averaged."""
    if isinstance(model, Baseline):
        return model.flops
    known = anatomy_of(job.scenario.settings)
    of_head = head_flops(model.head if isinstance(model, Network) else model, known.shape)
    return None if of_head is None else (known.flops + of_head) * job.scenario.settings.predictions


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}

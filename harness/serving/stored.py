"""The classifier of a test job, from its stored weights."""

from dataclasses import replace

import safetensors.torch
import torch

from harness.data.dataset import Dataset
from harness.models.backbone import Backbone
from harness.serving.classifier import Classifier, ClassifierMetadata, load_states, plain_network
from harness.store.results import FitFacts
from harness.study.plan import Job


def stored_classifier(
    job: Job, dataset: Dataset, study: str, seed: int, weights: bytes, facts: FitFacts, device: str,
    source: str | None = None,
) -> Classifier:  # fmt: skip
    """Load the whole network of a job.

    weights: the job's safetensors file; with a frozen backbone it contains only the head, and the backbone is loaded
    again. facts: of the job's record. seed: of the study. source: of a custom head.
    Raises HarnessError where the weights of the backbone are not available.
    """
    settings = job.scenario.settings
    frozen = settings.trainable == "head"
    start = settings.weights if frozen else "none"
    backbone, head = plain_network(settings, len(dataset.classes), seed, start, source)
    if frozen:
        head.load_state_dict(safetensors.torch.load(weights))
    else:
        load_states(backbone, head, weights)
    about = replace(_about(job, dataset, study, facts, backbone), head_source=source)
    return Classifier(about, backbone, head, torch.device(device))


def _about(job: Job, dataset: Dataset, study: str, facts: FitFacts, backbone: Backbone) -> ClassifierMetadata:
    settings = job.scenario.settings
    return ClassifierMetadata(
        settings=settings,
        classes=tuple(dataset.classes),
        positive=dataset.positive,
        mean=backbone.mean,
        std=backbone.std,
        batch=facts.micro_batch or settings.batch_size,
        threads=facts.threads or 1,
        study=study,
        job=job.id,
        manifest=dataset.digest,
        synthetic=dataset.synthetic,
        pixel_rules=dataset.framed(settings.preprocessing).pixel_rules,
    )

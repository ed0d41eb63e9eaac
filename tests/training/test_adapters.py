"""Fits with `trainable: lora-R`, from the plan to the served model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from harness.errors import StudyError
from harness.models.backbone import load_backbone
from harness.models.lora import draw_adapters
from harness.store import Store
from harness.store.results import FoldResult
from harness.study import Study
from harness.study.plan import Job
from harness.study.plan import test_jobs as jobs_on_the_test_set
from harness.training.context import Context
from harness.training.fit import fit
from harness.training.job import run_job
from harness.training.task import FitJob
from tests.conftest import context_of
from tests.serving.test_classifier import same_bits
from tests.training.test_fit import BF16, SETTINGS, TASK, network, silent

LORA = ("base.backbone=test_vit", "base.trainable=lora-4", "base.learning_rate=0.01")
FEATURES, BLOCKS, RANK = 64, 6, 4


def refit_of(study: Study, store: Store) -> tuple[Context, Job]:
    context, (fold, *_) = context_of(study, store)
    (job,) = jobs_on_the_test_set(study, fold.scenario, context.digests)
    return context, job


@pytest.mark.parametrize("more", [(), ("base.ema=0.5", "base.stop_patience=2", "base.head_epochs=1")])
def test_what_is_stored_is_a_plain_network_that_gives_the_bits_of_the_study(
    small_study: Callable[..., Study], store: Store, tmp_path: Path, more: tuple[str, ...]
) -> None:
    same_bits(small_study(*LORA, *more), store, tmp_path)


def test_only_the_attention_is_another_one_afterwards_and_the_facts_count_it(
    small_study: Callable[..., Study], store: Store
) -> None:
    context, job = refit_of(small_study(*LORA), store)
    result = run_job(job, context, lambda *_: None)
    state = safetensors.torch.load(result.model or b"")
    plain = job.scenario.settings.model_copy(update={"trainable": "all"})
    start = load_backbone(plain, context.seed).state_dict()
    moved = {name for name, value in start.items() if not torch.equal(value, state[f"backbone.{name}"])}
    assert moved == {f"network.blocks.{n}.attn.{of}.weight" for n in range(BLOCKS) for of in ("qkv", "proj")}
    facts, head = result.record.facts, sum(value.numel() for name, value in state.items() if name.startswith("head."))
    adapters = BLOCKS * RANK * (FEATURES + 3 * FEATURES + FEATURES + FEATURES)
    assert facts.trained_parameters == adapters + head
    assert facts.parameters == sum(value.numel() for value in state.values())
    assert "peft " in (facts.versions or "")


def test_folds_fitted_in_turn_are_those_fitted_alone(
    small_study: Callable[..., Study], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def recorded(network: torch.nn.Module, seed: int) -> None:
        seeds.append(seed)
        draw_adapters(network, seed)

    monkeypatch.setattr("harness.training.job.draw_adapters", recorded)
    context, (first, second, *_) = context_of(small_study(*LORA), store)
    run_job(first, context, lambda *_: None)
    in_turn = run_job(second, context, lambda *_: None)
    refit, job = refit_of(small_study(*LORA), store)
    run_job(job, refit, lambda *_: None)  # which merges a copy of the adapters
    alone = run_job(second, context, lambda *_: None)
    assert_same(in_turn, alone)
    assert seeds[0] != seeds[1] == seeds[3], "each fold begins with adapters of its own, as with a head"


def assert_same(one: FoldResult, other: FoldResult) -> None:
    assert one.record.history == other.record.history
    pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)


def test_the_merged_network_predicts_what_the_adapted_one_does() -> None:
    settings = SETTINGS.model_copy(update={"backbone": "test_vit", "trainable": "lora-4", "learning_rate": 0.01})
    model, loader = network(settings, BF16)
    fitted = fit(model, loader, FitJob(TASK, settings, 0, silent), BF16)
    images = next(loader([np.arange(40, 48)]))
    with torch.inference_mode():
        before = model.eval()(images)
        model.merge()  # type: ignore[operator]
        after = model.eval()(images)
    assert fitted.history[-1]["train/loss"] < fitted.history[0]["train/loss"]
    assert not any("lora" in name for name in model.state_dict())
    torch.testing.assert_close(after, before, atol=0.05, rtol=0)


def test_a_probe_learns_from_a_frozen_backbone_alone(small_study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match="trainable lora-4 with head knn"):
        small_study("base.trainable=lora-4", "base.head=knn", "stages.0.grid={dropout: [0.1]}")

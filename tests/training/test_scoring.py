"""Jobs that differ in how their network is asked: they share its training, and each has the bits that it has alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from torch import nn

from harness.errors import StudyError
from harness.store import Store
from harness.store.results import FoldResult
from harness.study import Study
from harness.study.plan import Job, batches, refitted
from harness.study.plan import test_jobs as jobs_on_the_test_set
from harness.study.state import final_test
from harness.training import job as job_module
from harness.training.context import Context
from harness.training.fit import fit, fit_once
from harness.training.fit_history import Fitted
from harness.training.job import run_job, run_training
from harness.training.run import run_jobs, stacks
from harness.training.task import EVALUATED, FitJob
from tests.conftest import context_of, run_in
from tests.training.test_checkpoint import Killed, same, stopped_after
from tests.training.test_fit import FP32, SETTINGS, TASK, network, silent

GRID = "stages.0.grid={tta: [none, flip+crops], snapshots: [1, 2], oversampling: [none, random]}"
StudyOf = Callable[..., Study]
ON_TEST = replace(TASK, every_epoch=False, further={"other": np.arange(10, 50)})


def scored(*levels: tuple[str, int], **changes: object) -> list[Fitted]:
    """The fits of one training, scored with each of these settings of tta and snapshots."""
    of_all = {"learning_rate": 0.01, **changes}
    asked = [SETTINGS.model_copy(update=of_all | {"tta": tta, "snapshots": n}) for tta, n in levels]
    return fit_once(*network(asked[0]), [FitJob(TASK, settings, 0, silent) for settings in asked], FP32)


def jobs_of(fold: int, jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.fold == fold and job.scenario.settings.oversampling == "none"]


def test_snapshots_predict_the_mean_of_the_networks_after_the_last_epochs() -> None:
    by_epoch = [scored(("none", 1), epochs=epochs)[0].probabilities for epochs in (1, 2, 3, 4)]
    plain, three = scored(("none", 1), ("none", 3))
    assert np.array_equal(plain.probabilities, by_epoch[3])
    np.testing.assert_allclose(three.probabilities, np.mean(by_epoch[1:], axis=0), rtol=1e-12)
    assert not np.allclose(three.probabilities, plain.probabilities, atol=1e-3)
    before, begun, two, last = three.history
    assert (before, begun) == tuple(plain.history[:2])  # the first of three is the mean of one
    assert two != plain.history[2]
    assert last["val/loss"] == three.metrics["loss"]
    assert (three.selected_epoch, three.metrics["accuracy"]) == (4, last["val/accuracy"])
    assert [epoch["train/loss"] for epoch in three.history] == [epoch["train/loss"] for epoch in plain.history]


def test_every_way_to_ask_gives_the_bits_that_it_gives_alone() -> None:
    levels = [("none", 1), ("flip", 1), ("flip+crops", 3), ("none", 4)]
    together = scored(*levels)
    for level, of_group in zip(levels, together, strict=True):
        (alone,) = scored(level)
        assert np.array_equal(of_group.probabilities, alone.probabilities)
        assert of_group.history == alone.history
    assert len({each.probabilities.tobytes() for each in together}) == 4


@pytest.mark.parametrize("ema", [0, 0.5])
def test_all_test_sets_are_scored_by_the_same_means(ema: float) -> None:
    levels: list[dict[str, object]] = [{"tta": "none"}, {"tta": "flip", "snapshots": 3}]
    asked = [SETTINGS.model_copy(update={"learning_rate": 0.01, "ema": ema} | level) for level in levels]
    plain, mean = fit_once(*network(asked[0]), [FitJob(ON_TEST, each, 0, silent) for each in asked], FP32)
    _, of_validation = scored(("none", 1), ("flip", 3), ema=ema)
    assert np.array_equal(mean.probabilities, of_validation.probabilities)
    assert mean.metrics == of_validation.metrics
    shared = slice(30, 40)  # of the other set, the rows 40 to 50 of the images
    assert {*mean.further} == {*plain.further} == {"other"}
    np.testing.assert_allclose(mean.further["other"][shared], mean.probabilities[:10], atol=1e-5)
    assert not np.allclose(plain.further["other"], mean.further["other"], atol=1e-3)
    assert EVALUATED not in mean.further
    assert [{*epoch} for epoch in mean.history] == [{"train/loss", "train/accuracy"}] * 4


def test_the_test_set_is_asked_once_by_each_network_that_counts() -> None:
    settings = SETTINGS.model_copy(update={"snapshots": 2})
    model, loader = network(settings)
    asked: list[int] = []
    model.register_forward_hook(lambda module, given, _: None if module.training else asked.append(len(given[0])))
    fit(model, loader, FitJob(replace(TASK, every_epoch=False), settings, 0, silent), FP32)
    assert sum(asked) == 2 * len(TASK.evaluate)


def test_jobs_of_one_fold_that_differ_in_scoring_only_are_trained_once(
    small_study: StudyOf, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, jobs = context_of(small_study(GRID), store)
    groups = [stack for batch in batches(jobs) for stack in stacks(batch.jobs, context)]
    assert [len(group) for group in groups] == [4] * (len(jobs) // 4)
    trained: list[nn.Module] = []

    def counted(model: nn.Module, *rest: object) -> list[Fitted]:
        trained.append(model)
        return fit_once(model, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(job_module, "fit_once", counted)
    group = jobs_of(0, jobs)
    together = results_of(group, context)
    assert len(trained) == 1
    for job, ours in zip(group, together, strict=True):
        same(ours, run_job(job, context, lambda *_: None))
        assert ours.record.facts.trained_with == tuple(other.id for other in group)
        assert ours.record.facts.stack == ()
    assert len({result.record.facts.seconds for result in together}) == 1
    flops = [result.record.facts.flops for result in together]
    assert flops[0] is not None
    assert flops == [flops[0] * job.scenario.settings.predictions for job in group]


def results_of(jobs: list[Job], context: Context) -> list[FoldResult]:
    found = run_jobs(jobs, context, lambda *_: None)
    assert all(isinstance(each, FoldResult) for each in found)
    return [each for each in found if isinstance(each, FoldResult)]


def test_a_training_that_several_share_goes_on_from_a_checkpoint_bit_for_bit(
    small_study: StudyOf, store: Store
) -> None:
    plain, jobs = context_of(small_study("base.epochs=4", GRID.replace("[1, 2]", "[1, 3]")), store)
    context, group = replace(plain, checkpoints=store.checkpoints, checkpoint_every=1), jobs_of(0, jobs)
    with pytest.raises(Killed):
        run_training(group, context, stopped_after(2))  # among the last three
    assert [path.name for path in store.checkpoints.iterdir()] == [group[0].id]
    begun: list[int] = []
    resumed = run_training(group, context, lambda job, epoch, _: begun.append(epoch) if job == group[3].id else None)
    assert begun == [1, 2, 3, 4]
    assert min(result.record.facts.seconds for result in resumed) > 0
    for ours, whole in zip(resumed, run_training(group, plain, lambda *_: None), strict=True):
        same(ours, whole)


def test_what_is_not_finite_by_the_views_of_one_job_ends_no_other(
    small_study: StudyOf, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, jobs = context_of(small_study(GRID, "base.epochs=1", "stages.0.grid={tta: [none, flip]}"), store)
    group = jobs_of(0, jobs)
    monkeypatch.setattr(
        "harness.training.scoring.mean_of_views",
        lambda found, tta: next(iter(found.values())) * (np.nan if tta == "flip" else 1),
    )
    plain, flipped = run_jobs(group, context, lambda *_: None)
    assert isinstance(plain, FoldResult)
    assert isinstance(flipped, FloatingPointError)


def test_refits_share_a_training_too_also_where_the_fits_on_the_folds_stopped(
    small_study: StudyOf, store: Store
) -> None:
    study = small_study("stages.0.grid={tta: [none, flip]}", "base.stop_patience=2", "base.epochs=3")
    context, jobs = context_of(study, store)
    scenarios = [refitted(scenario, [2, 3, 3]) for scenario in dict.fromkeys(job.scenario for job in jobs)]
    pair = [job for scenario in scenarios for job in jobs_on_the_test_set(study, scenario, context.digests)]
    assert pair[0].id == pair[1].training != pair[1].id
    assert pair[0].seed == pair[1].seed
    plain, flipped = results_of(pair, context)
    assert plain.model == flipped.model is not None
    columns = ["prob_NORMAL", "prob_PNEUMONIA"]
    assert not plain.predictions[columns].equals(flipped.predictions[columns])
    pd.testing.assert_frame_equal(plain.predictions.drop(columns=columns), flipped.predictions.drop(columns=columns))


def test_a_mean_of_networks_is_scored_on_the_test_set_and_no_network_is_registered(
    small_study: StudyOf, new_store: Callable[[], Store]
) -> None:
    stages = "stages=[{name: one, grid: {snapshots: [2]}, select: {metric: val/roc_auc}}]"
    found = run_in(small_study(stages, "test.stages=[one]", "base.tta=flip"), new_store())
    words = "the mean of the networks after the last 2 epochs, no single network"
    assert words in str(final_test(found.study, found.run.state))
    report = found.run.report.read_text()
    assert words in report
    assert "last epoch, the mean over the networks of the last 2 epochs and 2 views of each image: accuracy" in report


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["base.tta=flip", "base.trainable=head"], "tta flip with trainable head: the features"),
        (["stages.0.grid={backbone: [small-cnn, majority], tta: [none, crops]}"], "tta crops with backbone majority"),
        (["base.snapshots=4", "base.epochs=3"], "snapshots 4 of epochs 3"),
        (["stages.0.grid={epochs: [2, 5], snapshots: [1, 3]}"], "snapshots 3 of epochs 2"),
        (["base.snapshots=2", "base.select_epoch=best"], "snapshots 2 with select_epoch best"),
        (["base.snapshots=2", "base.stop_patience=3"], "snapshots 2 with stop_patience 3"),
        (["base.snapshots=0"], "snapshots"),
        (["base.tta=mirror"], "tta"),
    ],
)
def test_what_they_cannot_be_combined_with_is_refused(small_study: StudyOf, overrides: list[str], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        small_study("base.epochs=3", *overrides)

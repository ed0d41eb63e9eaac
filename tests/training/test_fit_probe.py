"""Probes in a study: from its file to its report, and what is refused."""

from collections.abc import Callable

import pandas as pd
import pytest

from harness.errors import DataError, StudyError
from harness.prepare import prepare
from harness.report.verified.verify import Verification
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.allowed import PROBES
from harness.study.settings import Settings
from harness.training.job import run_job
from tests.conftest import Finished, context_of, run_in, runs_of

FROZEN = ("base.trainable=head", "data.phantom.train=64")
StudyOf = Callable[..., Study]


def of_heads(small_study: StudyOf, grid: str, *overrides: str) -> Study:
    stage = f"{{name: probes, grid: {grid}, select: {{metric: val/roc_auc}}}}"
    return small_study(*FROZEN, f"stages=[{stage}]", "test={stages: [probes]}", *overrides)


@pytest.fixture(scope="module")
def probes(new_store: Callable[[], Store], small_study: StudyOf) -> Finished:
    return run_in(of_heads(small_study, "{head: [logistic, knn, svm], oversampling: [random]}"), new_store())


@pytest.mark.slow
def test_what_a_probe_chose_is_a_fact_of_each_fit_in_store_report_and_mlflow(probes: Finished) -> None:
    assert not probes.run.failed
    (stage,) = probes.run.state.stages
    for state in (*stage.scenarios, *probes.run.state.tests):
        name = "k" if state.settings.head == "knn" else "C"
        assert all(set(record.facts.chosen) == {name} for record in state.records.values())
        assert all(len(record.history) == 1 for record in state.records.values())
    table = pd.read_csv(probes.run.report.parent / "scenarios.csv")
    assert all(words.startswith(("C ", "k ")) for words in table["head, as run"])
    folds = runs_of(probes.store, "fold")
    record = Ledger(probes.store).record(folds[0].data.tags["harness.job_id"])
    ((name, value),) = record.facts.chosen.items()
    assert folds[0].data.metrics[f"chosen_{name}"] == value


@pytest.mark.slow
def test_settings_that_decide_nothing_are_not_shown(probes: Finished) -> None:
    settings = pd.read_csv(probes.run.report.parent / "settings.csv").set_index("setting")["value"]
    assert settings["learning_rate"] == settings["epochs"] == settings["dropout"] == "-"
    assert settings["trainable"] == "head"
    for run in runs_of(probes.store, "fold"):
        assert not {"learning_rate", "epochs", "dropout"} & run.data.params.keys()


def test_the_same_job_gives_the_same_bits(small_study: StudyOf, store: Store) -> None:
    context, jobs = context_of(of_heads(small_study, f"{{head: [{', '.join(PROBES)}], oversampling: [random]}}"), store)
    for job in jobs[:: len(jobs) // len(PROBES)]:
        first, second = (run_job(job, context, lambda *_: None) for _ in range(2))
        pd.testing.assert_frame_equal(first.predictions, second.predictions, check_exact=True)
        assert first.record.facts.chosen == second.record.facts.chosen


@pytest.mark.slow
def test_the_record_of_probes_is_computed_again(probes: Finished) -> None:
    items = list(Verification(probes.store).items())
    assert not [item for item in items if item.verdict == "differs"]
    assert {item.verdict for item in items if item.part in ("fits", "report")} == {"holds"}


def test_settings_that_decide_nothing_make_no_other_fit(small_study: StudyOf, store: Store) -> None:
    study = of_heads(small_study, "{head: [logistic, linear], learning_rate: [0.1, 0.2], epochs: [1, 2]}")
    _, jobs = context_of(study, store)
    names = list(dict.fromkeys(job.scenario.name for job in jobs))
    assert len(names) == 5 and names[0] == "logistic"
    (resolved, *_) = (job.scenario.settings for job in jobs)
    assert (resolved.epochs, resolved.learning_rate) == (1, Settings.model_fields["learning_rate"].default)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("base.trainable=all", "trainable all with head knn, which learns from the features of a frozen backbone"),
        ("base.trainable=last-1", "write trainable: head, or head: linear or mlp"),
        ("base.backbone=small-cnn", "backbone small-cnn with head knn"),
        ("base.pool=map", "pool map with head knn, which reads one vector of an image"),
    ],
)
def test_what_no_probe_can_learn_from_is_refused(small_study: StudyOf, override: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        of_heads(small_study, "{head: [knn, svm]}", override)


def test_a_class_of_too_few_patients_for_an_inner_split_is_refused_before_any_fit(
    small_study: StudyOf, store: Store
) -> None:
    tiny = (*FROZEN, "data.phantom.train=16", "test=null", "stages=[{name: one, grid: {head: [linear, knn]}}]")
    with pytest.raises(DataError, match=r"an inner split, which needs two \w+ or more of each class"):
        prepare(small_study(*tiny), store)
    prepare(small_study(*tiny, "stages.0.grid.head=[linear]"), store)

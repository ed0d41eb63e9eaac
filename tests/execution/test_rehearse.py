"""How much of a study fits into a time: the arithmetic, with probes of round numbers in the store."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from harness.cli import make_app
from harness.errors import HarnessError, StudyError
from harness.execution.costs import Probe, networks, save_probes
from harness.execution.rehearse import EPOCHS, FIT_SECONDS, OF_THE_TIME, STUDY_SECONDS, Rehearsal, Rehearser
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study
from harness.study.rehearsal import rehearsal
from tests.conftest import SMALL_STUDY

SECONDS = 1000.0  # of an image in training, so large that reading it does not matter
WHOLE = """\
study: whole
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 480, test: 24}}
folds: {k: 3, repeats: 2}
base: {backbone: test_resnet, weights: none, epochs: 8, batch_size: 16}
stages: [{name: all, grid: {head: [dropout-gap, batchnorm-gap]}, select: {metric: val/accuracy}}]
test: {stages: [all], refits: 2}
prevalences: [0.1]
"""
TRAINED = 2 * 480 * 2  # images in an epoch of two heads and three folds: each is in two of three training sets


@pytest.fixture
def rehearse(study_of: Callable[..., Study], store: Store) -> Callable[[float], Rehearsal]:
    """Gives the rehearsal of a study in a time, with one network whose probe takes SECONDS an image in training."""

    def load(more: Sequence[str]) -> Study:
        return study_of(WHOLE, *more)

    workspace = prepare(load([]), store)
    timed = Probe("net", SECONDS, 0.0, 0.0, memory=1, feature_bytes=0, images=16, machine="m", device="cpu", day="d")
    save_probes(store, dict.fromkeys(networks(workspace, workspace.reader.read()), timed))

    def nothing_is_timed(line: str) -> None:
        raise AssertionError(line)

    return Rehearser(load, store, "cpu", nothing_is_timed).fit_into


def seconds_for(trained: float, fits: int) -> float:
    """The time that is to be given for so many images in training."""
    return (STUDY_SECONDS + FIT_SECONDS * fits + SECONDS * trained + 400) / OF_THE_TIME


def test_what_fits_is_no_rehearsal(rehearse: Callable[[float], Rehearsal]) -> None:
    whole = rehearse(seconds_for(8 * (2 * TRAINED + 2 * 480), fits=2 * 6 + 2))
    assert whole.options == []
    assert "it is run as it is" in str(whole)
    assert rehearsal(whole.study) == []


def test_repeats_and_the_test_set_go_first_then_epochs(rehearse: Callable[[float], Rehearsal]) -> None:
    found = rehearse(seconds_for(5 * TRAINED, fits=6))
    assert found.options == ["test=null", "prevalences=[]", "folds.repeats=1", "base.epochs=5"]
    assert found.study.test is None
    assert "the test set stays sealed" in str(found)
    assert rehearsal(found.study) == ["base.epochs 5 of 8", "folds.repeats 1 of 2"], "every number is marked"
    assert rehearse(seconds_for(5 * TRAINED - 1, fits=6)).options[-1] == "base.epochs=4"


def test_fewer_images_come_after_fewer_epochs(rehearse: Callable[[float], Rehearsal], store: Store) -> None:
    given = seconds_for(EPOCHS * TRAINED * 0.8, fits=6)
    found = rehearse(given)
    assert found.options[-2] == f"base.epochs={EPOCHS}"
    assert found.options[-1].startswith("data.limit=")
    assert found.seconds <= OF_THE_TIME * given
    assert 0.75 * 480 < (found.study.data.limit or 0) <= 0.8 * 480, "as many as the time allows"
    assert rehearse(given).options == found.options, "the same command makes the same study"
    (reading,) = json.loads((store.cache / "reading.json").read_text()).values()
    assert 0 < reading < 1, "seconds an image, which the next command reads"


def test_fewer_folds_come_last(rehearse: Callable[[float], Rehearsal]) -> None:
    found = rehearse(seconds_for(EPOCHS * TRAINED * 0.1, fits=6))
    assert "folds.k=2" in found.options


def test_a_time_too_short_for_anything_is_refused(rehearse: Callable[[float], Rehearsal]) -> None:
    with pytest.raises(StudyError, match=r"--rehearse: 1 epoch of \d+ images in 2 folds takes about .* give more time"):
        rehearse(40.0)


PROBES = """\
study: probes
data: {source: phantom, image_size: 32, positive: PNEUMONIA, phantom: {train: 480, test: 24}}
folds: {k: 3}
base: {backbone: test_resnet, weights: none, trainable: head}
stages: [{name: all, grid: {head: [logistic, knn]}, select: {metric: val/accuracy}}]
test: {stages: [all]}
"""


def test_a_study_of_probes_alone_gets_fewer_images_and_folds_but_no_epochs(
    study_of: Callable[..., Study], store: Store
) -> None:
    study = study_of(PROBES)
    workspace = prepare(study, store)
    timed = Probe("net", 10.0, 0.0, SECONDS, memory=1, feature_bytes=0, images=16, machine="m", device="cpu", day="d")
    wanted = networks(workspace, workspace.reader.read())
    assert sorted(settings.head for settings in wanted.values()) == ["knn", "logistic"]
    save_probes(store, dict.fromkeys(wanted, timed))
    fit_into = Rehearser(lambda more: study_of(PROBES, *more), store, "cpu", print).fit_into
    images, trained = (480 + 24) * SECONDS, TRAINED * 10.0
    given = (STUDY_SECONDS + FIT_SECONDS * 6 + images + trained + 400) / OF_THE_TIME
    assert fit_into(given).options == ["test=null"], "features are extracted once, and each fit learns in one go"
    found = fit_into(given / 2)
    assert [option.partition("=")[0] for option in found.options] == ["test", "data.limit"]
    assert rehearsal(found.study) == [f"data.limit {found.study.data.limit}"]
    with pytest.raises(StudyError, match=r"--rehearse: \d+ images in 2 folds takes about"):
        fit_into(40.0)


def test_weights_that_are_not_to_be_had_are_said_before_anything_is_timed(
    study_of: Callable[..., Study], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(store.root / "hub"))
    text = PROBES.replace("backbone: test_resnet, weights: none", "backbone: resnet18.a1_in1k, weights: pretrained")
    said: list[str] = []
    rehearser = Rehearser(lambda more: study_of(text, *more), store, "cpu", said.append)
    with pytest.raises(HarnessError, match=r"weights of resnet18\.a1_in1k are not on this machine"):
        rehearser.fit_into(600.0, trains=True)
    assert said == []


def test_levels_have_no_more_epochs_than_the_base(study_of: Callable[..., Study], store: Store) -> None:
    text = SMALL_STUDY.partition("stages:")[0] + (
        "stages: [{name: a, grid: {epochs: [1, 20, 30], head: [dropout-gap, {name: batchnorm-gap, dropout: 0.0}]}},"
        " {name: b, grid: {oversampling: [none, {name: random, epochs: 40}]}}]"
    )
    study = study_of(text)
    workspace = prepare(study, store)
    timed = Probe("net", SECONDS, 0.0, 0.0, memory=1, feature_bytes=0, images=16, machine="m", device="cpu", day="d")
    save_probes(store, dict.fromkeys(networks(workspace, workspace.reader.read()), timed))
    rehearser = Rehearser(lambda more: study_of(text, *more), store, "cpu", print)
    found = rehearser.fit_into(seconds_for(2 * 5 * 48 * 2, fits=16))
    assert [s.grid for s in found.study.stages][1] == {"oversampling": ["none", {"name": "random", "epochs": 4}]}
    assert found.study.stages[0].grid["epochs"] == [1, 4]


@pytest.mark.parametrize("time", ["10", "ten minutes", "0m", "5 d"])
def test_a_time_that_is_none_is_refused_in_one_line(tmp_path: Path, time: str) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL_STUDY)
    done = CliRunner().invoke(make_app(), ["run", str(file), "--store", str(tmp_path / "s"), "--rehearse", time])
    assert isinstance(done.exception, StudyError)
    assert str(done.exception) == f"--rehearse {time}: a time is a number with s, m or h, such as 90s, 10m or 2h"


def test_a_search_says_what_to_do_instead(tmp_path: Path) -> None:
    done = CliRunner().invoke(make_app(), ["search", str(tmp_path / "small.yaml"), "--rehearse", "10m"])
    assert isinstance(done.exception, StudyError)
    assert "--trials 3 --set data.limit=200" in str(done.exception)


def test_the_test_set_is_not_rehearsed(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL_STUDY)
    done = CliRunner().invoke(make_app(), ["test", str(file), "--store", str(tmp_path / "s"), "--rehearse", "1h"])
    assert "leaves the test set sealed" in str(done.exception)


def test_a_plan_shows_the_rehearsal_that_a_run_would_make(tmp_path: Path) -> None:
    """Networks are timed once, the study is smaller, and what is made of it is marked."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALL_STUDY.replace("epochs: 2", "epochs: 20000"))
    options = ["plan", str(file), "--store", str(tmp_path / "s"), "--rehearse", "2m", "--json"]
    first, again = (CliRunner().invoke(make_app(), options, catch_exceptions=False) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stderr.startswith("timing test_resnet")
    assert "a rehearsal with --set test=null --set base.epochs=" in first.stderr
    (mark,) = [mark for mark in json.loads(first.stdout)["marks"] if mark.startswith("REHEARSAL")]
    assert mark.endswith(" of 20,000")
    assert again.stdout == first.stdout
    assert "timing" not in again.stderr

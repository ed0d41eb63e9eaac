"""An operating point and prevalences that a study file declares: ids, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.prepare import prepare
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.identity import study_id
from harness.study.reader import StateReader
from tests.conftest import draw_images
from tests.study.test_unit import BY_IMAGES, DIGESTS

LoadText = Callable[..., Study]
TEXT = BY_IMAGES + "test: {stages: [heads]}\n"
DECLARED = TEXT + "operating: {sensitivity: 0.95}\nprevalences: [0.05, 0.2]\n"


def test_they_change_no_job_and_are_in_the_id_of_the_study_where_they_are_declared(study_of: LoadText) -> None:
    studies = [study_of(text) for text in (TEXT, DECLARED, TEXT + "operating: {specificity: 0.95}\n")]
    assert len({study_id(study, DIGESTS) for study in studies}) == 3
    assert not {"operating", "prevalences"} & studies[0].model_dump(mode="json").keys(), "as before there were any"
    states = [StateReader(study, DIGESTS, Ledger(Store(Path()))).read() for study in studies]
    jobs = [[job.id for s in state.scenarios for job in s.jobs] for state in states]
    assert all(each == jobs[0] for each in jobs)
    operating = studies[1].operating
    assert operating is not None and operating.declared == ("sensitivity", 0.95)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("operating: {sensitivity: 1.0}", "10: operating.sensitivity: 1.0 is given; input should be less than 1"),
        ("operating: {specificity: 0}", "10: operating.specificity: 0 is given; input should be greater than 0"),
        ("operating: {}", "10: operating: {} is given; declare one of the two rates, such as {sensitivity: 0.95}; the"),
        (
            "operating: {sensitivity: 0.9, specificity: 0.9}",
            "10: operating: {'sensitivity': 0.9, 'specificity': 0.9} is given; declare one of the two rates, such as",
        ),
        ("operating: {recall: 0.9}", "10: operating.recall: unknown key 'recall'; allowed: sensitivity, specificity"),
        ("prevalences: [0.05, 1.5]", "10: prevalences[1]: 1.5 is given; input should be less than 1"),
        ("prevalences: [0.05, 0.05]", "10: prevalences: [0.05, 0.05] is given; 0.05 stands twice; give each"),
    ],
)
def test_what_is_no_rate_is_refused_in_one_line(study_of: LoadText, tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(f"{TEXT}{more}\n")
    assert str(refused.value).startswith(f"{tmp_path}/study.yaml:{message}")
    assert "\n" not in str(refused.value)


def test_they_need_a_test_set_that_is_scored(study_of: LoadText) -> None:
    with pytest.raises(
        StudyError, match=r"study.yaml:9: prevalences: it says how a test set is read, and none is scored"
    ):
        study_of(BY_IMAGES + "prevalences: [0.1]\n")


def test_they_need_two_classes(study_of: LoadText, tmp_path: Path, store: Store) -> None:
    draw_images(tmp_path, {f"data/train/{name}/{seed}.png": seed for seed in range(6) for name in "ABC"})
    text = DECLARED.replace("phantom", "folder, path: data, image_size: 32").replace("resnet18", "test_resnet")
    with pytest.raises(
        StudyError, match=r"study.yaml:10: operating: it is about the positive one of two classes, and"
    ) as no:
        prepare(study_of(text), store)
    assert "there are 3; leave it out" in str(no.value)

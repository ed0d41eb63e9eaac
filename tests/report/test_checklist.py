from collections.abc import Callable

import pandas as pd

from harness.report.sections.checklist import AUTHOR, CLAIM, ITEMS, TRIPOD
from harness.store import Store
from harness.study import Study
from tests.conftest import Finished
from tests.report.test_write import written


def covered(checklist: str) -> list[int]:
    numbers: list[int] = []
    for kind, item, _, _ in ITEMS:
        if kind == checklist:
            first, _, last = item.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    return numbers


def test_every_item_of_both_checklists_stands_there_once() -> None:
    assert covered(CLAIM) == list(range(1, 43))
    assert covered(TRIPOD) == list(range(1, 28))


def test_what_the_harness_knows_is_filled_and_the_rest_is_left_to_the_author(finished: Finished) -> None:
    table = pd.read_csv(finished.run.report.parent / "checklist.csv")
    answers = dict(zip(zip(table["checklist"], table["item"], strict=True), table["answer"], strict=True))
    for kind, item, _, key in ITEMS:
        assert (answers[kind, item] == AUTHOR) == (key in (None, "demographics", "fairness")), "without subgroups"
    assert "2 folds x 1, stratified by class" in answers[CLAIM, "20"], "as older reports have it"
    assert "SYNTHETIC" in answers[CLAIM, "7"]
    assert "none, random" in answers[TRIPOD, "13"]
    assert "accuracy (all) " in answers[TRIPOD, "23"]
    assert "epochs 2; " in answers[CLAIM, "25"]
    assert answers[CLAIM, "27"].startswith("none: one model refitted")


def test_what_was_not_run_is_not_claimed(small_study: Callable[..., Study], store: Store) -> None:
    text = written(small_study("data.limit=24", "base.head=batchnorm-flatten"), store)
    table = pd.read_csv(store.reports / "small" / "checklist.csv")
    answers = dict(zip(zip(table["checklist"], table["item"], strict=True), table["answer"], strict=True))
    assert "REHEARSAL" in text
    assert answers[CLAIM, "10"] == (
        "a class-stratified subset of whole patients: 24 train and 24 test images (data.limit 24)"
    )
    assert answers[CLAIM, "27"] == AUTHOR, "no test set is scored yet"
    assert "batchnorm-flatten" not in answers[CLAIM, "22"], "no scenario has the head of base"
    assert "safetensors" not in answers[TRIPOD, "22"]

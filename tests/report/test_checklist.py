from collections.abc import Callable

import pandas as pd

from harness.report.sections.checklist import AUTHOR
from harness.report.sections.checklist_items import CHECKLISTS, CLAIM, ITEMS, STARD, TRIPOD
from harness.store import Store
from harness.study import Study
from tests.conftest import Finished
from tests.report.test_write import written


def covered(checklist: str) -> list[int]:
    numbers: list[int] = []
    for kind, item, _, _ in ITEMS:
        if kind == checklist:
            first, _, last = item.partition("-")
            numbers += range(_number(first), _number(last or first) + 1)
    return numbers


def _number(item: str) -> int:
    """The number of an item such as 15a."""
    return int(item.rstrip("abcd"))


def test_every_item_of_the_checklists_stands_there_once() -> None:
    assert covered(CLAIM) == list(range(1, 45))
    assert covered(TRIPOD) == list(range(1, 28))
    assert sorted({*covered(STARD)}) == list(range(1, 41))
    lettered = [item for kind, item, _, _ in ITEMS if kind == STARD and item[-1].isalpha()]
    assert lettered == ["15a", "15b", "15c", "15d", "16a-16c", "17a-17b", "38-40a", "40b"]


def test_what_the_harness_knows_is_filled_and_the_rest_is_left_to_the_author(finished: Finished) -> None:
    table = pd.read_csv(finished.run.report.parent / "checklist.csv")
    answers = dict(zip(zip(table["checklist"], table["item"], strict=True), table["answer"], strict=True))
    for kind, item, _, key in ITEMS:
        assert (answers[kind, item] == AUTHOR) == (key in (None, "demographics", "fairness")), "without subgroups"
    assert "2 folds x 1, stratified by class" in answers[CLAIM, "19"], "as older reports have it"
    assert "SYNTHETIC" in answers[CLAIM, "7"]
    assert "none, random" in answers[TRIPOD, "13"]
    assert "accuracy (all) " in answers[TRIPOD, "23"]
    assert "epochs 2; " in answers[CLAIM, "25"]
    assert answers[CLAIM, "27"].startswith("none: one model refitted")
    (winner,) = (test.name for test in finished.run.state.tests)
    assert answers[STARD, "15c"].startswith(f"the most probable of 2 classes; {winner}: PNEUMONIA from 0.")
    assert answers[STARD, "15c"].endswith("the threshold with the best balanced accuracy, chosen out of fold")
    text = (finished.run.report.parent / "checklist.md").read_text(encoding="utf-8")
    assert text.startswith(f"# small: {', '.join(CHECKLISTS)}")


def test_what_was_not_run_is_not_claimed(small_study: Callable[..., Study], store: Store) -> None:
    text = written(small_study("data.limit=24", "base.head=batchnorm-flatten"), store)
    table = pd.read_csv(store.reports / "small" / "checklist.csv")
    answers = dict(zip(zip(table["checklist"], table["item"], strict=True), table["answer"], strict=True))
    assert "REHEARSAL" in text
    assert answers[CLAIM, "10"] == (
        "a class-stratified subset of whole patients: 24 train and 24 test images (data.limit 24)"
    )
    for item in ((CLAIM, "27"), (CLAIM, "39"), (STARD, "15c"), (STARD, "30")):
        assert answers[item] == AUTHOR, "no test set is scored yet"
    assert "batchnorm-flatten" not in answers[CLAIM, "22"], "no scenario has the head of base"
    assert "safetensors" not in answers[TRIPOD, "22"]

import pandas as pd

from harness.report.sections.checklist import AUTHOR, CLAIM, ITEMS, TRIPOD
from tests.conftest import Finished


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
        assert (answers[kind, item] == AUTHOR) == (key is None)
    assert "2 folds x 1" in answers[CLAIM, "20"]
    assert "SYNTHETIC" in answers[CLAIM, "7"]
    assert "none, random" in answers[TRIPOD, "13"]
    assert "accuracy (all) " in answers[TRIPOD, "23"]

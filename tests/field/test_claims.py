"""Sentences about patients, looks and epochs say what was checked, and are not there where nothing was."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.field.conftest import Harness, draw, four, write_study

REPORT = Path("mlruns/reports/s")
BEFORE = "chosen before the test set was opened"
RULE = "patient: '(?P<patient>[A-Z]+/img[0-9]+)'"  # the same patients in train/ and test/


def text(file: str = "report.md", study: str = "s") -> str:
    return (REPORT.with_name(study) / file).read_text(encoding="utf-8")


def test_without_a_patient_rule_nothing_is_said_of_patients_but_that_they_are_unknown(harness: Harness) -> None:
    four()
    write_study()
    plan = harness("plan", "s.yaml").out
    assert "patients unknown: each image counts as one; folds may split a patient" in plan
    assert ["train", "ILL", "8", "unknown"] in [line.split() for line in plan.splitlines()]
    as_json = json.loads(harness("plan", "s.yaml", "--json").out)
    assert as_json["data"][0]["patients"] is None and as_json["separation"]["patients"] is None
    ended = harness("run", "s.yaml")
    checklist = text("checklist.md")
    for said in (plan, ended.out, text(), checklist, text("summary.md")):
        assert "patients unknown" in said
        assert "grouped by patient" not in said
    assert "percentile bootstrap over images" in checklist
    assert "resampling images" in text() and "resampling patients" not in text()
    assert "patients low" not in text()
    assert "unknown" in harness("audit", "s.yaml").out


def test_with_a_rule_the_numbers_are_said_and_what_was_accepted(harness: Harness) -> None:
    four()
    write_study(data=RULE)
    assert "8 patients are in train/ and in test/" in harness.refused("plan", "s.yaml")
    ended = harness("run", "s.yaml", "--set", "audit.accept=[patient-across-splits]")
    assert "grouped by patient: 0 of 16 patients on both sides of any fold (checked)" in ended.out
    assert "8 of 8 test patients in training too (accepted by name: patient-across-splits)" in text()
    assert "8 of 8 test patients in training too (accepted by name: patient-across-splits)" in text("checklist.md")


def test_copies_that_stand_in_training_are_named_and_not_denied(harness: Harness) -> None:
    draw(Path("d/train/ILL"), 8, 60)
    draw(Path("d/train/WELL"), 4)
    write_study(grid="{oversampling: [random, random-before-split]}", test="")
    leak = "1 of 2 scenarios oversample BEFORE THE SPLIT: copies of their validation images are in training"
    assert leak in harness("plan", "s.yaml").out
    assert leak in harness("run", "s.yaml").out
    assert leak in text() and leak in text("checklist.md")
    assert "training images only" not in text()


def test_the_winner_is_said_to_be_chosen_before_the_opening_by_the_first_look_alone(harness: Harness) -> None:
    four()
    write_study()
    harness("run", "s.yaml")
    assert BEFORE in text()
    harness("run", "s.yaml", "--set", "base.epochs=1")
    assert BEFORE not in text()
    assert "NOT by a first look: test images had been scored before in this store (s 1)" in text()
    assert "TEST SET SEEN 2 TIMES, 1 DECLARED" in text()
    harness("report", "s.yaml")
    assert BEFORE not in text()
    assert "scored again since (s 1)" in text()


@pytest.mark.parametrize(
    ("change", "study", "expected"),
    [
        ("data.positive=ILL", "s", "TEST SET SEEN 2 TIMES, 1 DECLARED"),
        ("study=other", "other", "2 by all studies"),
        ("data.limit=6", "s", "1 more at some of its images, by other manifests"),
    ],
)
def test_the_same_test_images_by_another_manifest_or_name_are_no_first_look(
    harness: Harness, change: str, study: str, expected: str
) -> None:
    four()
    write_study()
    harness("run", "s.yaml")
    assert harness("run", "s.yaml", "--set", change).code == 0
    assert BEFORE not in text(study=study)
    assert "had been scored before in this store (s 1)" in text(study=study)
    assert expected in text(study=study)


def test_an_epoch_chosen_on_the_images_that_score_it_marks_its_rows_in_validation(harness: Harness) -> None:
    four()
    write_study(grid="{select_epoch: [last, best]}")
    harness("run", "s.yaml")
    board = pd.read_csv(REPORT / "leaderboard-a.csv", keep_default_na=False)
    marks = dict(zip(board["select_epoch"], board["mark"], strict=True))
    assert marks == {"best": "BEST EPOCH: chosen on the images that score it", "last": ""}
    statistics = json.loads(text("statistics.json"))
    marked = {e["subject"] for e in statistics["estimates"] if "BEST EPOCH" in (e["mark"] or "")}
    assert marked == {"best"}
    assert not any("BEST EPOCH" in (e["mark"] or "") for e in statistics["estimates"] if e["on"] == "test set")

"""Sentences about patients, looks and epochs say what was checked, and are not there where nothing was."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.data.patient_counts import PATIENTS_UNKNOWN
from harness.store import Store
from tests.conftest import runs_of
from tests.field.conftest import Harness, draw, four, write_study

REPORT = Path("mlruns/reports/s")
BEFORE = "chosen before the test set was opened"
RULE = "patient: '(?P<patient>img[0-9]+)', patient_scope: class"  # the same patients in train/ and test/


def text(file: str = "report.md", study: str = "s") -> str:
    """A file of the newest report of this study, or of a variant of it."""
    found = [*REPORT.parent.glob(f"{study}/{file}"), *REPORT.parent.glob(f"{study}-*/{file}")]
    return max(found, key=lambda path: path.stat().st_mtime_ns).read_text(encoding="utf-8")


def sixty() -> None:
    """60 training images of 29 patients, a folder for each, with names such as PAT000_IM0001.png."""
    for patient in range(29):
        label, bright = ("ILL", 60) if patient < 15 else ("WELL", 0)
        folder = Path("d/train", label, f"PAT{patient:03d}")
        draw(folder, 3 if patient in (0, 20) else 2, bright, f"PAT{patient:03d}_IM{{:04d}}.png")


def everything_said() -> Iterator[tuple[str, str]]:
    """Every text of the report, and every tag and parameter of every MLflow run."""
    for file in sorted(REPORT.rglob("*")):
        if file.suffix in (".md", ".html", ".json", ".csv", ".tex", ".txt"):
            yield file.name, file.read_text(encoding="utf-8")
    for run in runs_of(Store(Path("mlruns"))):
        for name, value in (run.data.tags | run.data.params).items():
            yield f"{run.info.run_name}: {name}", value


def test_without_a_patient_rule_nothing_is_said_of_patients_but_that_they_are_unknown(harness: Harness) -> None:
    sixty()
    for number in range(4):
        draw(Path("d/test", ("ILL", "WELL")[number % 2], f"PAT9{number}"), 2)
    write_study()
    plan = harness("plan", "s.yaml").out
    assert f"folds: {PATIENTS_UNKNOWN}; a rule in data.patient says who they are" in plan
    assert "'^(?P<patient>[^/]+)/' fits these names" in plan
    assert ["train", "ILL", "31", "unknown"] in [line.split() for line in plan.splitlines()]
    as_json = json.loads(harness("plan", "s.yaml", "--json").out)
    assert as_json["data"][0]["patients"] is None and as_json["separation"]["counts"] is None
    assert as_json["separation"]["grouped"] is None and as_json["folds"]["grouped"] is None
    audited, ended = harness("audit", "s.yaml"), harness("run", "s.yaml")
    (found,) = [f for f in json.loads(harness("audit", "s.yaml", "--json").out)["findings"] if "unknown" in f["name"]]
    assert (found["severity"], found["text"].startswith(PATIENTS_UNKNOWN)) == ("warning", True)
    said = dict(everything_said())
    checklist = [line for line in said["checklist.md"].splitlines() if PATIENTS_UNKNOWN in line]
    items = {(cells[1].strip(), cells[2].strip()) for line in checklist if (cells := line.split("|"))}
    assert items >= {("CLAIM 2024", "19"), ("CLAIM 2024", "20"), ("TRIPOD+AI 2024", "20"), ("TRIPOD+AI 2024", "21")}
    (of_study,) = [value for name, value in said.items() if name == "s: mlflow.note.content"]
    data = said["report.md"].partition("## Data and folds")[2].partition("## Audit")[0]
    assert f"**{PATIENTS_UNKNOWN[0].upper()}{PATIENTS_UNKNOWN[1:]}.**" in said["summary.md"]
    for each in (audited.out, ended.out, data, of_study, said["index.html"]):
        assert PATIENTS_UNKNOWN.lower() in each.lower()
    assert f"| data.patient | - | {PATIENTS_UNKNOWN} |" in said["report.md"]
    assert "| folds.grouped | true | patients unknown |" in said["report.md"]
    said |= {"plan": plan, "plan --json": json.dumps(as_json), "audit": audited.out, "run": ended.out}
    for name, value in said.items():
        assert not re.search("grouped by patient:|patients on both sides|resampling patients|patients low", value), name
        assert value.count("(checked)") == value.count("no identical file in training and in test (checked)"), name
    assert "Of other numbers by resampling images" in said["checklist.md"]
    assert "resampled patients" not in said["report.md"]


@pytest.mark.long
def test_a_search_without_a_rule_says_that_patients_are_unknown(harness: Harness) -> None:
    sixty()
    write_study(test="search: {space: {dropout: {low: 0.1, high: 0.5}}, trials: 1, objective: {metric: val/accuracy}}")
    ended = harness("search", "s.yaml")
    assert f"folds: {PATIENTS_UNKNOWN}\n" in ended.out
    page = text(study="s-search")
    assert f"**{PATIENTS_UNKNOWN[0].upper()}{PATIENTS_UNKNOWN[1:]}.**" in page
    assert "(checked)" not in page and "grouped by patient" not in page


def test_a_rule_for_each_image_is_no_certificate(harness: Harness) -> None:
    sixty()
    write_study(data="patient: '(?P<patient>.+)'", test="")
    plan = harness("plan", "s.yaml").out
    doubt = "patients doubtful: the rule finds no patient with two images; grouped by this rule: 0 of 60 patients"
    assert f"folds: {doubt}" in plan
    assert "grouped by patient" not in plan


def test_with_the_proposed_rule_the_folds_are_grouped_and_checked(harness: Harness) -> None:
    sixty()
    told = harness("new", "n", "--data", "d", "--out", ".").out
    counts = "29 in 60 training images, 2.1 images each on average, at most 3, such as PAT000 in train/ILL/PAT000/"
    assert counts in told
    plan = harness("plan", "n.yaml", "--set", "base.weights=none", "--set", "base.backbone=test_resnet").out
    assert f"patients by the rule ^(?P<patient>[^/]+)/: {counts}" in plan
    assert "folds: grouped by patient: 0 of 29 patients on both sides of any fold (checked)" in plan


def test_with_a_rule_the_numbers_are_said_and_what_was_accepted(harness: Harness) -> None:
    four()
    draw(Path("d/train/ILL"), 8, 70, "img{:03d}_b.png")
    draw(Path("d/train/WELL"), 8, 10, "img{:03d}_b.png")
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
    leak = "1 of 2 scenarios oversamples BEFORE THE SPLIT: copies of its validation images are in training"
    assert leak in harness("plan", "s.yaml").out
    assert leak in harness("run", "s.yaml").out
    assert leak in text() and leak in text("checklist.md")
    assert "training images only" not in text()


@pytest.mark.long
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
        pytest.param("data.positive=ILL", "s", "TEST SET SEEN 2 TIMES, 1 DECLARED", marks=pytest.mark.long),
        ("study=other", "other", "2 by all studies"),
        pytest.param("data.limit=6", "s", "1 more at some of its images, by other manifests", marks=pytest.mark.long),
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


@pytest.mark.long
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

"""A table of images of two invented hospitals, from `new` to a report that leaves one hospital out at a time."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import draw_images
from tests.field.conftest import Harness

QUICK = [
    "data.image_size=32", "base.backbone=test_resnet", "base.weights=none", "base.epochs=1", "base.batch_size=8",
    "stages.0.grid={head: [dropout-gap]}", "folds.by=site", "folds.duplicates=apart",
]  # fmt: skip
QUICKLY = [word for setting in QUICK for word in ("--set", setting)]


def cases(count: int = 24) -> pd.DataFrame:
    """Two images a patient; the site is invented, and one age is not known."""
    numbers = pd.Series(range(count))
    table = pd.DataFrame({"file": [f"{n:02}.png" for n in numbers]})
    table["diagnosis"] = numbers.floordiv(2).mod(2).map({0: "healthy", 1: "ill"})
    table["patient"] = numbers.floordiv(2).map("{:03}".format)
    table["split"] = ["train"] * (count - 8) + ["test"] * 8
    table["site"] = numbers.floordiv(4).mod(2).map({0: "North", 1: "South"})
    return table.assign(age=[float("nan"), *range(31, 30 + count)], remark="none")


@pytest.mark.long
def test_from_new_to_a_report_that_leaves_one_site_out_at_a_time(harness: Harness) -> None:
    draw_images(Path("scans"), {f"{n:02}.png": n + 1 for n in range(24)})
    cases().to_csv("cases.csv", index=False)
    written = harness("new", "sites", "--data", "cases.csv", "--out", ".")
    assert written.code == 0, written
    assert "image: the column file, as its first 20 cells are files in scans/; check this" in written.out
    assert "metadata, by their names: site, age; check this" in written.out
    assert "columns that are not used: remark" in written.out
    study = Path("sites.yaml").read_text(encoding="utf-8")
    assert "columns: {image: file, label: diagnosis, patient: patient, split: split}\n" in study
    planned = json.loads(harness("plan", "sites.yaml", "--json", *QUICKLY).out)
    assert (planned["folds"]["count"], planned["folds"]["grouped"]) == (2, True)
    ran = harness("run", "sites.yaml", *QUICKLY)
    assert ran.code == 0, ran
    predictions = pd.concat(pd.read_parquet(path) for path in Path("mlruns/jobs").glob("*/predictions.parquet"))
    of_folds = predictions[predictions["fold"].notna()]
    assert of_folds.groupby("fold")["site"].unique().map(list).to_dict() == {0: ["North"], 1: ["South"]}
    assert int(predictions["age"].isna().sum()) == 1
    (report,) = Path("mlruns/reports").glob("*/report.md")
    text = report.read_text(encoding="utf-8")
    assert "2 folds by site, one left out at a time (0 North, 1 South), grouped by patient: 0 of 8 patients" in text
    assert "| age | 31 to 53 | 1 |" in text
    assert "| site | North 12, South 12 | 0 |" in text
    assert re.search(r"\*REHEARSAL[^\n]*\*\n\n\| column \| values", text), "the table of the metadata has the mark"
    verified = harness("verify")
    assert verified.code == 0, verified
    Path("scans").rename("hidden")
    assert harness("report", "sites.yaml", *QUICKLY).code == 0


def test_where_no_column_has_patients_a_rule_sees_the_whole_path(harness: Harness) -> None:
    draw_images(Path("scans"), {f"{n:02}.png": n + 1 for n in range(24)})
    cases().drop(columns="patient").to_csv("cases.csv", index=False)
    written = harness("new", "sites", "--data", "cases.csv", "--out", ".")
    assert written.code == 0, written
    assert "# searched in the whole path" in Path("sites.yaml").read_text(encoding="utf-8")

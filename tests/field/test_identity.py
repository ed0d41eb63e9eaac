"""Two study files of one name: model, report, looks and status belong to what was run, not to the name."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from harness.study.identity import study_id
from tests.field.conftest import Harness, draw, four, write_study

IMAGE = "d/test/ILL/img000.png"


def other_images() -> None:
    """Images of the classes CAT and DOG in `e`."""
    for split, count in (("train", 8), ("test", 4)):
        draw(Path("e", split, "CAT"), count, 60)
        draw(Path("e", split, "DOG"), count)


def id_of(file: str) -> str:
    study, store = load_study(Path(file)), Store(Path("mlruns"))
    return study_id(study, prepare(study, store).inputs.digests)


def called(harness: Harness, model: str) -> list[str]:
    """The classes that a model knows."""
    ended = harness("predict", model, IMAGE, "--csv", "--device", "cpu")
    assert ended.code == 0, ended
    return sorted(word.removeprefix("prob_") for word in ended.out.splitlines()[0].split(",") if "prob_" in word)


def versions(name: str = "s") -> int:
    uri = Store(Path("mlruns")).database_uri
    return len(MlflowClient(uri, registry_uri=uri).search_model_versions(f"name='{name}'"))


@pytest.mark.long
def test_two_studies_of_one_name_keep_their_models_and_reports_apart(harness: Harness) -> None:
    four()
    other_images()
    write_study("a.yaml")
    write_study("b.yaml", path="e")
    assert "another study" not in harness("run", "a.yaml").err
    kept = Path("mlruns/reports", f"s-{id_of('a.yaml')[:8]}")
    told = harness("run", "b.yaml").err
    assert f"its report is kept in reports/{kept.name}" in told
    assert called(harness, "a.yaml") == ["ILL", "WELL"]
    assert called(harness, "b.yaml") == called(harness, "models:/s@champion") == ["CAT", "DOG"]
    assert "ILL" in (kept / "report.md").read_text(encoding="utf-8")
    assert "CAT" in Path("mlruns/reports/s/report.md").read_text(encoding="utf-8")
    status = json.loads(harness("status", "a.yaml", "--json").out)
    assert (status["study_id"], Path(status["report"]).name) == (id_of("a.yaml"), kept.name)
    again = harness("report", "a.yaml")
    assert f"reports/s-{id_of('b.yaml')[:8]}" in again.err
    assert "ILL" in Path("mlruns/reports/s/report.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in kept.parent.iterdir()) == ["s", f"s-{id_of('b.yaml')[:8]}"]
    assert harness("run", "a.yaml").code == 0
    assert called(harness, "models:/s@champion") == ["ILL", "WELL"]
    assert versions() == 2, "the model of a.yaml was registered already"


@pytest.mark.long
def test_an_edited_file_that_ends_with_the_same_refit_has_the_same_model(harness: Harness) -> None:
    four()
    write_study()
    harness("run", "s.yaml")
    more = Path("s.yaml").read_text(encoding="utf-8").replace("test:", "  - {name: b, grid: {epochs: [1]}}\ntest:")
    Path("more.yaml").write_text(more, encoding="utf-8")
    assert id_of("more.yaml") != id_of("s.yaml")
    assert harness("run", "more.yaml").code == 0
    assert called(harness, "more.yaml") == called(harness, "s.yaml") == ["ILL", "WELL"]
    assert versions() == 1


@pytest.mark.long
def test_a_variant_has_the_model_of_the_one_that_was_run_and_a_study_without_one_is_refused(harness: Harness) -> None:
    four()
    write_study()
    harness("run", "s.yaml")
    variant = harness("predict", "s.yaml", IMAGE, "--set", "base.epochs=1")
    assert variant.code == 0
    assert f"read from its one variant there: {id_of('s.yaml')[:8]} (base.epochs 2, asked: 1)" in variant.err
    write_study(test="")
    harness("run", "s.yaml")
    line = harness.refused("predict", "s.yaml", IMAGE)
    assert "models:/s@champion is of study id" in line
    assert "harness run STUDY" in line


@pytest.mark.long
def test_a_model_needs_no_image_folder(harness: Harness) -> None:
    four()
    write_study()
    harness("run", "s.yaml")
    Path("d").rename("gone")
    found = harness("predict", "s.yaml", "gone/test/ILL/img000.png")
    assert found.code == 0
    assert "read from the record in the store: the images are not at hand" in found.err
    assert harness("predict", "s.yaml", "gone/test/ILL/img000.png", "--data", "gone").code == 0


def test_levels_that_differ_look_different_wherever_they_stand(harness: Harness) -> None:
    four()
    write_study(grid="{dropout: [0.5, 0.500001], learning_rate: [0.01, 0.0100000001]}", test="")
    (stage,) = json.loads(harness("plan", "s.yaml", "--json").out)["stages"]
    names = {scenario["name"] for scenario in stage["scenarios"]}
    assert "dropout=0.5 + learning_rate=0.01" in names and "dropout=0.500001 + learning_rate=0.0100000001" in names
    assert len(names) == 4
    harness("run", "s.yaml")
    folder = Path("mlruns/reports/s")
    statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    assert {e["subject"] for e in statistics["estimates"]} - {"majority class"} == names
    table = [line.split(" | ")[:2] for line in (folder / "report.md").read_text(encoding="utf-8").splitlines()]
    shown = {tuple(cell.strip("| ") for cell in row) for row in table}
    assert {("0.5", "0.01"), ("0.500001", "0.01"), ("0.5", "0.0100000001"), ("0.500001", "0.0100000001")} <= shown
    assert len(pd.read_csv(folder / "leaderboard-a.csv")[["dropout", "learning_rate"]].drop_duplicates()) == 4

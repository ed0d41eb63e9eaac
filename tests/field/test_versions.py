"""Fits of one study by other versions of packages, or on other devices."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from harness.report.numbers.records import Statistics
from harness.store import Store
from harness.study import load_study
from harness.study.provenance import versions
from tests.conftest import SMALL_STUDY, Finished, run_in, runs_of
from tests.field.conftest import Harness, four, write_study
from tests.report.test_marks import reddish

TIMM = dict(part.rsplit(" ", 1) for part in versions().split(", "))["timm"]
MORE = "stages.0.grid={head: [dropout-gap, batchnorm-gap, dropout-flatten]}"
Edit = Callable[[dict[str, str | float]], Mapping[str, str]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of two heads, `s.yaml`, and the store that its four fits were made in."""
    folder = tmp_path_factory.mktemp("begun")
    four(8, folder / "d")
    write_study(str(folder / "s.yaml"), path=folder / "d", grid="{head: [dropout-gap, batchnorm-gap]}", test="")
    run_in(load_study(folder / "s.yaml"), Store(folder / "mlruns"))
    return folder


@pytest.fixture
def study(harness: Harness, begun: Path) -> str:  # noqa: ARG001 - in its folder
    """The study's file; its store is copied to `mlruns`."""
    shutil.copytree(begun / "mlruns", "mlruns")
    return str(begun / "s.yaml")


def change(edit: Edit, count: int) -> None:
    """Edits the facts of so many of the fits: a store that two machines have worked in."""
    for path in sorted(Path("mlruns/jobs").glob("*/result.json"))[:count]:
        record = json.loads(path.read_text())
        record["facts"] |= edit(record["facts"])
        path.write_text(json.dumps(record))


def by_old_timm(facts: dict[str, str | float]) -> Mapping[str, str]:
    return {"versions": str(facts["versions"]).replace(f"timm {TIMM}", "timm 1.0.2")}


def require_marked(mark: str, study: str = "s") -> None:
    """Raises AssertionError where a row or a figure of the report is without the mark."""
    folder = Path("mlruns/reports", study)
    assert f"**{mark}.**" in (folder / "report.md").read_text()
    assert f"**{mark}.**" in (folder / "summary.md").read_text()
    tables = [path for path in folder.glob("*.csv") if path.name != "checklist.csv"]
    assert len(tables) > 2
    for path in tables:
        table = pd.read_csv(path)
        if "subject" in table:  # no fit decides the share of the commonest class
            table = table[table["subject"] != "majority class"]
        assert all(mark in row for row in table["mark"]), path
    found = Statistics.model_validate_json((folder / "statistics.json").read_text())
    numbers = [number for number in found.estimates if number.subject != "majority class"] + found.comparisons
    assert len(numbers) > 10
    assert all(mark in (number.mark or "") for number in numbers)
    figures = [path for path in folder.glob("*.png") if "confusion" not in path.name]  # there red is laid on blue
    assert len(figures) > 4
    assert [path for path in figures if reddish(path) < 500] == []


@pytest.mark.long
@pytest.mark.figures
def test_other_versions_are_refused_by_name_and_marked_where_they_are_allowed(harness: Harness, study: str) -> None:
    change(by_old_timm, 4)
    before = sorted(Path("mlruns").rglob("*"))
    line = harness.refused("run", study, "--set", MORE)
    assert f"(timm 1.0.2 (4 fits), now {TIMM})" in line
    assert "--mixed-versions" in line
    assert [path for path in sorted(Path("mlruns").rglob("*")) if path not in before] == []
    ended = harness("run", study, "--set", MORE, "--mixed-versions")
    assert ended.code == 0, ended
    mark = f"MIXED VERSIONS: timm 1.0.2 (4 fits), {TIMM} (2 fits)"
    assert mark in ended.out
    (variant,) = Path("mlruns/reports").glob("s-*")
    require_marked(mark, variant.name)
    assert f"({mark.removeprefix('MIXED VERSIONS: ')})" in harness.refused("report", study, "--set", MORE)
    told = {run.data.tags["harness.versions"] for run in runs_of(Store(Path("mlruns")), "fold")}
    assert versions() in told


def test_a_mixed_table_is_refused_though_nothing_is_left_to_fit(harness: Harness, study: str) -> None:
    change(by_old_timm, 1)
    for command in ("run", "report"):
        assert f"(timm {TIMM} (3 fits), 1.0.2 (1 fit))" in harness.refused(command, study)


def test_a_study_goes_on_where_the_versions_are_the_same_or_not_known(harness: Harness, study: str) -> None:
    change(lambda _: {"versions": ""}, 2)
    Path("mlruns/mlflow.db").unlink()  # a report without MLflow is quicker
    assert harness("report", study).code == 0
    assert "MIXED" not in Path("mlruns/reports/s/report.md").read_text()


@pytest.mark.figures
def test_fits_of_two_devices_are_marked_and_not_refused(harness: Harness, study: str) -> None:
    change(lambda _: {"device": "NVIDIA H100"}, 1)
    ended = harness("run", study)
    assert ended.code == 0, ended
    mark = "MIXED DEVICES: 3 fits on cpu, 1 fit on NVIDIA H100"
    assert mark in ended.out
    require_marked(mark)


@pytest.mark.long
@pytest.mark.figures
def test_the_tables_and_figures_of_the_test_set_are_marked_too(harness: Harness, finished: Finished) -> None:
    finished.copy_to(Path("mlruns"))
    change(lambda _: {"device": "NVIDIA H100"}, 1)
    Path("mlruns/mlflow.db").unlink()
    Path("small.yaml").write_text(SMALL_STUDY)
    assert harness("report", "small.yaml").code == 0
    require_marked("MIXED DEVICES: 6 fits on cpu, 1 fit on NVIDIA H100", "small")


@pytest.mark.figures
@pytest.mark.parametrize(
    ("facts", "place"),
    [({"precision": "bf16"}, "cpu"), ({"precision": "bf16", "device": "NVIDIA H100"}, "NVIDIA H100")],
    ids=["one device", "begun on a CPU, ended on a GPU"],
)
def test_auto_that_came_to_two_precisions_is_marked(
    harness: Harness, study: str, facts: dict[str, str], place: str
) -> None:
    change(lambda _: facts, 1)
    Path("mlruns/mlflow.db").unlink()
    assert harness("report", study).code == 0
    require_marked(f"MIXED DEVICES: 3 fits on cpu in fp32, 1 fit on {place} in bf16")


@pytest.mark.usefixtures("study")
def test_the_doctor_and_reproduce_say_which_versions_differ(harness: Harness) -> None:
    change(by_old_timm, 4)
    fold = runs_of(Store(Path("mlruns")), "fold")[0].info.run_id
    told = " ".join(harness("doctor").out.split())
    assert f"timm 1.0.2 (4 fits), now {TIMM}; a study needs the versions" in told
    again = harness("reproduce", fold)
    assert again.code == 0, again
    assert f"other versions of packages: timm 1.0.2, now {TIMM}" in " ".join(again.out.split())

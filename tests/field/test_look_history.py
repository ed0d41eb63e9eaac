"""What was tried on a test set before is told with its numbers: seeds, versions, fits made again, in every store."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.store import Store
from tests.field.conftest import Harness, four, write_study
from tests.field.test_claims import text

ONCE = "1 look at these test images by 1 study in 1 store on this machine"
SEEDS = "seed 3 of 3 tried on this test set (in this order: 0, 1, 2)"
AGAIN = "fitted again once after it was scored (s, repeat 0, fold 0)"


def everywhere(out: str) -> dict[str, str]:
    """What is told of looks: on the terminal, in the report, in its numbers and in MLflow."""
    store = Store(Path("mlruns"))
    client = MlflowClient(store.tracking_uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids, "tags.`harness.level` = 'test'", order_by=["attributes.start_time DESC"])
    findings = [f["text"] for f in json.loads(text("statistics.json"))["findings"]]
    places = {"terminal": out, "mlflow": runs[0].data.tags["mlflow.note.content"], "numbers": "; ".join(findings)}
    return places | {name: text(name) for name in ("report.md", "summary.md", "checklist.md", "index.html")}


def places_with(words: str, out: str) -> set[str]:
    return {name for name, told in everywhere(out).items() if words.lower() in told.lower().replace("&#x27;", "'")}


@pytest.mark.long  # eight runs
@pytest.mark.usefixtures("machine_ledger")
@pytest.mark.long
def test_seeds_versions_and_fits_made_again_are_told_with_the_number(harness: Harness) -> None:
    four()
    write_study(grid="{}")
    first = harness("run", "s.yaml").out
    assert places_with(ONCE, first) == everywhere(first).keys()
    assert not places_with("tried", first) | places_with("version of this study", first)
    again = harness("rerun", "s.yaml", "--scenario", "s", "--fold", "0")
    assert again.code == 0, again.err
    harness("report", "s.yaml")
    out = harness("run", "s.yaml").out
    assert places_with(AGAIN, out) == everywhere(out).keys()
    shutil.rmtree("mlruns/reports")
    harness("run", "s.yaml", "--set", "seed=1")
    shutil.rmtree("mlruns")  # the next one looks like a first one
    out = harness("run", "s.yaml", "--set", "seed=2").out
    assert places_with(SEEDS, out) == everywhere(out).keys()
    assert places_with("3 looks at these test images by 1 study in 2 stores", out) == everywhere(out).keys()
    out = harness("run", "s.yaml", "--set", "base.epochs=1").out
    assert "2nd version of this study that was scored on these images, of 2" in out
    out = harness("run", "s.yaml", "--set", "data.limit=6").out
    assert "3rd version of this study that was scored on these images, of 3" in out
    assert "1 look at these test images by 1 study in 1 store on this machine, and 4 more at some of them" in out

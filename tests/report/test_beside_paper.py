import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import StudyError
from harness.prepare import prepare
from harness.report.numbers.predictions import pooled
from harness.report.sections.paper_questions import _choice
from harness.report.tables.scenario_tables import confusion_table
from harness.stats.proportions import wilson
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.identity import study_id
from harness.study.paper import OpenQuestion
from harness.tracking.stored_report import report_study
from tests.conftest import ROOT, Finished, run_in
from tests.report.test_marks import rows_of

PAPER = ROOT / "studies" / "published" / "pneumonia-paper.yaml"


@pytest.fixture(scope="module")
def own_store(finished: Finished, new_store: Callable[[], Store]) -> Store:
    """The jobs and images of the finished study in a store of its own, for other reports of them."""
    store = new_store()
    for folder in ("jobs", "data", "cache"):
        shutil.copytree(finished.store.root / folder, store.root / folder, dirs_exist_ok=True)
    return store


@pytest.fixture(scope="module")
def page(own_store: Store, small_study: Callable[..., Study]) -> Path:
    """The small study's report next to the paper; its phantoms have the paper's two classes."""
    return run_in(small_study(f"paper={PAPER}"), own_store).run.report


def table(page: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(page.parent / f"{name}.csv").set_index("quantity")


def test_the_confusion_matrix_stands_next_to_the_papers(page: Path, finished: Finished) -> None:
    (test,) = finished.run.state.tests
    matrix = confusion_table(pooled(list(test.jobs), Ledger(finished.store))).to_numpy()
    found = table(page, "paper-table-iii")
    for index, (name, paper, total) in enumerate((("NORMAL", 183, 234), ("PNEUMONIA", 372, 390))):
        row = found.loc[f"{name} called right"]
        hits, n = int(matrix[index, index]), int(matrix[index].sum())
        assert (row["paper k/n"], row["our k/n"]) == (f"{paper}/{total}", f"{hits}/{n}")
        assert row["difference"] == pytest.approx(hits / n - paper / total)
        theirs = wilson(paper, total)
        expected = (
            hits / n - paper / total - np.hypot(hits / n - row["our low"], theirs[1] - paper / total),
            hits / n - paper / total + np.hypot(row["our high"] - hits / n, paper / total - theirs[0]),
        )
        assert (row["difference low"], row["difference high"]) == pytest.approx(expected)
        assert row["MLflow run"]


def test_every_item_of_the_paper_is_there_in_every_form(page: Path) -> None:
    text = page.read_text()
    for item in ("Table II", "Fig. 7", "Fig. 8", "Table III", "Table IV", "Fig. 9", "Table V"):
        assert f"### {item}:" in text
    names = {path.name for path in page.parent.iterdir()}
    items = ("table-ii", "fig-7", "fig-8", "table-iii", "table-iv", "fig-9")
    for name in (f"paper-{item}" for item in items):
        assert {f"{name}.{kind}" for kind in ("csv", "tex", "png", "svg")} <= names
    assert {"paper-table-v-1.csv", "paper-table-v-2.csv", "paper-table-v.svg"} <= names


def test_a_missing_cell_or_item_says_why(page: Path) -> None:
    depths = table(page, "paper-fig-8")
    assert list(depths.index) == ["resnet50.tv_in1k", "resnet101.tv_in1k", "resnet152.tv_in1k"]
    assert set(depths["missing"]) == {
        "the paper prints a curve, no number; ours: no stage of the study small varies backbone"
    }
    heads = table(page, "paper-fig-7")["missing"]
    assert heads[["dropout-gap", "batchnorm-gap"]].tolist() == ["the paper prints a curve, no number"] * 2
    assert heads["dropout-flatten"].endswith("ours: not among the levels of the study small")
    assert table(page, "paper-table-v-1").loc["layers", "missing"] == "the name of our backbone does not say it"


def test_every_cell_that_has_a_value_of_ours_knows_its_run(page: Path) -> None:
    for path in page.parent.glob("paper-*.csv"):
        found = pd.read_csv(path)
        if "ours" in found:
            ours = found[found["ours"].notna()]
            assert len(ours) == 0 or ours["MLflow run"].notna().all(), path.name


def test_every_row_next_to_the_paper_carries_the_mark(page: Path) -> None:
    files = [path for kind in ("csv", "tex") for path in page.parent.glob(f"paper-*.{kind}")]
    assert len(files) > 12
    for path in files:
        assert all("SYNTHETIC DATA" in row for row in rows_of(path)), path.name
    assert "\n**Ours: SYNTHETIC DATA.**\n" in page.read_text().partition("## Next to the paper")[2]


def test_the_papers_baseline_stands_next_to_our_own_of_the_same_network(
    own_store: Store, small_study: Callable[..., Study], tmp_path: Path
) -> None:
    same = tmp_path / "paper.yaml"
    same.write_text(PAPER.read_text().replace("backbone: vgg16.tv_in1k", "backbone: test_resnet"))
    text = run_in(small_study(f"paper={same}"), own_store).run.report.read_text()
    assert "Our selected scenario, " in text
    assert "Our test_resnet, " in text


def test_folds_are_not_called_grouped_by_patient_where_patients_are_unknown(small_study: Callable[..., Study]) -> None:
    question = OpenQuestion(question="are the folds grouped by patient", fields=["folds.grouped"])
    assert _choice(small_study(), question) == "grouped: True"
    assert _choice(small_study("data={source: folder, path: x}"), question) == "grouped: patients unknown"


def test_what_the_paper_leaves_open_is_listed_with_our_choice(page: Path) -> None:
    found = pd.read_csv(page.parent / "paper-open.csv").set_index("the paper leaves open")["our choice"]
    assert found["optimizer"] == "optimizer: adam"
    assert found["oversampling inside the training folds or before the split"] == "oversampling: each of none, random"
    assert found["which fold's model is tested"] == "model: refit"


def test_without_a_test_the_cells_of_the_test_set_say_so(small_study: Callable[..., Study], own_store: Store) -> None:
    page = report_study(prepare(small_study(f"paper={PAPER}", "test=null"), own_store))
    missing = table(page, "paper-table-iv")["missing"]
    assert set(missing) == {"the study scores no test set"}
    assert table(page, "paper-table-iv")["ours"].isna().all()


def test_the_paper_is_no_part_of_what_decides_the_numbers(small_study: Callable[..., Study], store: Store) -> None:
    digests = prepare(small_study(), store).inputs.digests
    assert study_id(small_study(), digests) == study_id(small_study(f"paper={PAPER}"), digests)


def test_a_paper_that_is_not_there_is_an_error_with_its_place(small_study: Callable[..., Study], store: Store) -> None:
    with pytest.raises(StudyError, match=r"--set paper=none.yaml: paper: .*none.yaml: no such file of a paper; "):
        prepare(small_study("paper=none.yaml"), store)

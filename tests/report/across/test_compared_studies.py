"""Studies beside each other: the same images in the same folds, in other folds, other images; and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness.cli.compare import compare as command
from harness.errors import StudyError
from harness.prepare import named_workspace
from harness.report.across.across_page import across_place, write_compared
from harness.report.across.compared_studies import compare_studies, pairing_sentence
from harness.report.across.sides import Opened
from harness.report.numbers.comparisons import TEST
from harness.report.tables.tidy import comparison_rows
from harness.stats.paired import corrected_t, holm
from harness.store import Store
from harness.tracking.stored_report import stored_state
from tests.report.across.studies import ran, study_text, write_images

TESTED = "test: {stages: [heads]}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with studies of the same images (a, b, c; d in other folds) and of others (other)."""
    folder, found = tmp_path_factory.mktemp("across"), Store(tmp_path_factory.mktemp("store"))
    same, other = write_images(folder / "same"), write_images(folder / "other", first=100)
    for text in (
        study_text("a", same, "logistic, knn", more=TESTED),
        study_text("b", same, "knn", rate="2.0e-3", more=TESTED),
        study_text("c", same, "linear"),
        study_text("d", same, "logistic", seed="5"),
        study_text("other", other, "logistic, knn, linear"),
        study_text("far", other, "linear", rate="5.0e-3"),
        study_text("auc", same, "logistic", metric="val/roc_auc"),
        study_text("renamed", same, "knn", positive="ILL", data=", labels: {A: A, B: ILL}"),
        study_text("turned", same, "knn", positive="A", metric="val/f1"),
        study_text("f1", same, "knn", metric="val/f1"),
        study_text("patients", same, "knn", more="unit: patient"),
        study_text("shown", same, "knn, logistic", select="null"),
        study_text("relabelled", _with_two_exchanged(same, folder / "exchanged"), "knn"),
    ):
        ran(folder, found, text)
    ran(folder, found, study_text("stopped", same, "linear, mlp", rate="6.0e-3"), fits=4)
    ran(folder, found, study_text("begun", same, "linear, mlp", rate="7.0e-3"), fits=1)
    return found


def _with_two_exchanged(images: Path, folder: Path) -> Path:
    """A copy of the images in which one of A and one of B have changed places."""
    shutil.copytree(images, folder)
    first, second = (sorted((folder / "train" / label).iterdir())[0] for label in "AB")
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    return folder


@pytest.fixture(scope="module")
def opened(store: Store) -> Callable[..., list[Opened]]:
    def open_each(*names: str) -> list[Opened]:
        workspaces = [named_workspace(name, store) for name in names]
        return [(workspace, stored_state(workspace)) for workspace in workspaces]

    return open_each


def test_the_same_folds_are_compared_by_the_test_over_folds(opened: Callable[..., list[Opened]]) -> None:
    found = compare_studies(opened("a", "b"))
    assert found.shared.of == "folds"
    (c,) = found.validated
    (_, a), (_, b) = opened("a", "b")
    one, two = a.stages[0].best, b.stages[0].best
    assert one and two
    values = [[s.metrics(job.id)["val/accuracy"] for job in s.jobs] for s in (one, two)]
    expected = corrected_t([x - y for x, y in zip(*values, strict=True)], 1 / 2, 1 / 8)
    assert c.difference == pytest.approx(expected.difference)
    assert c.p == pytest.approx(expected.p)
    assert c.comparisons == 2, "one scenario of two against the only one"
    assert c.p_holm == pytest.approx(holm([expected.p], 2)[0])
    assert (c.compares, c.margin) == ("recipes", 0.01)
    assert [t.metric for t in found.tested] == ["accuracy", "roc_auc"]
    assert {(t.on, t.verdict, t.compares) for t in found.tested} == {(TEST, None, "fitted models")}


def test_three_studies_are_three_pairs_adjusted_together(opened: Callable[..., list[Opened]]) -> None:
    found = compare_studies(opened("a", "b", "c"))
    assert [(c.first, c.second) for c in found.validated] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {c.comparisons for c in found.validated} == {2 * 1 + 2 * 1 + 1}
    assert {(c.first, c.second) for c in found.tested} == {("a", "b")}, "c is not scored on the test set"
    a, b, c = (c.difference for c in found.validated)
    assert a + c == pytest.approx(b)


def test_other_folds_of_the_same_images_are_compared_out_of_fold(opened: Callable[..., list[Opened]]) -> None:
    found = compare_studies(opened("a", "d"), {"a": "logistic"})
    assert found.shared.of == "images"
    (c,) = found.validated
    right = []
    for workspace, state in opened("a", "d"):
        scenario = next(s for s in state.scenarios if s.name in ("logistic", workspace.study.study))
        frame = pd.concat([workspace.ledger.predictions(job.id) for job in scenario.jobs]).set_index("image")
        right.append((frame["prob_B"] > 0.5) == (frame["label"] == "B"))
    assert c.difference == pytest.approx(right[0].mean() - right[1].mean())
    assert (c.verdict, c.practical, c.on) == (None, None, "out of fold")
    assert "no verdict about recipes" in pairing_sentence(found)


def test_other_images_are_compared_by_the_ranks_of_what_both_have(opened: Callable[..., list[Opened]]) -> None:
    found = compare_studies(opened("a", "other"))
    assert found.shared.of == "nothing"
    assert "0 of 24 and 24 training images in common: no paired test" in pairing_sentence(found)
    assert found.ranked is not None
    assert sorted(found.ranked.models) == ["knn", "logistic"]
    assert found.ranked.incomplete == {"linear": ["a"]}
    means = {(c.model, c.data_set): c.mean for c in found.ranked.cells}
    for model, rank in zip(found.ranked.models, found.ranked.ranks.means, strict=True):
        other = next(m for m in found.ranked.models if m != model)
        ranks = [
            1.5 - 0.5 * ((x > y) - (x < y)) for x, y in ((means[model, d], means[other, d]) for d in ("a", "other"))
        ]
        assert rank == sum(ranks) / 2


@pytest.mark.parametrize(
    ("names", "wanted", "metric", "words"),
    [
        (["a"], {}, None, "compare takes two studies or more"),
        (["a", "a"], {}, None, "a is given twice"),
        (["a", "auc"], {}, None, "select by other metrics (a by val/accuracy, auc by val/roc_auc); name one for all"),
        (["a", "b"], {}, "val/nothing", "unknown metric 'val/nothing'"),
        (["a", "b"], {"a": "linear"}, None, "--scenario a=linear: unknown finished scenario 'linear'; allowed:"),
        (["a", "b"], {"x": "knn"}, None, "--scenario x=...: unknown study 'x'; allowed: a, b"),
        (
            ["auc", "other"],
            {},
            "val/accuracy",
            "auc and other have 1 finished scenario with the same settings in common",
        ),
        (["b", "far"], {}, None, "b and far have no finished scenarios with the same settings in common"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(
    opened: Callable[..., list[Opened]], names: list[str], wanted: dict[str, str], metric: str | None, words: str
) -> None:
    with pytest.raises(StudyError) as caught:
        compare_studies(opened(*names), wanted, metric)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "wanted", "words", "mend"),
    [
        (["b", "renamed"], {}, "the same images have other classes (b: A, B; renamed: A, ILL)", "by data.labels"),
        (["b", "relabelled"], {}, "2 of the 24 training images have another label in relabelled than in b", "run one"),
        (["f1", "turned"], {}, "f1 is about another positive class (f1: B; turned: A)", "--metric val/accuracy"),
        (["b", "patients"], {}, "b: image; patients: patient, the images of a patient combined by mean", "same unit"),
        (["b", "stopped"], {}, "stopped: stage heads lacks 2 fits", "harness run STUDY, or name a finished scenario"),
        (["b", "begun"], {}, "begun: stage heads lacks 5 fits", "harness run STUDY, or name a finished scenario"),
        (["b", "begun"], {"begun": "mlp"}, "begun has no finished scenario yet", "harness run STUDY"),
        (["b", "stopped"], {"stopped": "mlp"}, "unknown finished scenario 'mlp'", "allowed: linear"),
        (["b", "shown"], {}, "shown: no stage selects a scenario", "--scenario STUDY=NAME"),
    ],
)
def test_a_refusal_says_what_is_in_the_way_and_how_to_mend_it(
    opened: Callable[..., list[Opened]], names: list[str], wanted: dict[str, str], words: str, mend: str
) -> None:
    with pytest.raises(StudyError) as caught:
        compare_studies(opened(*names), wanted)
    assert words in str(caught.value)
    assert mend in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_refusal_proposes_is_done(opened: Callable[..., list[Opened]]) -> None:
    named = compare_studies(opened("b", "stopped"), {"stopped": "linear"})
    assert [side.chosen.name for side in named.sides] == ["knn", "linear"]
    assert compare_studies(opened("b", "shown"), {"shown": "logistic"}).shared.of == "folds"
    (c,) = compare_studies(opened("f1", "turned"), {}, "val/accuracy").validated
    assert (c.metric, c.difference) == ("accuracy", 0), "the same fits, whichever class is the positive one"


def test_the_page_and_its_tables_are_written_and_written_again(
    opened: Callable[..., list[Opened]], store: Store, tmp_path: Path
) -> None:
    for names in (("a", "b"), ("a", "other")):
        found = compare_studies(opened(*names))
        for _ in range(2):
            page = write_compared(found, across_place(store, "-and-".join(names), tmp_path / names[1]))
        tables = {path.name for path in page.parent.iterdir()}
        assert {"index.html", "report.md", "studies.csv", "studies.tex"} < tables
        assert pairing_sentence(found)[:40].lower() in page.read_text(encoding="utf-8").lower()
    answer = (tmp_path / "other" / "report.md").read_text(encoding="utf-8").partition("## Answer\n\n")[2]
    assert answer.startswith("a and other have 0 of 24 and 24"), "a name keeps its small letter"
    pairs = pd.read_csv(tmp_path / "b" / "pairs.csv")
    assert pairs[["first", "second"]].to_numpy().tolist() == [["a", "b"]]
    assert across_place(store, "x", None) == store.root / "compared" / "x"


def test_the_command_prints_the_tables_and_names_the_page(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command([Path("a"), Path("c")], store.root, scenarios=["a=knn"], out=tmp_path / "page")
    out = capsys.readouterr().out
    assert "same images in the same folds" in out
    assert out.splitlines()[-1] == f"page: {tmp_path / 'page' / 'index.html'}"
    rows = [line.split()[:2] for line in out.splitlines()]
    assert ["a", "knn"] in rows
    with pytest.raises(StudyError, match="--scenario knn: expected STUDY=NAME"):
        command([Path("a"), Path("c")], store.root, scenarios=["knn"])


def test_python_compares_as_the_command_does(store: Store, opened: Callable[..., list[Opened]]) -> None:
    files = [next((store.studies / name).glob("*/study.yaml")) for name in ("a", "b", "other")]
    found = harness.compare(*files[:2], store=store, scenarios={"a": "knn"})
    expected = compare_studies(opened("a", "b"), {"a": "knn"})
    assert found.table().to_json() == comparison_rows(expected.comparisons).to_json()
    assert str(found).startswith("The same images in the same folds")
    assert "first is better" in found._repr_html_() or "cannot resolve" in found._repr_html_()
    ranked = harness.compare(harness.load_study(files[0], store=store), files[2], store=store).table()
    assert {"model", "mean rank", "a", "other"} <= {*ranked}
    with pytest.raises(StudyError, match="two studies or more"):
        harness.compare(files[0], store=store)

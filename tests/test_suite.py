"""A suite from its file to its page: three data sets, one of them broken, mended, and run again."""

from pathlib import Path

import pandas as pd
import pytest
import typer

from harness.cli.suite import suite as command
from harness.errors import StudyError
from harness.store import Store
from tests.conftest import draw_images

SUITE = """\
suite: tiny
datasets:
  a: {data: {source: folder, path: a, image_size: 32, positive: B}}
  b: {data: {source: folder, path: b, image_size: 32}, folds: {k: 3}}
  bad: {get: ask for it, data: {source: folder, path: bad, image_size: 32}}
folds: {k: 2, grouped: false}
base: {backbone: test_resnet, weights: none, trainable: head, epochs: 1}
stages: [{name: heads, grid: {head: [logistic, knn]}, select: {metric: val/accuracy}}]
"""


def images(root: Path, first: int) -> None:
    paths = [f"train/{label}/{n}.png" for label in "AB" for n in range(9)]
    draw_images(root, {path: first + seed for seed, path in enumerate(paths)})


def fits(store: Store) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.jobs.iterdir()}


@pytest.mark.long
def test_a_suite_is_run_resumed_and_ranked_and_one_broken_data_set_does_not_stop_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, store = tmp_path / "tiny.yaml", Store(tmp_path / "store")
    file.write_text(SUITE)
    for number, name in enumerate(("a", "b")):
        images(tmp_path / name, 100 * number)
    with pytest.raises(StudyError) as caught:
        command(file, store.root)
    assert str(caught.value) == (
        f"{file}:5: datasets.bad.data: {tmp_path / 'bad'} is not there; ask for it; then --data bad=PATH,"
        " or leave it out: --only a,b"
    )
    assert not store.root.exists(), "nothing is run before all images are there"

    images(tmp_path / "bad", 200)
    broken = tmp_path / "bad" / "train" / "A" / "3.png"
    whole = broken.read_bytes()
    broken.write_bytes(b"no image")
    with pytest.raises(typer.Exit) as ended:
        command(file, store.root)
    assert ended.value.exit_code == 1
    out = capsys.readouterr().out
    assert "data set bad: " in out
    assert "3.png" in out
    assert len(fits(store)) == 2 * (2 + 3)
    page = store.root / "compared" / "tiny" / "index.html"
    assert "Not everything is done" in page.read_text(encoding="utf-8")

    broken.write_bytes(whole)
    before = fits(store)
    command(file, store.root)
    assert before.items() <= fits(store).items()
    assert len(fits(store)) == 2 * (2 + 3 + 2), "only the broken data set was trained"
    rows = pd.read_csv(page.parent / "rows.csv")
    assert rows.groupby("data_set")["fits"].first().to_dict() == {"a": 2, "b": 3, "bad": 2}
    assert set(rows["model"]) == set(rows["head"]) == {"logistic", "knn"}
    assert rows["manifest_digest"].nunique() == 3
    assert set(rows["command"]) == {"harness suite tiny.yaml"}
    assert str(tmp_path) not in (page.parent / "rows.csv").read_text(encoding="utf-8")
    assert "Not everything is done" not in page.read_text(encoding="utf-8")

    before = fits(store)
    capsys.readouterr()
    reference = tmp_path / "rows.csv"
    rows.assign(model="older " + rows["model"], manifest_digest="x").to_csv(reference, index=False)
    command(file, store.root, only=["a,b"], reference=reference, out=tmp_path / "page")
    assert fits(store) == before, "nothing is trained again"
    out = capsys.readouterr().out
    assert "older knn" in out
    assert "other images" in out
    models = pd.read_csv(tmp_path / "page" / "models.csv")
    ends = [f"{name}{end}" for name in "ab" for end in ("", " SD", " low", " high")]
    assert models.columns.tolist() == ["model", "mean rank", *ends, *(["mark"] if "mark" in models else [])]
    assert set(models["model"]) == {"logistic", "knn"}, "earlier rows are not ranked"


def test_a_reference_without_its_columns_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    file, rows = tmp_path / "tiny.yaml", tmp_path / "rows.csv"
    file.write_text(SUITE)
    rows.write_text("model,mean\nx,1\n")
    with pytest.raises(StudyError, match="it has no column data_set; needed: data_set, model, metric, mean"):
        command(file, tmp_path / "store", reference=rows)
    with pytest.raises(StudyError, match="--data a: expected NAME=PATH"):
        command(file, tmp_path / "store", data=["a"])

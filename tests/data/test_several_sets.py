"""`data.test: {sets: ...}`: several test sets, picked from the study's images, drawn, or from a source of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.data.data_lines import data_lines
from harness.data.dataset import Dataset
from harness.data.patient_counts import class_counts
from harness.data.record import StudyRecord, write_record
from harness.errors import DataError, HarnessError, LeakageError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study, load_study
from harness.study.identity import search_id, study_id
from harness.study.plan import fold_jobs, stage_scenarios
from harness.study.plan import test_jobs as jobs_of_test
from tests.conftest import draw_images

STUDY = """\
study: sites
data:
  source: table
  path: cases.csv
  image_size: 32
  columns: {image: file, label: finding, patient: patient, split: split}
  metadata: [site, age]
  test: TEST
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 1, batch_size: 8}
stages: [{name: heads, grid: {head: [dropout-gap]}, select: {}}]
test: {stages: [heads]}
"""
SITES = ("A", "B", "C")


def cases(count: int = 36) -> pd.DataFrame:
    """Two images a patient, three sites in turn, the last twelve images of the split test."""
    numbers = pd.Series(range(count))
    table = pd.DataFrame({"file": [f"{n:02}.png" for n in numbers]})
    table["finding"] = numbers.floordiv(2).mod(2).map({0: "healthy", 1: "ill"})
    table["patient"] = numbers.floordiv(2).map("{:03}".format)
    table["split"] = ["train"] * (count - 12) + ["test"] * 12
    table["site"] = numbers.floordiv(4).mod(3).map(dict(enumerate(SITES)))
    return table.assign(age=numbers + 30)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Study]:
    """Writes the table and its images, and gives a study of them with this `data.test`."""
    draw_images(tmp_path, {f"{n:02}.png": n + 1 for n in range(36)})

    def study(test: str, table: pd.DataFrame | None = None) -> Study:
        (cases() if table is None else table).to_csv(tmp_path / "cases.csv", index=False)
        text = STUDY.replace("TEST", test) if test else STUDY.replace("  test: TEST\n", "")
        (tmp_path / "sites.yaml").write_text(text)
        return load_study(tmp_path / "sites.yaml")

    return study


def read(study: Study, store: Store) -> Dataset:
    return prepare(study, store).inputs.dataset


def images(dataset: Dataset, split: str) -> list[str]:
    return [name.removesuffix(".png") for name in dataset.table["image"].iloc[dataset.rows(split)]]


def write_folder(root: Path, first: int = 100) -> None:
    """Eight images of two classes, in class folders."""
    draw_images(
        root, {f"{label}/{n}.png": first + 10 * i + n for i, label in enumerate(("healthy", "ill")) for n in range(4)}
    )


def test_a_site_becomes_a_test_set_and_trains_nothing(write: Callable[..., Study], store: Store) -> None:
    dataset = read(write("{sets: {official: {split: test, site: [A, C]}, hospital-b: {site: B}}}"), store)
    site = cases().set_index("file")["site"]
    assert dataset.sets == ("official", "hospital-b")
    assert dataset.splits == ("train", "test", "test:hospital-b")
    assert {site[f"{name}.png"] for name in images(dataset, "test:hospital-b")} == {"B"}
    assert {site[f"{name}.png"] for name in images(dataset, "train")} == {"A", "C"}
    assert len(images(dataset, "test:hospital-b")) == 12
    assert len(images(dataset, "test")) == 8
    assert dataset.table["image"].is_unique
    alone = dataset.of_set("hospital-b")
    assert len(alone.table) == len(images(dataset, "train")) + 12
    assert images(alone, "test") == images(dataset, "test:hospital-b")
    assert images(alone, "train") == images(dataset, "train")


def test_no_fold_has_an_image_of_a_set(write: Callable[..., Study], store: Store) -> None:
    inputs = prepare(write("{sets: {official: {split: test, site: [A, C]}, hospital-b: {site: B}}}"), store).inputs
    train = set(inputs.dataset.rows("train").tolist())
    assert {row for fold in inputs.folds for side in (fold.train, fold.validation) for row in side.tolist()} == train


def test_one_named_set_is_what_the_test_split_is_without_a_name(write: Callable[..., Study], store: Store) -> None:
    plain, named = prepare(write(""), store), prepare(write("{sets: {official: {split: test}}}"), store)
    assert named.identity == plain.identity
    assert named.inputs.dataset.digest == plain.inputs.dataset.digest
    assert named.inputs.dataset.sets_digest is None


def test_a_further_set_changes_no_fit_of_a_fold(write: Callable[..., Study], store: Store, tmp_path: Path) -> None:
    write_folder(tmp_path / "other")
    plain = prepare(write(""), store)
    more = prepare(write("{sets: {official: {split: test}, other: {source: folder, path: other}}}"), store)
    ids = []
    for workspace in (plain, more):
        study, digests = workspace.study, workspace.inputs.digests
        scenario = stage_scenarios(study, study.stages[0], None, digests)[0]
        ids.append([[job.id for job in jobs(study, scenario, digests)] for jobs in (fold_jobs, jobs_of_test)])
    assert ids[0][0] == ids[1][0], "the fits of folds are those of the study without the set"
    assert ids[0][1] != ids[1][1], "the refit scores more images"
    assert plain.identity != more.identity
    searches = [search_id(each.study, each.inputs.digests) for each in (plain, more)]
    assert searches[0] == searches[1], "a search sees no test set"


def test_a_set_from_elsewhere_has_its_own_images_patients_and_metadata(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    draw_images(tmp_path / "b", {f"{n}.png": 200 + n for n in range(8)})
    other = pd.DataFrame({"scan": [f"{n}.png" for n in range(8)], "state": ["healthy", "ill"] * 4})
    other.assign(who=["000"] * 8, site=["D"] * 6 + ["E"] * 2).to_csv(tmp_path / "b" / "list.csv", index=False)
    spec = (
        "{source: table, path: b/list.csv, columns: {image: scan, label: state, patient: who}, metadata: [site],"
        " site: D, patient_scope: set}"
    )
    study = write(f"{{sets: {{official: {{split: test}}, hospital-d: {spec}}}}}")
    dataset = read(study, store)
    rows = dataset.table.iloc[dataset.rows("test:hospital-d")]
    assert rows["image"].tolist() == [f"hospital-d:{n}.png" for n in range(6)]
    assert set(rows["site"]) == {"D"}
    assert rows["age"].isna().all()
    assert set(rows["patient"]) == {"hospital-d:000"}
    assert dataset.file_of("hospital-d:3.png") == tmp_path / "b" / "3.png"
    assert [path.is_file() for path in dataset.files] == [True] * len(dataset.table)
    (line,) = [line for line in data_lines(study, dataset) if "hospital-d" in line]
    assert line == (
        "test set hospital-d (images of its own (source table), site D): 6 images of 1 patient (healthy 3, ill 3);"
        " shared with training: no patients and no files (checked)"
    )


def test_a_share_is_drawn_from_what_the_other_sets_leave(write: Callable[..., Study], store: Store) -> None:
    table = cases().assign(split="train")
    dataset = read(write("{sets: {internal: {share: 0.25, seed: 1}, hospital-b: {site: B}}}", table), store)
    site, patient = (table.set_index("file")[column] for column in ("site", "patient"))
    drawn = [f"{name}.png" for name in images(dataset, "test")]
    assert 4 <= len(drawn) <= 8
    assert "B" not in set(site[drawn])
    assert not set(patient[drawn]) & {patient[f"{name}.png"] for name in images(dataset, "train")}


def test_a_split_of_another_name_is_a_set_and_one_that_no_set_takes_is_counted(
    write: Callable[..., Study], store: Store
) -> None:
    table = cases()
    table.loc[24:29, "split"] = "external"
    study = write("{sets: {official: {split: [external]}}}", table)
    dataset = read(study, store)
    assert images(dataset, "test") == [str(n) for n in range(24, 30)]
    assert len(images(dataset, "train")) == 24
    assert any(line.startswith("not read: 6 images of test splits that no set takes (split test: 6)")
               for line in data_lines(study, dataset))  # fmt: skip


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("{sets: {}}", "name a set or more"),
        ("{share: 0.2, sets: {a: {site: B}}}", "a share is a set of its own"),
        ("{by: image}", "give share, or sets"),
        ("{sets: {a: {}}}", "a set is made in one way; write one of {split: test}, {site: B}"),
        ("{sets: {a: {share: 0.2, site: B}}}", "a set is made in one way"),
        ("{sets: {a: {ward: B}}}", "data.test.sets.a.ward: unknown column 'ward'"),
        ("{sets: {a: {site: [], split: test}}}", "a condition is a value or a list of values"),
        ("{sets: {a: {site: B, path: x}}}", "data.test.sets.a.path: this is for a set with `source`"),
        ("{sets: {a: {source: folder}}}", "data.test.sets.a.path: the source folder needs a path"),
        (
            "{sets: {a: {source: folder, path: x, pth: y}}}",
            "data.test.sets.a.pth: unknown key 'pth'; did you mean path",
        ),
        ("{sets: {a: {source: folder, path: x, splits: {a: test}}}}", "this is for `source: table`"),
        ("{sets: {a: {site: B}, A: {site: C}}}", "differ only by case"),
        ("{sets: {a b: {site: B}}}", "a name has 1 to 64 letters"),
    ],
)
def test_a_set_that_makes_no_sense_is_refused_with_its_field(
    write: Callable[..., Study], test: str, message: str
) -> None:
    with pytest.raises(StudyError) as told:
        write(test)
    assert message in str(told.value)
    assert "sites.yaml:8: data.test" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("{sets: {a: {split: test}, b: {site: B}}}", r"4 images are in the sets a and b, such as 28\.png"),
        ("{sets: {a: {site: D}}}", r"no image has the site 'D'; there are A, B, C"),
        ("{sets: {a: {site: A, age: 34}}}", "no image meets all of its conditions"),
        ("{sets: {a: {split: val}}}", r"no image has the split 'val'; there are test, train"),
        ("{sets: {a: {source: folder, path: none}}}", r"data\.test\.sets\.a\.path: the set a: .*none is not a folder"),
        ("{sets: {a: {source: folder, path: other}}}", "the set a has classes that training lacks: sick"),
    ],
)
def test_a_set_that_does_not_fit_the_images_is_refused_in_one_line(
    write: Callable[..., Study], store: Store, tmp_path: Path, test: str, message: str
) -> None:
    draw_images(tmp_path / "other", {f"{label}/{n}.png": 90 + n for n in range(2) for label in ("healthy", "sick")})
    with pytest.raises(HarnessError, match=message):
        read(write(test), store)


OTHER = "{sets: {official: {split: test}, other: {source: folder, path: other}}}"


def test_the_same_file_in_training_and_in_a_set_from_elsewhere_is_a_leak(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    write_folder(tmp_path / "other")
    (tmp_path / "other" / "ill" / "0.png").write_bytes((tmp_path / "02.png").read_bytes())
    with pytest.raises(LeakageError, match=r"1 identical file is in training and in the set other, such as 02\.png"):
        read(write(OTHER), store)


def test_an_image_that_is_saved_again_in_a_set_from_elsewhere_is_a_leak(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    draw_images(tmp_path / "other", {f"{label}/{n}.png": 150 + n for n in range(4) for label in ("healthy",)})
    draw_images(tmp_path / "other", {f"ill/{n}.png": 170 + n for n in range(4)})
    pixels = np.asarray(Image.open(tmp_path / "02.png"))
    Image.fromarray(np.clip(pixels.astype(int) + 1, 0, 255).astype(np.uint8)).save(tmp_path / "other" / "ill" / "0.png")
    audit = prepare(write(OTHER), store).audit
    (found,) = audit.named("near-duplicate-across-splits")
    assert found.facts["first"] == [["02.png", "other:ill/0.png"]]


def test_a_patient_in_two_sets_is_a_leak_and_other_people_of_the_same_number_are_not(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    draw_images(tmp_path / "b", {f"{n}.png": 200 + n for n in range(4)})
    other = pd.DataFrame({"file": [f"{n}.png" for n in range(4)], "finding": ["healthy", "ill"] * 2})
    other.assign(patient=["013", "013", "900", "900"]).to_csv(tmp_path / "b" / "cases.csv", index=False)
    spec = "{sets: {official: {split: test}, b: {source: table, path: b/cases.csvMORE}}}"
    with pytest.raises(LeakageError, match=r"1 patient is in the set official and in the set b, .*patient_scope: set"):
        read(write(spec.replace("MORE", "")), store)
    assert len(images(read(write(spec.replace("MORE", ", patient_scope: set")), store), "test:b")) == 4


def test_the_record_gives_the_sets_again_without_their_images(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    write_folder(tmp_path / "other")
    workspace = prepare(write(OTHER), store)
    record: StudyRecord = write_record(workspace)
    stored = record.workspace(store)
    before, again = workspace.inputs.dataset, stored.inputs.dataset
    pd.testing.assert_frame_equal(again.table, before.table)
    assert (again.sets, again.set_roots, again.metadata) == (before.sets, before.set_roots, before.metadata)
    assert stored.identity == workspace.identity == study_id(record.study, record.digests)
    counts = {f.facts["split"]: f.facts["patients"] for f in workspace.audit.named("counts")}
    assert counts == {"train": 6, "test": 3, "test:other": None}, "nothing says who the patients elsewhere are"
    shown = class_counts(before).set_index(["split", "label"])["patients"]
    assert shown["train", "ill"] == 6
    assert shown["test:other", "ill"] == "unknown"


def test_bad_images_of_a_set_are_left_out_and_counted_where_the_study_says_so(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    write_folder(tmp_path / "other")
    (tmp_path / "other" / "ill" / "3.png").write_bytes(b"no image")
    study = write(OTHER)
    dataset = read(study.model_copy(update={"data": study.data.model_copy(update={"on_bad_image": "skip"})}), store)
    assert dataset.skipped is not None
    assert list(dataset.skipped.reasons) == ["other:ill/3.png"]
    with pytest.raises(DataError, match=r"ill/3\.png"):
        prepare(study, store).audit  # noqa: B018


def test_an_npz_file_is_a_test_set_with_all_its_splits(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    arrays: dict[str, Any] = {}
    for number, part in enumerate(("train", "val", "test")):
        rng = np.random.default_rng(number)
        arrays[f"{part}_images"] = rng.integers(0, 255, (4, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array([[0], [1], [0], [1]])
    np.savez(tmp_path / "mini.npz", **arrays)
    spec = "source: npz, path: mini.npz, labels: {'0': healthy, '1': ill}"
    everything = read(write(f"{{sets: {{official: {{split: test}}, mini: {{{spec}}}}}}}"), store)
    assert len(everything.rows("test:mini")) == 12
    tested = read(write(f"{{sets: {{official: {{split: test}}, mini: {{{spec}, split: test}}}}}}"), store)
    assert [name.partition("/")[0] for name in images(tested, "test:mini")] == ["mini:test"] * 4


def test_where_patients_are_numbered_in_each_class_those_from_elsewhere_are_too(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    draw_images(tmp_path / "b", {f"{n}.png": 200 + n for n in range(4)})
    other = pd.DataFrame({"file": [f"{n}.png" for n in range(4)], "finding": ["healthy", "ill"] * 2})
    other.assign(patient="900").to_csv(tmp_path / "b" / "cases.csv", index=False)
    study = write("{sets: {official: {split: test}, b: {source: table, path: b/cases.csv}}}")
    scoped = study.data.model_copy(update={"patient_scope": "class"})
    dataset = read(study.model_copy(update={"data": scoped}), store)
    assert set(dataset.table.iloc[dataset.rows("test:b")]["patient"]) == {"healthy/900", "ill/900"}


def test_a_set_from_elsewhere_may_lead_and_every_set_has_whole_patients_under_a_limit(
    write: Callable[..., Study], store: Store, tmp_path: Path
) -> None:
    write_folder(tmp_path / "other" / "test")
    study = write("{sets: {other: {source: folder, path: other/test}, hospital-b: {split: test, site: B}}}")
    dataset = read(study, store)
    assert images(dataset, "test")[0] == "other:healthy/0"
    assert dataset.of_set("other").digest != dataset.of_set("hospital-b").digest
    limited = read(study.model_copy(update={"data": study.data.model_copy(update={"limit": 8})}), store)
    counts = {split: len(limited.rows(split)) for split in limited.splits}
    assert counts == {"train": 8, "test": 8, "test:hospital-b": 4}
    taken = limited.table[limited.table["split"] == "train"]
    assert (taken.groupby("patient").size() == 2).all()

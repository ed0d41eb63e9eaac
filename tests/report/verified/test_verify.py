"""A store is verified: what was changed is found, what cannot be known is said, and no file is passed over."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.data.record import StudyRecord, records
from harness.prepare import prepare
from harness.report.registered import registration_content
from harness.report.verified.study_inputs import _patients
from harness.report.verified.verified_item import VerifiedItem
from harness.report.verified.verify import Verification
from harness.report.write import write_report
from harness.store import Store
from harness.store.looks import Look
from harness.store.registrations import FILE, PAGE, write_registration
from harness.store.seals import FILE_SEAL, SEAL, seal
from tests.conftest import Finished


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Store:
    """A copy of the small study's whole store."""
    return finished.copy_to(tmp_path / "copied")


def record_of(store: Store) -> StudyRecord:
    (record,) = records(store)
    return record


def not_holding(items: Iterable[VerifiedItem]) -> dict[str, str]:
    """What differs or cannot be checked, and why; without the looks that this machine knows, which a test has not."""
    found: dict[str, str] = {}
    for item in items:
        if item.verdict in ("differs", "cannot be checked") and item.what != "the ledger of this machine":
            found[item.what] = f"{found[item.what]}; {item.words}" if item.what in found else item.words
    return found


def of_fits(store: Store) -> dict[str, str]:
    """What does not hold of the studies and fits of a store; its reports are not written again."""
    verification = Verification(store)
    return not_holding([*verification.whole(), *verification.records(), *verification.fits()])


@pytest.mark.figures
def test_a_finished_store_holds_and_every_file_that_is_not_covered_is_named(finished: Finished, copied: Store) -> None:
    workspace = prepare(finished.study, copied)
    write_report(workspace, workspace.reader.read(provisional=True))  # a test without figures may have written it last
    items = list(Verification(copied).items())
    assert not_holding(items) == {}
    assert {item.what for item in items if item.verdict == "not covered"} >= {"artifacts/", "cache/", "mlflow.db"}
    assert sum(item.what == f"jobs/{path.name}" for path in copied.jobs.iterdir() for item in items) == 14
    assert any("numbers follow from the results" in item.words and "statistics.json" in item.what for item in items)
    (folds,) = (item.words for item in items if "on both sides of any fold" in item.words)
    assert "grouped by patient: 0 of" in folds
    assert any("72 images in" in item.words and item.verdict == "holds" for item in items)


def flip(path: Path, share: float) -> None:
    """Flips a bit of the byte at this share of a file."""
    content = bytearray(path.read_bytes() or b"\0")
    content[int(share * (len(content) - 1))] ^= 4
    path.write_bytes(content)


def named(path: Path, store: Store) -> str:
    """What an item about this file names: of the seal of a single file, that file."""
    return path.relative_to(store.root).as_posix().removesuffix(FILE_SEAL)


def covered(store: Store) -> tuple[list[Path], list[Path]]:
    """The files that are not named as not covered: the seals, and all others."""
    verification = Verification(store)
    assert not_holding(verification.whole()) == {}
    left = {item.what.rstrip("/") for item in verification.uncovered()}
    files = [
        path for path in store.root.rglob("*") if path.is_file() and path.relative_to(store.root).parts[0] not in left
    ]
    return [path for path in files if path.name == SEAL], [path for path in files if path.name != SEAL]


def in_ledger(path: Path, store: Store) -> bool:
    """Whether a file belongs to the chain of looks, which is broken as a whole."""
    return path.is_relative_to(store.root / "looks") or path == store.root / "store.json"


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_flipped_byte_of_any_file_is_found_or_the_file_is_named_as_not_covered(copied: Store, share: float) -> None:
    seals, files = covered(copied)
    files = [path for path in files if not in_ledger(path, copied)]
    assert len(seals) == 9 and len(files) > 100
    for path in files:
        flip(path, share)
    found = not_holding(Verification(copied).whole())
    assert {named(path, copied) for path in files} <= found.keys()


def test_a_flipped_byte_of_the_ledger_of_looks_is_found(copied: Store) -> None:
    files = [path for path in covered(copied)[1] if in_ledger(path, copied)]
    assert {path.name for path in files} >= {"store.json", "head.json", "test-images.json"}
    for path in files:
        content = path.read_bytes()
        for share in (0, 0.3, 0.7, 1):
            flip(path, share)
            assert not_holding(Verification(copied).whole()), (path, share)
            path.write_bytes(content)


def test_a_flipped_byte_of_a_registration_is_found_and_only_there(finished: Finished, copied: Store) -> None:
    folder = write_registration(copied, registration_content(prepare(finished.study, copied), "")).folder
    files = [path for path in covered(copied)[1] if path.is_relative_to(folder)]
    assert {path.name for path in files} == {FILE, PAGE}
    for path in files:
        content = path.read_bytes()
        for share in (0, 0.3, 0.7, 1):
            flip(path, share)
            differing = [item for item in Verification(copied).whole() if item.verdict == "differs"]
            assert {item.part for item in differing} == {"registrations"}, (path, share)
            path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.long
def test_a_flipped_byte_of_one_file_alone_is_found_and_only_there(copied: Store) -> None:
    for path in [path for files in covered(copied) for path in files]:
        content = path.read_bytes()
        for share in (0, 0.3, 0.7, 1):
            flip(path, share)
            items = [item for item in Verification(copied).whole() if item.verdict == "differs"]
            place = named(path.parent, copied)
            assert items and all(item.part == "looks" or item.what.startswith(place) for item in items), (path, share)
            path.write_bytes(content)
    assert not_holding(Verification(copied).whole()) == {}


def test_a_flipped_seal_is_found(copied: Store) -> None:
    seals, _ = covered(copied)
    for path in seals:
        flip(path, 0.2)
    found = not_holding(Verification(copied).whole())
    folders = {path.parent.relative_to(copied.root).as_posix() for path in seals}
    assert {name.rpartition("/")[0] for name in found} >= folders


def test_a_result_that_was_forged_and_sealed_again_does_not_follow_from_its_predictions(copied: Store) -> None:
    job = next(path for path in sorted(copied.jobs.iterdir()) if not (path / "model.safetensors").exists())
    result = json.loads((job / "result.json").read_text())
    result["metrics"]["val/accuracy"] += 0.125
    (job / "result.json").write_text(json.dumps(result))
    seal(job)
    found = of_fits(copied)
    assert list(found) == [f"jobs/{job.name}"]
    assert f"result.json, val/accuracy: {result['metrics']['val/accuracy']} is stored" in found[f"jobs/{job.name}"]


def other_probability(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[0, ["prob_NORMAL", "prob_PNEUMONIA"]] = [0.125, 0.875]
    return frame


def other_image(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(image=frame["image"].iloc[::-1].to_numpy())


def other_class(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(label=frame["label"].iloc[::-1].to_numpy())


def no_probability(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(prob_NORMAL=0.9)


@pytest.mark.parametrize("forge", [other_probability, other_image, other_class, no_probability])
def test_predictions_that_were_forged_and_sealed_again_are_found(
    copied: Store, forge: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    job = sorted(copied.jobs.iterdir())[0]
    forge(pd.read_parquet(job / "predictions.parquet")).to_parquet(job / "predictions.parquet", index=False)
    seal(job)
    assert list(of_fits(copied)) == [f"jobs/{job.name}"]


def test_what_has_no_seal_cannot_be_checked_and_is_still_computed_again(copied: Store) -> None:
    for path in copied.root.rglob(SEAL):
        path.unlink()
    verification = Verification(copied)
    items = [*verification.whole(), *verification.records(), *verification.fits()]
    old = [item for item in items if item.verdict == "cannot be checked" and item.part != "looks"]
    assert len(old) == 9 and {item.words for item in old} == {"made before results were sealed"}
    assert sum("follow from the predictions" in item.words for item in items) == 7
    flip(next(copied.jobs.glob("*/predictions.parquet")), 1)
    assert [words for words in of_fits(copied).values() if "cannot be read" in words]


def rewritten(record: StudyRecord, name: str, old: str, new: str) -> None:
    """Replaces the first of these words in a file of the record, and seals the record again."""
    text = (record.folder / name).read_text()
    assert old in text
    (record.folder / name).write_text(text.replace(old, new, 1))
    seal(record.folder)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("study.yaml", "seed: 0", "seed: 1", "by its content, the study's id is"),
        ("record.json", '"PNEUMONIA"', '"PNEUMONIB"', "is recorded"),
        ("folds.json", '"shared_images": 0', '"shared_images": 1', "shared_images: 1 is stored, 0 is"),
        ("folds.json", '"validation_counts": {', '"validation_counts": {"X": 1,', "validation_counts.X"),
    ],
)
def test_a_record_that_was_forged_and_sealed_again_contradicts_itself(
    copied: Store, name: str, old: str, new: str, words: str
) -> None:
    rewritten(record_of(copied), name, old, new)
    assert words in "; ".join(of_fits(copied).values())


def test_folds_with_an_image_on_both_sides_are_found(copied: Store) -> None:
    record = record_of(copied)
    folds = json.loads((record.folder / "folds.json").read_text())
    folds["folds"][0]["train"][0] = folds["folds"][0]["validation"][0]
    (record.folder / "folds.json").write_text(json.dumps(folds))
    seal(record.folder)
    found = of_fits(copied)
    assert "1 image is in training and validation of repeat 0, fold 0" in "; ".join(found.values())


def test_another_patient_in_the_manifest_is_found(copied: Store) -> None:
    record = record_of(copied)
    table = pd.read_parquet(record.folder / "manifest.parquet")
    table.loc[0, "patient"] = "somebody"
    table.to_parquet(record.folder / "manifest.parquet", index=False)
    seal(record.folder)
    words = "; ".join(of_fits(copied).values())
    assert "the rule phantom gives another patient for 1 of " in words and "its digest is" in words


def test_patients_that_are_numbered_in_each_class_are_read_again_as_such() -> None:
    images = [f"train/{label}/7_{n}.png" for label in "AB" for n in range(2)]
    table = pd.DataFrame({"image": images, "label": list("AABB"), "patient": ["A/7", "A/7", "B/7", "B/7"]})
    dataset, rule = Dataset(Path(), table, ("A", "B"), None, synthetic=False), r"^(?P<patient>[0-9]+)_"
    assert _patients(dataset, rule, "class")[0] == "holds"
    assert _patients(dataset, rule, "dataset") == (
        "differs",
        f"the rule {rule} gives another patient for 4 of {len(dataset.table)} images",
    )


def test_images_are_compared_with_the_manifest_where_they_are_given(copied: Store, tmp_path: Path) -> None:
    (root,) = copied.data.iterdir()
    images = root.rename(tmp_path / "images")
    (item,) = (item for item in Verification(copied).records() if item.part == "images")
    assert (item.verdict, item.words) == (
        "cannot be checked", "the hashes of 72 images: give their folder with --data",
    )  # fmt: skip

    def compared(folder: Path) -> list[tuple[str, str]]:
        return [(i.verdict, i.words) for i in Verification(copied, folder).records() if i.part == "images"]

    assert compared(images) == [("holds", f"72 images in {images} have the hashes of the manifest")]
    first, second, *_ = sorted(path for path in images.rglob("*.png"))
    flip(first, 0.5)
    second.unlink()
    (changed, lost) = compared(images)
    assert changed[0] == lost[0] == "differs"
    assert first.name in changed[1] and second.name in lost[1]
    assert compared(tmp_path) == [("cannot be checked", f"none of its 72 images is in {tmp_path}")]


def test_numbers_of_a_report_that_were_forged_and_sealed_again_are_named(copied: Store) -> None:
    folder = copied.reports / "small"
    statistics = json.loads((folder / "statistics.json").read_text())
    estimate = statistics["estimates"][3]
    stored, estimate["value"] = estimate["value"], 0.123
    (folder / "statistics.json").write_text(json.dumps(statistics))
    forged = {
        "leaderboard-heads.csv": "0.", "leaderboard-heads.tex": "0.", "report.md": "Summary", "checklist.csv": "0.",
        "index.html": "Summary",
    }  # fmt: skip
    for name, old in forged.items():
        text = (folder / name).read_text()
        place = text.index(old)
        (folder / name).write_text(text[:place] + "9" + text[place + 1 :])
    seal(folder)
    found = not_holding(Verification(copied).items())
    assert {f"reports/small/{name}" for name in ("statistics.json", *forged)} <= found.keys()
    assert f"value: 0.123 is stored, {stored} is what follows" in found["reports/small/statistics.json"]
    assert (
        f"[3, {estimate['subject']}, {estimate['on']}, {estimate['metric']}" in found["reports/small/statistics.json"]
    )


@pytest.mark.slow
def test_a_report_of_other_code_is_compared_by_its_numbers(copied: Store) -> None:
    folder = copied.reports / "small"
    written = json.loads((folder / "written.json").read_text())
    (folder / "written.json").write_text(json.dumps(written | {"code": "another", "harness": "0.0"}))
    (folder / "report.md").write_text((folder / "report.md").read_text().replace("Summary", "Abstract", 1))
    seal(folder)
    items = {item.what: item for item in Verification(copied).items()}
    report = items["reports/small/report.md"]
    assert (report.verdict, "written by other code" in report.words) == ("cannot be checked", True)
    assert items["reports/small/statistics.json"].verdict == "holds"


def test_a_report_without_a_record_or_with_changed_results_is_not_computed_again(copied: Store) -> None:
    flip(next(copied.jobs.glob("*/result.json")), 0.5)
    found = not_holding(Verification(copied).items())
    assert found["reports/small"].startswith(("not computed again", "the store has no record"))
    shutil.rmtree(copied.studies)
    assert "has no record of study" in not_holding(Verification(copied).items())["reports/small"]


@pytest.mark.slow
def test_numbers_of_another_version_are_not_held_against_those_of_this_one(copied: Store) -> None:
    path = copied.reports / "small" / "statistics.json"
    path.write_text(path.read_text().replace('"schema_version": 5', '"schema_version": 4'))
    found = not_holding(Verification(copied).items())
    assert found["reports/small"].startswith("its numbers are those of version 4 of statistics.json, here of 5")


def test_looks_after_the_report_are_no_difference_and_fits_after_it_are_said(copied: Store) -> None:
    workspace = record_of(copied).workspace(copied)
    workspace.ledger.looks.record(workspace.inputs.dataset, Look("other", "key", None, 1e10))
    items = list(Verification(copied).items())
    differ = [item.what for item in items if item.verdict == "differs" and not item.what.endswith((".png", ".svg"))]
    assert differ == [], "figures are blank in tests"
    assert not_holding(items)["reports/small"].startswith("1 later entries in the ledger of looks")
    last = workspace.reader.read().scenarios[-1].jobs[-1]
    shutil.rmtree(copied.jobs / last.id)
    words = not_holding(Verification(copied).items())["reports/small"]
    assert words.startswith("fits or commands were added or removed since it was written")

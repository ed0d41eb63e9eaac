import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness.data.audit import ERRORS, Audit, audit_study, require_clean
from harness.data.checks import sample_patients
from harness.data.finding import AuditFinding
from harness.data.manifest import read_dataset
from harness.data.patient_counts import PATIENTS_UNKNOWN
from harness.errors import DataError, HarnessError, LeakageError, StudyError
from harness.prepare import prepare
from harness.store import Store
from harness.study import load_study
from harness.study.data_block import Data
from tests.conftest import PATIENT, draw_image, draw_images
from tests.data.test_manifest import each_published_count

STUDY = """\
study: audited
data: {{source: folder, path: {path}, image_size: 32, patient: '{patient}'}}
folds: {{k: {k}}}
base: {{backbone: test_resnet, weights: none}}
stages: [{{name: one}}]
"""


def audit(
    tmp_path: Path, images: Path, patient: str = PATIENT, k: int = 2, accepted: str = "", more: str = ""
) -> Audit:
    file = tmp_path / "study.yaml"
    accept = f"audit: {{accept: [{accepted}]}}\n" if accepted else ""
    file.write_text(STUDY.format(path=images, patient=patient, k=k) + more + accept)
    study, store = load_study(file), Store(tmp_path / "store")
    inputs = prepare(study, store, accepted=ERRORS).inputs
    return audit_study(study, inputs.dataset, inputs.folds, store)


def one(found: Audit, name: str, **facts: Any) -> AuditFinding:
    """The only finding of this name with these facts."""
    (finding,) = [f for f in found.named(name) if all(f.facts[key] == value for key, value in facts.items())]
    return finding


@pytest.fixture(scope="module")
def real(xrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    more = "audit: {patients: ['(?P<patient>person\\d+)_']}\n"
    return audit(tmp_path_factory.mktemp("real"), xrays, patient="kermany", k=3, more=more)


@each_published_count
def test_the_counts_of_the_real_data(
    real: Audit, split: str, label: str, images: int, patients: int, most: int, alone: int
) -> None:
    facts = next(f.facts for f in real.named("counts") if (f.facts["split"], f.facts["class"]) == (split, label))
    assert (facts["images"], facts["patients"]) == (images, patients)
    assert (facts["most_images_of_a_patient"], facts["patients_with_one_image"]) == (most, alone)


def test_the_duplicates_of_the_real_data(real: Audit) -> None:
    facts = one(real, "duplicates").facts
    assert (facts["groups"], facts["images"], facts["redundant"]) == (30, 62, 32)
    assert facts["within"] == {"train": 24, "test": 6}
    assert facts["across"] == {"splits": 0, "classes": 0, "patients": 1}
    pair = ["test/NORMAL/NORMAL2-IM-0095-0001.jpeg", "test/NORMAL/NORMAL2-IM-0096-0001.jpeg"]
    assert one(real, "duplicate-across-patients").facts["first"] == [pair]
    assert one(real, "near-duplicates").facts["groups"] == 0


def test_the_patients_of_the_real_data_by_the_right_key_and_by_the_naive_one(real: Audit) -> None:
    assert one(real, "patient-across-splits").facts["shared"] == 0
    naive = one(real, "patient-rule")
    assert (naive.severity, naive.facts["shared"]) == ("warning", 170)
    assert naive.facts["by_class"] == {"PNEUMONIA": 320}


def test_the_shift_of_the_real_data_is_within_the_normals(real: Audit) -> None:
    normal, pneumonia = one(real, "shift", **{"class": "NORMAL"}), one(real, "shift", **{"class": "PNEUMONIA"})
    assert (normal.severity, pneumonia.severity) == ("warning", "note")
    assert normal.facts["auc"] == pytest.approx(0.91, abs=0.02)
    assert pneumonia.facts["auc"] == pytest.approx(0.63, abs=0.02)
    assert normal.facts["control"] == pytest.approx(0.52, abs=0.04)
    prior = one(real, "prior", **{"class": "NORMAL"})
    assert (prior.severity, f"{prior.facts['train']:.1%}", f"{prior.facts['test']:.1%}") == (
        "warning",
        "25.7%",
        "37.5%",
    )


def test_what_would_leak_on_the_real_data(real: Audit) -> None:
    assert one(real, "patient-across-folds").facts["share"] == 0
    plain = one(real, "ungrouped-would-leak").facts
    assert plain["share"] == pytest.approx(0.37, abs=0.015)
    assert plain["by_class"] == pytest.approx({"PNEUMONIA": 0.46, "NORMAL": 0.13}, abs=0.015)
    assert one(real, "oversampling-would-leak").facts["by_class"]["NORMAL"] == pytest.approx(0.84, abs=0.01)


def test_the_real_data_stop_no_run(real: Audit) -> None:
    require_clean(real)


@pytest.mark.parametrize(
    ("planted", "name"),
    [
        ({"test/A/trA0-7.png": 901}, "patient-across-splits"),
        ({"test/A/teA9-0.png": 0}, "duplicate-across-splits"),
        ({"train/B/trA0-9.png": 0}, "label-conflict"),
    ],
)
def test_a_planted_leak_is_an_error_until_it_is_accepted_by_name(
    tmp_path: Path, image_folder: Path, planted: Mapping[str, int], name: str
) -> None:
    draw_images(image_folder, {path: seed for path, seed in planted.items() if seed > 900})
    for path, seed in planted.items():
        if seed == 0:  # a copy of the first image
            (image_folder / path).write_bytes((image_folder / "train/A/trA0-0.png").read_bytes())
    found = audit(tmp_path, image_folder)
    assert [f.name for f in found.blocking] == [name]
    with pytest.raises(LeakageError, match=rf"{name}: .*audit: {{accept: \[{name}\]}}"):
        require_clean(found)
    require_clean(audit(tmp_path, image_folder, accepted=name))


def test_a_clean_folder_stops_no_run_and_the_audit_is_kept(tmp_path: Path, image_folder: Path) -> None:
    first = audit(tmp_path, image_folder)
    assert not first.blocking
    (kept,) = (tmp_path / "store" / "cache" / "audit").iterdir()
    kept.write_text(kept.read_text().replace(first.manifest, "from the store"))
    assert audit(tmp_path, image_folder).manifest == "from the store"
    assert json.loads(first.to_json())["findings"]


def test_a_recompressed_copy_across_the_splits_is_a_near_duplicate(tmp_path: Path, image_folder: Path) -> None:
    rng = np.random.default_rng(7)
    smooth = np.kron(rng.integers(0, 255, (8, 8)), np.ones((16, 16))).astype(np.uint8)
    Image.fromarray(smooth).resize((128, 128)).save(image_folder / "train/A/trX1-0.png")
    Image.fromarray(smooth).save(image_folder / "test/A/teX2-0.jpg", quality=80)
    assert [f.name for f in audit(tmp_path, image_folder).blocking] == ["near-duplicate-across-splits"]


@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("mirrored", ImageOps.mirror),
        ("turned by 90 degrees", lambda image: image.rotate(90)),
        ("mirrored top to bottom and inverted", lambda image: ImageOps.invert(ImageOps.flip(image))),
    ],
)
def test_a_copy_across_the_splits_is_a_near_duplicate_however_it_is_turned(
    tmp_path: Path, image_folder: Path, way: str, change: Callable[[Image.Image], Image.Image]
) -> None:
    smooth = Image.fromarray(np.random.default_rng(7).integers(0, 255, (8, 8), dtype=np.uint8)).resize((128, 128))
    smooth.save(image_folder / "train/A/trX1-0.png")
    change(smooth).save(image_folder / "test/A/teX2-0.jpg", quality=80)
    found = audit(tmp_path, image_folder)
    (blocking,) = found.blocking
    assert blocking.name == "near-duplicate-across-splits"
    assert blocking.text.endswith(f"such as train/A/trX1-0.png = test/A/teX2-0.jpg, {way}")
    assert blocking.facts["ways"] == [way]
    near = one(found, "near-duplicates")
    assert (near.text, near.facts["ways"]) == (f"1 group of nearly identical images (2 images, 1 {way})", {way: 1})


@pytest.mark.parametrize(("patients", "torn"), [(range(6), True), ([0] * 6, False)])
def test_mirrored_copies_in_training_are_counted_where_the_folds_tear_them_apart(
    tmp_path: Path, image_folder: Path, patients: Sequence[int], torn: bool
) -> None:
    smooth = Image.fromarray(np.random.default_rng(7).integers(0, 255, (8, 8), dtype=np.uint8)).resize((128, 128))
    for number, patient in enumerate(patients):
        copy = ImageOps.mirror(smooth) if number % 2 else smooth
        copy.save(image_folder / f"train/A/trX{patient}-{number}.jpg", quality=75 + number)
    found = audit(tmp_path, image_folder)
    assert not found.blocking
    assert one(found, "near-duplicates").facts["ways"] == {"mirrored": 1}
    facts = [finding.facts for finding in found.named("near-duplicate-across-folds")]
    assert facts == ([{"count": 6, "of": 26}] if torn else [])


def test_a_rule_that_fits_few_images_is_looked_through_all_the_same(tmp_path: Path, image_folder: Path) -> None:
    draw_image(image_folder / "test/A/trA0x-0.png", 902)
    found = audit(tmp_path, image_folder, more="audit: {patients: ['(?P<patient>trA0)']}\n")
    rule = one(found, "patient-rule")
    assert (rule.facts["shared"], rule.facts["unmatched"]) == (1, 26)
    assert rule.text.endswith("it does not match 26 of 29 images")
    assert not found.blocking


def test_a_further_rule_that_fits_no_image_checks_nothing_and_says_so(tmp_path: Path, image_folder: Path) -> None:
    rule = one(audit(tmp_path, image_folder, more="audit: {patients: ['A/(?P<patient>tr)']}\n"), "patient-rule")
    assert (rule.severity, rule.text) == ("warning", "the rule A/(?P<patient>tr) matches no image: it checks nothing")


def test_a_further_rule_that_is_none_is_refused_at_its_place(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(DataError, match=r"study\.yaml:6: audit\.patients\[1\]: 'kermani' names no rule"):
        audit(tmp_path, image_folder, more="audit: {patients: [phantom, kermani]}\n")


def test_a_few_validation_images_are_too_few(tmp_path: Path, image_folder: Path) -> None:
    assert {f.facts["class"] for f in audit(tmp_path, image_folder).named("small-validation")} == {"A", "B"}


def test_a_name_that_is_no_error_cannot_be_accepted(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(StudyError, match=r"audit\.accept\[0\]: shift is given; allowed: patient-across-splits"):
        audit(tmp_path, image_folder, accepted="shift")


def test_a_random_re_split_of_the_real_data_has_no_gap(real: Audit) -> None:
    facts = one(real, "resplit").facts
    assert facts["validation"] - facts["test"] > 0.05
    assert abs(facts["resplit_validation"] - facts["resplit_test"]) < 0.02


def test_of_a_large_dataset_whole_patients_are_drawn_up_to_the_limit(image_folder: Path) -> None:
    dataset = read_dataset(image_folder, Data(source="folder", patient=PATIENT))
    everything, some = sample_patients(dataset, 100), sample_patients(dataset, 8)
    assert everything.tolist() == list(range(28))
    assert 0 < np.isin(some, dataset.rows("train")).sum() <= 8
    assert np.isin(some, dataset.rows("test")).sum() == 8
    others = np.setdiff1d(everything, some)
    assert not set(dataset.groups[some]) & set(dataset.groups[others])


def test_without_a_rule_the_audit_says_nothing_of_patients_but_that_they_are_unknown(
    tmp_path: Path, image_folder: Path
) -> None:
    (image_folder / "train/A/trA0-1.png").write_bytes((image_folder / "train/A/trA0-0.png").read_bytes())
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(path=image_folder, patient=PATIENT, k=2).replace(f", patient: '{PATIENT}'", ""))
    study, store = load_study(file), Store(tmp_path / "store")
    inputs = prepare(study, store).inputs
    found = audit_study(study, inputs.dataset, inputs.folds, store)
    unknown = one(found, "patients-unknown")
    assert unknown.severity == "warning"
    assert unknown.text.startswith(PATIENTS_UNKNOWN)
    names = {f.name for f in found.findings}
    of_patients = {"patient-across-splits", "patient-across-folds", "ungrouped-would-leak", "duplicate-across-patients"}
    assert not names & of_patients
    assert all(f.facts["patients"] is None and "patients unknown" in f.text for f in found.named("counts"))


def test_a_rule_that_finds_no_patient_with_two_images_is_a_warning(tmp_path: Path, image_folder: Path) -> None:
    assert one(audit(tmp_path, image_folder, patient="(?P<patient>.+)"), "patients-alone").severity == "warning"
    assert not audit(tmp_path, image_folder).named("patients-alone")


def test_a_rule_that_finds_one_patient_for_a_class_is_a_warning_and_folds_cannot_be_made(
    tmp_path: Path, image_folder: Path
) -> None:
    for image in [*image_folder.glob("*/B/*")]:
        image.rename(image.with_name(f"all{image.parents[1].name}-{image.stem}-0.png"))
    rule, ungrouped = r"^(?P<patient>all\w+|\w+-)", "audit: {accept: [patient-across-splits]}\n"
    with pytest.raises(
        HarnessError, match=r"2 patients of each class; B has 1 in its 8 images, such as alltrain: check"
    ):
        audit(tmp_path, image_folder, patient=rule, more=ungrouped)
    file = tmp_path / "study.yaml"
    study = load_study(file, ["folds.grouped=false"])
    inputs = prepare(study, Store(tmp_path / "store"), accepted=ERRORS).inputs
    found = audit_study(study, inputs.dataset, inputs.folds, Store(tmp_path / "store")).named("patient-of-a-class")
    assert [finding.severity for finding in found] == ["warning", "warning"]
    assert found[0].text.startswith(
        "the rule finds one patient for a whole class of training images: alltrain in all 8 of"
    )


def test_folds_that_are_not_grouped_are_not_said_to_keep_identical_files_together(
    tmp_path: Path, image_folder: Path
) -> None:
    (image_folder / "train/A/trA0-1.png").write_bytes((image_folder / "train/A/trA0-0.png").read_bytes())
    assert one(audit(tmp_path, image_folder), "duplicates").text.endswith("folds keep them together")
    file = tmp_path / "study.yaml"
    file.write_text(file.read_text().replace("{k: 2}", "{k: 2, grouped: false}"))
    study, store = load_study(file), Store(tmp_path / "other")
    inputs = prepare(study, store).inputs
    found = audit_study(study, inputs.dataset, inputs.folds, store)
    assert one(found, "duplicates").text.endswith("folds may split them")


TABLE = """\
study: audited
data:
  source: table
  path: {path}
  image_size: 32
  columns: {{image: image, label: label, patient: who, split: split}}
folds: {{k: {k}}}
base: {{backbone: test_resnet, weights: none}}
stages: [{{name: one}}]
"""


def audit_of_a_table(tmp_path: Path, images: Path, patients: Callable[[str], str], k: int = 2) -> Audit:
    rows = [path.relative_to(images).as_posix() for path in sorted(images.glob("*/*/*.png"))]
    lines = [f"{image},{image.split('/')[1]},{patients(image)},{image.split('/')[0]}" for image in rows]
    (images / "cases.csv").write_text("\n".join(["image,label,who,split", *lines]))
    file = tmp_path / "study.yaml"
    file.write_text(TABLE.format(path=images / "cases.csv", k=k))
    study, store = load_study(file), Store(tmp_path / "store")
    inputs = prepare(study, store, accepted=ERRORS).inputs
    return audit_study(study, inputs.dataset, inputs.folds, store)


def test_patients_of_a_column_are_not_said_to_be_of_a_rule(tmp_path: Path, image_folder: Path) -> None:
    found = audit_of_a_table(tmp_path, image_folder, lambda image: image)
    across, alone = one(found, "patient-across-splits"), one(found, "patients-alone")
    assert across.text == "0 patients are in train and test by the column who (0 test images)"
    assert alone.text == (
        "the column who finds no patient with two images: check that columns.patient names the right column"
    )
    assert not any("rule" in finding.text or "data.patient" in finding.text for finding in found.findings)
    with pytest.raises(
        HarnessError, match=r"3 patients of each class; A has 1 in its \d+ images, such as trainA: check the column who"
    ):
        audit_of_a_table(tmp_path, image_folder, lambda image: "".join(image.split("/")[:2]), k=3)

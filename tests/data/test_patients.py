from unicodedata import normalize

import pytest

from harness.data.listing import FoundImage, as_frame
from harness.data.patients import PATIENT_RULES, patient_rule
from harness.data.patients import patients as patients_of
from harness.errors import DataError
from harness.study.data_block import PatientScope


def patients(images: list[str], rule: str | None, scope: PatientScope = "dataset") -> list[str]:
    """The patients of these paths in a folder."""
    parts = [image.split("/", 2) for image in images]
    return patients_of(
        as_frame(FoundImage(i, p[0], normalize("NFC", p[1])) for i, p in zip(images, parts, strict=True)), rule, scope
    )


@pytest.mark.parametrize(
    ("image", "patient"),
    [
        ("train/PNEUMONIA/person23_bacteria_77.jpeg", "bacteria/23"),
        ("train/PNEUMONIA/person23_virus_56.jpeg", "virus/23"),
        ("train/NORMAL/IM-0115-0001.jpeg", "IM/115"),
        ("train/NORMAL/NORMAL2-IM-0927-0001.jpeg", "NORMAL2-IM/927"),
        ("train/NORMAL/IM-0927-0001-0002.jpeg", "IM/927"),
    ],
)
def test_the_kermany_patient_is_agent_or_series_with_its_number(image: str, patient: str) -> None:
    assert patients([image], "kermany") == [patient]


def test_phantom_images_share_the_patient_up_to_the_last_number() -> None:
    images = ["train/NORMAL/phantom-normal-000003_0.png", "train/NORMAL/phantom-normal-000003_1.png"]
    assert patients(images, "phantom") == ["phantom-normal-000003"] * 2


def test_a_regular_expression_names_the_patient_by_its_group() -> None:
    assert patients(["train/A/p7-1.png", "train/B/p8-1.png"], r"(?P<patient>p\d+)-") == ["p7", "p8"]


def test_without_a_rule_each_image_is_a_patient_of_its_own() -> None:
    assert patients(["train/A/1.png", "train/B/1.png"], None) == ["train/A/1.png", "train/B/1.png"]


def test_a_rule_sees_the_path_below_the_class_folder() -> None:
    images = ["train/A/p7_1.png", "test/A/p7_2.png", "val/B/p7_3.png"]
    assert patients(images, r"(?P<patient>.+)_\d") == ["p7"] * 3
    assert patients(["train/A/ann/x/1.png", "train/B/bob/1.png"], "^(?P<patient>[^/]+)/") == ["ann", "bob"]
    with pytest.raises(DataError, match=r"does not match 1 of 1 images, .* below the class folder, here p7_1\.png$"):
        patients(images[:1], r"/(?P<patient>\w+)_")


def test_the_class_is_part_of_a_patient_s_name_where_numbers_restart_in_each_class() -> None:
    images = ["train/A/7_1.png", "train/B/7_1.png", "test/A/7_2.png", "train/Zoe\u0301/7_1.png"]
    assert patients(images, r"(?P<patient>\d+)_", "class") == ["A/7", "B/7", "A/7", "Zo\u00e9/7"]
    with pytest.raises(DataError, match="needs a rule") as error:
        patients(images, None, "class")
    assert error.value.field == ("data", "patient_scope")


@pytest.mark.parametrize("rule", [r"^[^/]+/[^/]+/(?P<patient>[^/]+)/", r"^[^/]+/(?P<patient>[^/]+/[^/]+)/"])
def test_a_rule_that_was_proposed_for_the_whole_path_is_refused_with_what_to_write_now(rule: str) -> None:
    with pytest.raises(DataError, match=r"was written for the whole path; .*: write '\^\(\?P<patient>\[\^/\]\+\)/'"):
        patients(["train/A/ann/study/series/1.png"], rule)  # it would match here, and find the series


def test_an_accent_in_two_normal_forms_is_one_patient() -> None:
    images = ["train/A/Zo\u00e9_1.png", "test/A/Zoe\u0301_1.png"]
    assert patients(images, r"^(?P<patient>\w+)_") == ["Zo\u00e9"] * 2
    assert patients(images, "^(?P<patient>Zoe\u0301)_") == ["Zo\u00e9"] * 2


def test_a_rule_whose_group_took_no_part_does_not_fit() -> None:
    with pytest.raises(DataError, match="does not match 1 of 1 images"):
        patients(["train/A/7.png"], r"(?:(?P<patient>p\d)|\d)\.png")


@pytest.mark.parametrize("rule", ["kermani", "(unclosed", r"p(\d+)", "(?P<person>.*)"])
def test_a_rule_that_is_none_is_refused_with_what_is_allowed(rule: str) -> None:
    with pytest.raises(DataError, match=r"kermany, phantom, or a regular expression with a group \(\?P<patient>") as e:
        patient_rule(rule)
    assert repr(rule) in str(e.value)
    assert e.value.field == ("data", "patient")


@pytest.mark.parametrize("rule", [*PATIENT_RULES, r"(?P<patient>p\d+)", "(?P<patient>)"])
def test_an_image_that_no_rule_fits_is_named(rule: str) -> None:
    with pytest.raises(DataError, match=r"does not match 1 of 1 images, first train/A/scan\.png"):
        patients(["train/A/scan.png"], rule)

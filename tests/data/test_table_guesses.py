"""The columns of a table are guessed from their names and their content, and the guess says from what."""

from pathlib import Path

import pandas as pd
import pytest

from harness.cli.first_look import first_look
from harness.data.table_guesses import guess_columns
from harness.errors import DataError
from tests.conftest import draw_images


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    draw_images(tmp_path, {f"images/{n}.png": n + 1 for n in range(8)})
    return pd.DataFrame(
        {
            "Unnamed": range(8),
            "Image Index": [f"{n}.png" for n in range(8)],
            "Finding Labels": ["A", "A", "B", "B"] * 2,
            "Patient ID": ["1", "1", "2", "2"] * 2,
            "set": ["train"] * 4 + ["test"] * 4,
            "Patient Age": [50 + n for n in range(8)],
            "note": ["x"] * 8,
        }
    )


def guessed(table: pd.DataFrame, folder: Path) -> tuple[dict[str, str], list[str]]:
    table.to_csv(folder / "cases.csv", index=False)
    guess = guess_columns(folder / "cases.csv")
    assert guess.root == folder / "images"
    return {role: found.column for role, found in guess.columns.items()}, list(guess.notes)


def test_every_column_is_guessed_and_the_reason_is_said(table: pd.DataFrame, tmp_path: Path) -> None:
    columns, notes = guessed(table, tmp_path)
    assert columns == {
        "image": "Image Index", "label": "Finding Labels", "patient": "Patient ID", "split": "set",
    }  # fmt: skip
    assert notes == [
        "image: the column Image Index, as its first 8 cells are files in images/; check this",
        "label: the column Finding Labels, by its name: A 4, B 4; check this",
        "patient: the column Patient ID, by its name: 1 4, 2 4; check this",
        "split: the column set, by its name: train 4, test 4; check this",
        "metadata, by their names: Patient Age; check this",
        "columns that are not used: Unnamed, note",
    ]


def test_numbers_that_some_rows_lack_are_said(table: pd.DataFrame, tmp_path: Path) -> None:
    table["Patient Age"] = ["50", "n/a", "52", "n/a", "unknown", "55", "", "57"]
    _, notes = guessed(table.assign(sex=["F", "M", "unknown", ""] * 2), tmp_path)
    (said,) = [note for note in notes if "missing in" in note]
    assert said == "Patient Age: numbers, missing in 4 of 8 rows (n/a 2, unknown 1, empty 1)"


def test_paths_without_an_extension_are_found(table: pd.DataFrame, tmp_path: Path) -> None:
    table["Image Index"] = table["Image Index"].str.removesuffix(".png")
    _, notes = guessed(table, tmp_path)
    assert "files in images/ without their extension .png" in notes[0]


def test_a_split_by_other_words_and_one_patient_for_all_are_not_guessed(table: pd.DataFrame, tmp_path: Path) -> None:
    columns, _ = guessed(table.assign(set="x", **{"Patient ID": "1"}), tmp_path)
    assert set(columns) == {"image", "label"}


@pytest.mark.parametrize(
    ("drop", "says"),
    [(["Unnamed", "Image Index"], "no column of cases.csv has paths"), (["Finding Labels"], "looks like the labels")],
)
def test_what_cannot_be_guessed_is_one_line(table: pd.DataFrame, tmp_path: Path, drop: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        guessed(table.drop(columns=drop), tmp_path)
    assert "\n" not in str(raised.value)


def test_columns_as_people_name_them_are_guessed(table: pd.DataFrame, tmp_path: Path) -> None:
    names = {"Finding Labels": "Diagnosis (final)", "Patient ID": "Pat. Nr.", "Patient Age": "Age (y)", "set": " Set"}
    columns, notes = guessed(table.rename(columns=names).assign(Verdict="Label [old]"), tmp_path)
    assert columns == {"image": "Image Index", "label": "Diagnosis (final)", "patient": "Pat. Nr.", "split": " Set"}
    assert "metadata, by their names: Age (y); check this" in notes
    columns, _ = guessed(table.rename(columns={"Finding Labels": "final diagnosis of 2 readers"}), tmp_path)
    assert columns["label"] == "final diagnosis of 2 readers"


def test_a_column_with_the_name_alone_goes_before_one_with_a_word_of_it(table: pd.DataFrame, tmp_path: Path) -> None:
    table.insert(0, "first diagnosis", table["Finding Labels"].tolist())
    assert guessed(table.rename(columns={"Finding Labels": "label"}), tmp_path)[0]["label"] == "label"


def test_labels_that_differ_by_spaces_or_case_are_one_class(table: pd.DataFrame, tmp_path: Path) -> None:
    table["Finding Labels"] = ["No finding", "No finding", "ill ", "ill ", "no  finding", "No finding", "Ill", "ill "]
    _, notes = guessed(table, tmp_path)
    assert "labels: 'ill ', 'no  finding', 'Ill' are other spellings of ill, No finding; check this" in notes
    fields = first_look(tmp_path / "cases.csv").fields
    assert fields["labels"] == {"No finding": "No finding", "no  finding": "No finding", "ill ": "ill", "Ill": "ill"}
    assert first_look(tmp_path / "cases.csv").counts == {"No finding": 2, "ill": 2}


def test_a_class_that_is_written_in_one_way_is_not_said_to_have_other_spellings(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table["Finding Labels"] = ["well", "well ", "ill", "ill"] * 2
    assert "labels: 'well ' are other spellings of well; check this" in guessed(table, tmp_path)[1]


def test_rows_without_a_label_are_left_out_and_counted(table: pd.DataFrame, tmp_path: Path) -> None:
    table.loc[[0, 7], "Finding Labels"] = ""
    guessed(table, tmp_path)
    look = first_look(tmp_path / "cases.csv")
    assert look.fields["labels"] == {"A": "A", "B": "B"}
    assert any("2 images with labels that `labels` does not name (empty: 2)" in note for note in look.notes)


def test_images_that_are_gone_do_not_hide_the_column_that_names_them(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "cases.csv", index=False)
    for n in (0, 5, 6):
        (tmp_path / f"images/{n}.png").unlink()
    columns, notes = guessed(table, tmp_path)
    assert columns["image"] == "Image Index"
    assert notes[0] == "image: the column Image Index, as 5 of its first 8 cells are files in images/; check this"
    (tmp_path / "images/1.png").unlink()
    with pytest.raises(DataError, match=r"no column of cases\.csv has paths"):
        guessed(table, tmp_path)


def test_a_table_in_german_is_guessed(table: pd.DataFrame, tmp_path: Path) -> None:
    names = {"Finding Labels": "Befund", "Patient ID": "Pat.-ID", "Patient Age": "Alter", "note": "Geschlecht"}
    columns, notes = guessed(table.rename(columns=names), tmp_path)
    assert (columns["label"], columns["patient"]) == ("Befund", "Pat.-ID")
    assert "metadata, by their names: Alter, Geschlecht; check this" in notes


@pytest.mark.parametrize("ending", ["xlsx", "ODS"])
def test_a_workbook_is_refused_with_what_to_do(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"cases.{ending}").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"is a workbook, which is not read; save the sheet as CSV UTF-8"):
        first_look(tmp_path / f"cases.{ending}")

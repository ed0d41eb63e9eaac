"""The columns of a table are guessed from their names and their content, and the guess says from what."""

from pathlib import Path

import pandas as pd
import pytest

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

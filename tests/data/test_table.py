"""A table as the source of images: its cells, labels, splits, patients, folds and metadata, and what is wrong in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.data.folds import fold_digests, make_folds
from harness.data.manifest import read_dataset
from harness.data.table_file import read_rows, typed
from harness.errors import DataError, LeakageError
from harness.study.data_block import Data
from harness.study.fold_protocol import Folds
from tests.conftest import draw_images

LABELS = ["NORMAL", "PNEUMONIA"]
COLUMNS = {"image": "file", "label": "finding", "patient": "patient_id", "split": "set", "fold": "fold"}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def rows(count: int = 12, tests: int = 4) -> pd.DataFrame:
    """A table of images of which two each are of one patient; the last ones are tested."""
    table = pd.DataFrame({"file": [f"img/{n}.png" for n in range(count)]})
    return table.assign(
        finding=[LABELS[n // 2 % 2] for n in range(count)],
        patient_id=[f"{n // 2:03}" for n in range(count)],
        set=["train"] * (count - tests) + ["test"] * tests,
        fold=[str(n // 4) for n in range(count)],
        age=[40 + n for n in range(count)],
        site=["07" if n % 4 < 2 else "A" for n in range(count)],
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw_images(tmp_path, {f"img/{n}.png": n + 1 for n in range(12)})
    return tmp_path


def read(root: Path, table: pd.DataFrame, name: str = "cases.csv", **options: Any) -> Dataset:
    path = root / name
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    given = {"source": "table", "path": str(path), "columns": COLUMNS, **options}
    return read_dataset(root, Data.model_validate(given))


def test_a_table_without_splits_holds_out_whole_patients(root: Path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "split"}
    table = read(root, rows(), columns=columns, test={"share": 0.34}).table
    assert table.groupby(["split", "label"]).size().to_dict() == {
        ("test", "NORMAL"): 2, ("test", "PNEUMONIA"): 2, ("train", "NORMAL"): 4, ("train", "PNEUMONIA"): 4,
    }  # fmt: skip
    assert table.groupby("patient")["split"].nunique().max() == 1
    with pytest.raises(DataError, match="have a test set of their own"):
        read(root, rows(), test={"share": 0.34})


@pytest.mark.parametrize("name", ["cases.csv", "cases.tsv", "cases.parquet"])
def test_a_table_gives_the_same_manifest_in_every_format(root: Path, name: str) -> None:
    found = read(root, rows(), name, metadata=["age", "site"]).table
    assert list(found.columns) == [
        "image", "split", "label", "patient", "sha256", "size", "fold", "age", "site", "row",
    ]  # fmt: skip
    assert found["split"].tolist() == ["train"] * 8 + ["test"] * 4
    assert sorted(found["row"]) == list(range(2, 14))
    assert set(found["patient"]) == {f"{n:03}" for n in range(6)}
    first = found[found["image"] == "img/3.png"].iloc[0]
    assert (first["label"], first["age"], first["site"], first["fold"]) == ("PNEUMONIA", 43, "A", "0")
    assert set(found["site"]) == {"A", "07"}


def test_the_digest_of_the_manifest_is_that_of_images_and_labels_alone(root: Path) -> None:
    plain, described = read(root, rows()), read(root, rows(), metadata=["age"])
    assert (plain.digest, plain.metadata_digest) == (described.digest, None)
    older = read(root, rows().assign(age=rows()["age"] + 1), metadata=["age"])
    assert (older.digest, older.metadata_digest != described.metadata_digest) == (described.digest, True)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["1", "2.5", None], [1.0, 2.5, None]),
        (["007", "8"], ["007", "8"]),
        (["1e3", "-4"], [1000.0, -4.0]),
        (["NA", "1", " unknown", "n/a", "-1"], [None, 1.0, None, None, -1.0]),
        (["NA", "1", "about 60"], ["NA", "1", "about 60"]),
        (["M", "unknown", None], ["M", "unknown", None]),
        (["unknown", "-"], ["unknown", "-"]),
        ([None, None], [None, None]),
    ],
)
def test_metadata_are_numbers_only_where_every_value_that_is_known_is_one(
    values: list[str | None], kept: list[Any]
) -> None:
    found = typed(pd.Series(values, dtype=object))
    assert found.astype(object).where(found.notna(), None).tolist() == kept


def test_cells_stay_text_and_empty_ones_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text('\ufefffile;id;note\n a.png;007;"x\ny"\n;;\nb.png;NA; \n', encoding="utf-8")
    found = read_rows(path)
    assert found.index.tolist() == [2, 4]
    assert found.fillna("-").to_numpy().tolist() == [[" a.png", "007", "x\ny"], ["b.png", "NA", "-"]]
    whole = tmp_path / "cases.parquet"
    pd.DataFrame({"n": [1.0, None], "flag": [True, False], "share": [0.5, 1.0]}).to_parquet(whole)
    assert read_rows(whole).fillna("-").to_numpy().tolist() == [["1", "True", "0.5"], ["-", "False", "1.0"]]


def test_labels_are_mapped_and_others_are_left_out_and_counted(root: Path) -> None:
    table = rows()
    table.loc[[0, 8], "finding"] = "other"
    found = read(root, table, labels={"NORMAL": "well", "PNEUMONIA": "ill"}, positive="ill")
    assert (found.classes, found.positive, len(found.table)) == (("ill", "well"), "ill", 10)
    (left,) = found.left_out
    assert (
        str(left) == "not read: 2 images with labels that `labels` does not name (other: 2), such as row 2 (img/0.png)"
    )


def test_splits_are_found_by_name_or_as_they_are_mapped(root: Path) -> None:
    table = rows().replace({"set": {"train": "Training", "test": "TEST"}})
    table.loc[[0, 1], "set"] = "valid"
    assert [str(left) for left in read(root, table).left_out] == [
        "not read: 2 rows of the split val: `val: train` adds them, such as row 2 (img/0.png)"
    ]
    assert len(read(root, table, val="train").rows("train")) == 8
    mapped = read(root, table, splits={"Training": "train", "TEST": "test"})
    assert [str(left) for left in mapped.left_out] == [
        "not read: 2 rows of no split of this study (valid: 2), such as row 2 (img/0.png)"
    ]


def test_without_columns_for_them_all_rows_are_trained_on_and_patients_are_unknown(root: Path) -> None:
    found = read(root, rows(), columns={"image": "file", "label": "finding"})
    assert (len(found.rows("train")), len(found.rows("test")), found.patient_rule) == (12, 0, None)
    by_rule = read(root, rows(), columns={"image": "file", "label": "finding"}, patient=r"img/(?P<patient>\d)")
    assert by_rule.table.loc[by_rule.table["image"] == "img/11.png", "patient"].tolist() == ["1"]


def test_an_extension_that_the_table_leaves_out_is_found(root: Path) -> None:
    table = rows()
    table["file"] = table["file"].str.removesuffix(".png")
    assert read(root, table).digest == read(root, rows()).digest


def cell(row: int, column: str, value: str | None) -> Change:
    """Changes one cell; row: as a message counts it."""
    return lambda table: table.mask((table.index == row - 2)[:, None] & (table.columns == column)[None, :], value)


def repeated(**cells: str) -> Change:
    """Repeats the first row, with other cells."""
    return lambda table: pd.concat([table, table.iloc[[0]].assign(**cells)], ignore_index=True)


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (cell(5, "finding", None), {}, "row 5: finding is empty; fill it in, or leave such rows out with `labels:`"),
        (cell(5, "patient_id", " "), {}, "row 5: patient_id is empty"),
        (cell(5, "file", "../x.png"), {}, "row 5: ../x.png leads out of"),
        (cell(5, "file", "img/99.png"), {}, "row 5, "),
        (cell(13, "set", "hold-out"), {}, "no name of a split (train, val, test); say what they are: splits:"),
        (cell(13, "patient_id", "000"), {}, "img/0.png (row 2) and img/11.png (row 13)"),
        (repeated(finding="PNEUMONIA"), {}, "rows 2 and 14 are both of img/0.png, with the label NORMAL and PNEUMONIA"),
        (cell(5, "finding", "Pneumonia "), {}, "which differ only by spaces or case"),
        (repeated(), {"columns": {**COLUMNS, "label": "findings"}}, "unknown column 'findings'; did you mean finding?"),
        (repeated(), {"metadata": ["patient_id"]}, "patient_id cannot be metadata: it is the patient already"),
        (repeated(), {"metadata": ["size"]}, "unknown column 'size'"),
        (repeated(), {"labels": {"NORMALS": "A"}}, "no row has 'NORMALS' in the column finding"),
        (repeated(), {"splits": {"trian": "train"}}, "no row has 'trian' in the column set"),
    ],
)
def test_what_is_wrong_is_one_line(root: Path, change: Change, options: dict[str, Any], says: str) -> None:
    with pytest.raises((DataError, LeakageError)) as raised:
        read(root, change(rows()), **options)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_row_that_repeats_another_one_is_left_out_and_counted(root: Path) -> None:
    found = read(root, repeated()(rows()))
    assert found.digest == read(root, rows()).digest
    assert [str(left) for left in found.left_out] == ["not read: 1 row that repeats another one, row 14 (img/0.png)"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"file,finding\na.png,X,Y\n", "cannot be read"),
        (b"file,file\na.png,X\n", "has the column 'file' twice"),
        (b"file,\na.png,X\n", "column 2 has no name"),
        (b"", "cannot be read"),
        ("file,finding\na.png,é\n".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "cases.csv").write_bytes(content)
    with pytest.raises(DataError, match=says) as raised:
        read_rows(tmp_path / "cases.csv")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("follow", [False, True])
def test_links_out_of_the_folder_are_followed_where_the_study_says_so(root: Path, follow: bool) -> None:
    elsewhere = root / "elsewhere"
    (root / "img").rename(elsewhere)
    inside = root / "inside"
    inside.mkdir()
    (inside / "img").symlink_to(elsewhere)
    links = "follow" if follow else "refuse"
    rows().to_csv(root / "cases.csv", index=False)
    given = {"source": "table", "path": str(root / "cases.csv"), "columns": COLUMNS, "links": links}
    spec = Data.model_validate(given)
    if follow:
        assert len(read_dataset(inside, spec).table) == 12
    else:
        with pytest.raises(DataError, match="a link out of the image folder"):
            read_dataset(inside, spec)


def test_the_folds_of_a_column_are_used_unchanged(root: Path) -> None:
    dataset = read(root, rows(tests=0))
    folds = make_folds(dataset, Folds(by="column"))
    images = dataset.table["image"]
    for fold, name in zip(folds, ["0", "1", "2"], strict=True):
        assert set(images[fold.validation]) == set(rows().loc[rows()["fold"] == name, "file"])
        assert set(images[fold.train]) == set(rows()["file"]) - set(images[fold.validation])
    assert len(set(fold_digests(dataset, folds).values())) == 3


def test_one_value_of_a_column_is_left_out_at_a_time(root: Path) -> None:
    odd = read(root, rows(tests=0), metadata=["site"])  # each site has one class
    with pytest.raises(DataError, match="has no NORMAL in training; it is the site '07'"):
        make_folds(odd, Folds(by="site"))
    even = read(root, rows(tests=0).assign(site=[str(9 + n // 4) for n in range(12)]), metadata=["site"])
    folds = make_folds(even, Folds(by="site"))
    assert [len(fold.validation) for fold in folds] == [4, 4, 4]
    assert even.table.loc[folds[0].validation, "site"].unique().tolist() == [9]


def test_a_patient_in_two_folds_is_named_with_its_rows(root: Path) -> None:
    table = cell(3, "fold", "2")(rows(tests=0))
    with pytest.raises(LeakageError, match=r"the patient 000 is in fold 0 and in 2: img/0.png \(row 2\) and"):
        make_folds(read(root, table), Folds(by="column"))
    assert len(make_folds(read(root, table), Folds(by="column", grouped=False))) == 3


def test_an_image_without_a_fold_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"img/1.png \(row 3\) has no fold"):
        make_folds(read(root, cell(3, "fold", None)(rows(tests=0))), Folds(by="column"))

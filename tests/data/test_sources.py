import shutil
from pathlib import Path
from typing import Any

import kagglehub
import pytest

from harness.data.sources import KERMANY, SOURCES
from harness.errors import DataError
from harness.store import Store
from harness.study.data_block import Data


def root_of(store: Path, source: str, **options: object) -> Path:
    spec = Data.model_validate({"source": source, **options})
    return SOURCES[source](spec, Store(store))


@pytest.mark.parametrize("source", ["folder", "kermany"])
def test_a_given_folder_is_taken_as_it_is(image_folder: Path, tmp_path: Path, source: str) -> None:
    assert root_of(tmp_path / "st", source, path=str(image_folder)) == image_folder
    assert not (tmp_path / "st").exists()


def test_a_folder_is_found_below_the_home_and_the_working_folder(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image_folder.parent)
    monkeypatch.setenv("HOME", str(image_folder.parent))
    assert root_of(Path("st"), "folder", path=image_folder.name) == image_folder
    assert root_of(Path("st"), "folder", path=f"~/{image_folder.name}") == image_folder


@pytest.mark.parametrize("source", ["folder", "kermany"])
def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "nowhere"):
        with pytest.raises(DataError, match=f"{path} is not a folder; expected one with train/CLASS"):
            root_of(tmp_path / "st", source, path=str(tmp_path / path))


def test_the_source_folder_needs_a_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data PATH"):
        root_of(tmp_path, "folder")


def test_phantoms_are_drawn_into_the_store_and_take_no_path(tmp_path: Path) -> None:
    folder = root_of(tmp_path / "st", "phantom", phantom={"train": 8, "test": 4})
    assert tmp_path / "st" in folder.parents
    assert len(list(folder.glob("train/*/*.png"))) == 8
    with pytest.raises(DataError, match="takes no path"):
        root_of(tmp_path / "st", "phantom", path=str(folder))


@pytest.mark.parametrize("layout", ["chest_xray", "chest_xray/chest_xray", "."])
def test_kermany_is_what_kagglehub_downloads_however_it_is_laid_out(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    root = tmp_path / "download" / layout
    root.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(image_folder, root)
    monkeypatch.setattr(kagglehub, "dataset_download", {KERMANY: str(tmp_path / "download")}.__getitem__)
    assert root_of(tmp_path / "st", "kermany") == root


@pytest.mark.parametrize("error", [ConnectionError("no route\nto host"), TimeoutError()])
def test_kermany_out_of_reach_says_how_to_place_the_data_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreachable(*_: Any) -> str:
        raise error

    monkeypatch.setattr(kagglehub, "dataset_download", unreachable)
    with pytest.raises(DataError, match=r"from Kaggle, unpack it, and give the folder .* --data PATH") as told:
        root_of(tmp_path / "st", "kermany")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "st").exists()

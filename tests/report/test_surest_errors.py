from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.data.pixels import open_pixels, pixel_cache
from harness.prepare import prepare
from harness.report.sections.surest_errors import confident_errors, error_lines
from tests.conftest import Finished

FRAME = pd.DataFrame(
    {
        "image": [f"train/{name}.png" for name in "abcdef"],
        "patient": list("uvwxyz"),
        "label": ["A", "A", "B", "B", "A", "B"],
        "prob_A": [0.9, 0.2, 0.95, 0.4, 0.01, 0.5],
        "prob_B": [0.1, 0.8, 0.05, 0.6, 0.99, 0.5],
    }
)


def test_the_surest_errors_come_first_and_what_is_right_never() -> None:
    found = confident_errors(FRAME)
    assert found["image"].tolist() == ["train/e.png", "train/c.png", "train/b.png", "train/f.png"]
    assert found["predicted"].tolist() == ["B", "A", "B", "A"]
    assert found["true"].tolist() == ["A", "B", "A", "B"]
    assert found["probability"].tolist() == [0.99, 0.95, 0.8, 0.5]
    assert found["patient"].tolist() == ["y", "w", "v", "z"]
    assert confident_errors(FRAME, 2)["image"].tolist() == ["train/e.png", "train/c.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_error_stands_next_to_its_own_picture(tmp_path: Path, channels: int) -> None:
    order = ["f", "b", "a", "e", "c", "d"]  # the manifest's
    pixels = np.zeros((6, channels, 16, 16), dtype=np.uint8)
    pixels[:] = np.arange(6).reshape(6, 1, 1, 1) * 40
    np.save(tmp_path / "pixels.npy", pixels)
    images = pd.Series([f"train/{name}.png" for name in order])
    lines = error_lines(FRAME, images, lambda row: open_pixels(tmp_path / "pixels.npy")[row], tmp_path, "hard", "MARK")
    assert lines[0] == "4 of 6 images were classified wrongly; the 4 surest of these errors:"
    assert lines[2] == "*MARK*"
    body = [line for line in lines if line.startswith("| ![")]
    assert lines[4].split(" | ")[1:4] == ["image", "patient", "true"] and " predicted |" in lines[4]
    for number, (line, name) in enumerate(zip(body, "ecbf", strict=True), start=1):
        file = f"thumbnails/hard-{number:02}.jpg"
        assert line.startswith(f"| ![train/{name}.png: true ")
        assert f", predicted {'A' if name in 'cf' else 'B'}]({file}) | train/{name}.png |" in line
        shown = np.asarray(Image.open(tmp_path / file))
        assert abs(float(shown.mean()) - order.index(name) * 40) < 3
    table = pd.read_csv(tmp_path / "hard.csv")
    assert table["image"].tolist() == [f"train/{name}.png" for name in "ecbf"]
    assert set(table["mark"]) == {"MARK"}


def test_a_model_without_errors_has_a_sentence_instead_of_a_table(tmp_path: Path) -> None:
    right = FRAME[FRAME["image"].isin(["train/a.png", "train/d.png"])]
    assert (
        error_lines(right, right["image"], lambda row: np.zeros((row, 1, 1), dtype=np.uint8), tmp_path, "hard", None)[0]
        == "No image was classified wrongly."
    )


def test_the_pictures_of_a_study_are_those_that_the_network_saw(finished: Finished) -> None:
    (test,) = finished.run.state.tests
    folder = finished.run.report.parent
    table = pd.read_csv(folder / f"test-hardest-{test.id}.csv")
    assert len(table) > 0
    inputs = prepare(finished.study, finished.store).inputs
    pixels = open_pixels(pixel_cache(inputs.dataset, finished.study.data.image_size, finished.store))
    images = inputs.dataset.table["image"].tolist()
    first = pixels[images.index(table["image"][0])][0]
    shown = Image.open(folder / "thumbnails" / f"test-hardest-{test.id}-01.jpg").resize((32, 32))
    assert np.abs(np.asarray(shown).astype(float) - first).mean() < 8

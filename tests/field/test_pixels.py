"""Images as they come: drawings in the alpha channel, numbers of 32 bits, 12 bits in 16, negatives, blanks, frames."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from harness.data.decode import decode
from harness.study.pixel_rules import PixelRules
from tests.field.conftest import Harness, four, write_study


def findings(harness: Harness, *more: str) -> dict[str, dict[str, Any]]:
    """The first finding of each name in the audit of the study, which must end well."""
    ended = harness("audit", "s.yaml", "--json", *more)
    assert ended.code == 0, ended
    found: dict[str, dict[str, Any]] = {}
    for finding in json.loads(ended.out)["findings"]:
        found.setdefault(finding["name"], finding)
    return found


def rewrite(folder: str, change: Callable[[Image.Image, Path], None]) -> None:
    """Writes every image below this folder anew."""
    for file in sorted(Path(folder).rglob("*.png")):
        change(Image.open(file).copy(), file)


def into_alpha(image: Image.Image, file: Path) -> None:
    black = Image.new("RGBA", image.size, "black")
    black.putalpha(image)
    black.save(file)


def test_drawings_in_the_alpha_channel_are_seen(harness: Harness) -> None:
    four()
    rewrite("d", into_alpha)
    write_study()
    found = findings(harness)
    assert found["transparency"]["facts"]["count"] == 24
    assert "24 images (12 of ILL, 12 of WELL), such as train/ILL/img000.png" in found["transparency"]["text"]
    assert "blank" not in found
    assert decode(Path("d/train/ILL/img000.png"), 32).std() > 10


def test_palettes_with_transparency_are_read_without_a_warning_of_pillow(harness: Harness) -> None:
    four(4)

    def into_palette(image: Image.Image, file: Path) -> None:
        image.quantize(8).save(file, transparency=bytes([0, 128] + [255] * 6))

    rewrite("d", into_palette)
    write_study()
    ended = harness.apart("audit", "s.yaml")
    assert ended.code == 0, ended
    assert "Warning" not in ended.err
    assert "are composited on white" in " ".join(ended.out.split())


@pytest.mark.parametrize("kind", [np.int32, np.float32], ids=["int32", "float32"])
def test_numbers_without_a_range_are_refused_and_not_black(harness: Harness, kind: type) -> None:
    four()
    for file in sorted(Path("d").rglob("*.png")):
        Image.fromarray(np.asarray(Image.open(file)).astype(kind)).save(file.with_suffix(".tif"))
        file.unlink()
    write_study()
    for command in ("audit", "run"):
        told = harness.refused(command, "s.yaml")
        assert "24 of 24 images cannot be read" in told
        assert told.count("whose range is not known; scale them from black to white") == 1
    assert not Path("mlruns").exists()


def test_twelve_bits_in_sixteen_are_almost_black_and_named(harness: Harness) -> None:
    four()

    def into_twelve_bits(image: Image.Image, file: Path) -> None:
        Image.fromarray(np.asarray(image).astype(np.uint16) << 4).save(file)

    rewrite("d/train/ILL", into_twelve_bits)
    write_study()
    found = findings(harness)
    assert found["dark-16-bit"]["severity"] == "warning"
    assert found["dark-16-bit"]["facts"]["by_class"] == {"ILL": 8}
    assert found["gray-levels"]["facts"]["class"] == "ILL"
    assert found["modes-by-class"]["severity"] == "warning"


def test_a_declared_window_mends_twelve_bits_in_sixteen(harness: Harness) -> None:
    four()
    before = decode(Path("d/train/ILL/img000.png"), 32)
    rewrite("d", lambda image, file: Image.fromarray(np.asarray(image).astype(np.uint16) << 4).save(file))
    write_study(data="window: [0, 4080]")
    found = findings(harness)
    assert not {"dark-16-bit", "few-levels"} & found.keys()
    np.testing.assert_array_equal(decode(Path("d/train/ILL/img000.png"), 32, PixelRules(window=(0, 4080))), before)


def test_a_window_that_is_too_wide_and_far_off_is_named(harness: Harness) -> None:
    four()
    rewrite("d", lambda image, file: Image.fromarray(np.asarray(image).astype(np.uint16) << 4).save(file))
    write_study(data="window: [-30000, 20000]")
    found = findings(harness)
    assert found["few-levels"]["facts"]["count"] == 24
    assert "gray levels that differ by at most 63 of 255; declare the range" in found["few-levels"]["text"]


def test_borders_of_one_class_are_named_and_so_are_sizes_by_class_and_split(harness: Harness) -> None:
    four()

    def framed(image: Image.Image, file: Path) -> None:
        wide = Image.new("L", (64, 32))
        wide.paste(image.resize((32, 32)), (16, 0))
        wide.save(file)

    rewrite("d/train/ILL", framed)
    write_study()
    found = findings(harness, "--set", "data.resize=crop")  # which cuts the borders off, but the files have them
    assert found["borders"]["facts"]["by_class"] == {"ILL": 8}
    assert "with constant borders of 10% of the area or more, at most 44%" in found["borders"]["text"]
    assert found["borders-by-class"]["facts"]["shares"]["WELL"] == 0
    for by in ("class", "split"):
        assert found[f"sizes-by-{by}"]["severity"] == "warning"
    assert "blank" not in found and "modes-by-class" not in found


def test_modes_are_compared_between_the_values_of_the_metadata(harness: Harness) -> None:
    four()
    files = [file.relative_to("d") for file in sorted(Path("d").rglob("*.png"))]
    rewrite("d/train/ILL", lambda image, file: image.convert("RGB").save(file))
    rows = [f"{file},{file.parts[0]},{file.parts[1]},{'north' if 'ILL' in file.parts else 'south'}" for file in files]
    Path("cases.csv").write_text("\n".join(["image,split,label,site", *rows]))
    write_study()
    text = Path("s.yaml").read_text()
    table = "source: table, root: d, columns: {split: split}, metadata: [site], path: cases.csv"
    Path("s.yaml").write_text(text.replace("source: folder, path: d", table))
    found = findings(harness)["modes-by-site"]
    assert found["text"] == "the mode L differs between the values of site: 33% of north, 100% of south"


def test_sixteen_bits_that_use_their_range_are_not_named(harness: Harness) -> None:
    four()

    def into_sixteen_bits(image: Image.Image, file: Path) -> None:
        Image.fromarray(np.asarray(image).astype(np.uint16) * 257).save(file)

    before = decode(Path("d/train/ILL/img000.png"), 32)
    rewrite("d", into_sixteen_bits)
    np.testing.assert_array_equal(decode(Path("d/train/ILL/img000.png"), 32), before)
    write_study()
    assert "dark-16-bit" not in findings(harness)


def test_negatives_among_positives_are_named(harness: Harness) -> None:
    scene = np.linspace(0, 200, 40 * 48).reshape(40, 48)
    for split, images in (("train", 12), ("test", 4)):
        for label in ("ILL", "WELL"):
            for number in range(images):
                rng = np.random.default_rng([number, len(split), len(label)])
                pixels = (scene + rng.normal(25, 10, scene.shape)).clip(0, 255).astype(np.uint8)
                file = Path("d", split, label, f"{number}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(255 - pixels if (label, number) == ("ILL", 1) else pixels).save(file)
    write_study()
    ended = harness("audit", "s.yaml", "--json", "--set", "audit.accept=[near-duplicate-across-splits]")
    (found,) = [f for f in json.loads(ended.out)["findings"] if f["name"] == "inverted"]
    assert found["facts"]["first"] == ["train/ILL/1.png", "test/ILL/1.png"]
    assert found["severity"] == "warning"


@pytest.mark.parametrize("size", [31, 28, 16, 8])
def test_small_images_are_told_apart(harness: Harness, size: int) -> None:
    four()
    write_study(size=size)
    near = findings(harness)["near-duplicates"]
    assert near["facts"]["groups"] == 0
    assert near["text"] == "0 groups of nearly identical images"


def test_a_recompressed_copy_across_the_splits_is_found_where_images_become_small(harness: Harness) -> None:
    four()
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)).resize((128, 128))
    smooth.save("d/train/ILL/copy.png")
    smooth.save("d/test/ILL/copy.jpg", quality=80)
    write_study(size=28)
    assert "near-duplicate-across-splits: 1 group of nearly identical images differs in split, such as" in (
        harness.refused("audit", "s.yaml")
    )


def test_files_of_few_pixels_are_said_to_hide_recompressed_copies(harness: Harness) -> None:
    four()
    rewrite("d", lambda image, file: image.resize((28, 28)).save(file))
    write_study(size=28)
    near = findings(harness)["near-duplicates"]
    assert near["facts"]["small"] == 24
    assert "24 images are smaller than 32 px: recompressed copies of them may be missed" in near["text"]


def test_blank_images_are_counted_and_take_no_time(harness: Harness) -> None:
    """Each a file of its own, and all pairs of them of one hash."""
    four()
    for label in ("ILL", "WELL"):
        for number in range(500):
            text = PngImagePlugin.PngInfo()
            text.add_text("frame", f"{label} {number}")
            Image.new("L", (16, 16), number % 250).save(f"d/train/{label}/blank{number}.png", pnginfo=text)
    write_study()
    found = findings(harness)
    assert found["blank"]["severity"] == "warning"
    assert found["blank"]["facts"]["by_class"] == {"ILL": 500, "WELL": 500}
    assert "1,000 blank images were not compared" in found["near-duplicates"]["text"]
    assert found["near-duplicates"]["facts"]["groups"] == 0
    assert "near-duplicate-across-labels" not in found


def test_frames_of_one_scene_are_one_group(harness: Harness) -> None:
    four()
    scene = np.asarray(Image.open("d/train/WELL/img000.png")).astype(int)
    for number in range(200):
        noise = np.random.default_rng(number).integers(-2, 3, scene.shape)
        Image.fromarray((scene + noise).clip(0, 255).astype(np.uint8)).save(f"d/train/ILL/frame{number}.png")
    write_study()
    found = findings(harness)
    assert found["near-duplicates"]["facts"] == {
        "groups": 1, "images": 201, "ways": {}, "blank": 0, "small": 0, "complete": True,
    }  # fmt: skip
    across = found["near-duplicate-across-labels"]
    assert across["text"].startswith("1 group of nearly identical images differs in label, such as train/ILL/frame")
    assert across["text"].endswith(" = train/WELL/img000.png")


def test_pages_that_are_not_read_are_counted(harness: Harness) -> None:
    four()
    frames = [Image.open(f"d/train/ILL/img00{number}.png") for number in range(3)]
    frames[0].save("d/train/ILL/film.gif", save_all=True, append_images=frames[1:])
    frames[1].save("d/train/ILL/pages.tif", save_all=True, append_images=frames[2:])
    write_study()
    frames_found = findings(harness)["frames"]
    assert frames_found["facts"]["first"] == ["train/ILL/film.gif", "train/ILL/pages.tif"]
    assert "of which only the first is read" in frames_found["text"]

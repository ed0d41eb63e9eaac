from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.data.dataset import Dataset
from harness.data.decode import decode
from harness.data.manifest import read_dataset
from harness.data.pixels import open_pixels, pieces, pixel_cache, release
from harness.errors import DataError
from harness.store import Store
from harness.study.data_block import Data
from tests.conftest import draw_image

SIZE = 24
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)


def read(root: Path) -> Dataset:
    return read_dataset(root, Data(source="folder"))


def resized(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def test_the_cache_holds_every_image_in_the_manifests_order_as_pillow_decodes_it(
    image_folder: Path, tmp_path: Path
) -> None:
    dataset, told = read(image_folder), list[tuple[int, int]]()
    pixels = open_pixels(pixel_cache(dataset, SIZE, Store(tmp_path / "st"), lambda *now: told.append(now)))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (28, 1, SIZE, SIZE)
    for row, image in enumerate(dataset.table["image"]):
        np.testing.assert_array_equal(pixels[row, 0], resized(Image.open(image_folder / image)))
    assert told == [(n, 28) for n in range(1, 29)]


def test_real_images_are_cached_as_pillow_decodes_them(xrays: Path, tmp_path: Path) -> None:
    dataset = read_dataset(xrays, Data(source="folder", patient="kermany", limit=30))
    pixels = open_pixels(pixel_cache(dataset, SIZE, Store(tmp_path)))
    assert pixels.shape[1] == 1  # gray
    for row, image in enumerate(dataset.table["image"]):
        np.testing.assert_array_equal(pixels[row, 0], resized(Image.open(xrays / image).convert("L")))


def test_one_coloured_image_makes_three_channels_and_gray_ones_are_repeated(image_folder: Path, tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(image_folder / "train/B/trB0-0.png")
    dataset = read(image_folder)
    pixels = open_pixels(pixel_cache(dataset, SIZE, Store(tmp_path / "st")))
    assert pixels.shape == (28, 3, SIZE, SIZE)
    row = dataset.table["image"].tolist().index("train/B/trB0-0.png")
    np.testing.assert_array_equal(pixels[row], resized(Image.fromarray(COLOUR)).transpose(2, 0, 1))
    others = np.delete(pixels, row, axis=0)
    assert (others == others[:, :1]).all()


def test_the_cache_is_decoded_once_and_keyed_by_content_and_size(image_folder: Path, tmp_path: Path) -> None:
    store, told = Store(tmp_path / "st"), list[int]()
    first = pixel_cache(read(image_folder), SIZE, store)
    assert pixel_cache(read(image_folder), SIZE, store, lambda done, _: told.append(done)) == first
    assert told == []
    assert pixel_cache(read(image_folder), SIZE + 1, store) != first
    draw_image(image_folder / "train/A/trA0-0.png", seed=999)
    assert pixel_cache(read(image_folder), SIZE, store) != first
    assert all(path.suffix == ".npy" for path in first.parent.iterdir())


@pytest.mark.parametrize(
    ("name", "save", "expected"),
    [
        ("gray.png", lambda path: Image.fromarray(GRAY).save(path), resized(Image.fromarray(GRAY))),
        (
            "gray-as-rgb.png",
            lambda path: Image.fromarray(GRAY).convert("RGB").save(path),
            resized(Image.fromarray(GRAY)),
        ),
        (
            "gray-with-alpha.png",
            lambda path: Image.fromarray(GRAY).convert("LA").save(path),
            resized(Image.fromarray(GRAY)),
        ),
        ("colour.png", lambda path: Image.fromarray(COLOUR).save(path), resized(Image.fromarray(COLOUR))),
        (
            "colour-with-alpha.png",
            lambda path: Image.fromarray(COLOUR).convert("RGBA").save(path),
            resized(Image.fromarray(COLOUR)),
        ),
        (
            "sixteen-bits.png",
            lambda path: Image.fromarray(GRAY.astype(np.uint16) * 256 + 77).save(path),
            resized(Image.fromarray(GRAY)),
        ),
        (
            "sixteen-bits.tif",
            lambda path: Image.fromarray(GRAY.astype(np.uint16) * 256 + 77).save(path),
            resized(Image.fromarray(GRAY)),
        ),
        (
            "palette.png",
            lambda path: Image.fromarray(COLOUR).quantize(16).save(path),
            resized(Image.fromarray(COLOUR).quantize(16).convert("RGB")),
        ),
        (
            "gray-palette.gif",
            lambda path: Image.fromarray(GRAY).save(path),
            resized(Image.fromarray(GRAY)),
        ),
        (
            "black-and-white.png",
            lambda path: Image.fromarray(GRAY > 127).save(path),
            resized(Image.fromarray((GRAY > 127).astype(np.uint8) * 255)),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_kind_of_image_is_gray_or_rgb_of_eight_bits(
    tmp_path: Path, name: str, save: Callable[[Path], None], expected: NDArray[np.uint8]
) -> None:
    save(tmp_path / name)
    decoded = decode(tmp_path / name, SIZE)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, expected)


def test_a_cmyk_jpeg_is_rgb_with_the_colours_that_pillow_gives(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(COLOUR).convert("CMYK").save(path, quality=95)
    np.testing.assert_array_equal(decode(path, SIZE), resized(Image.open(path).convert("RGB")))


def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    Image.fromarray(GRAY).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "turned.png", SIZE), resized(Image.fromarray(np.rot90(GRAY, -1))))


def test_more_pixels_than_pillows_safe_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GRAY).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", GRAY.size - 1)
    with pytest.raises(ValueError, match="safe limit"):
        decode(tmp_path / "large.png", SIZE)


def _cut(path: Path) -> None:
    Image.fromarray(GRAY).save(path.with_suffix(".tmp"), "JPEG")
    path.write_bytes(path.with_suffix(".tmp").read_bytes()[:-2])
    path.with_suffix(".tmp").unlink()


@pytest.mark.parametrize(
    "spoil",
    [_cut, lambda path: path.write_text("this is text"), lambda path: path.write_bytes(b"")],
    ids=["cut by two bytes", "text", "empty"],
)
def test_an_unreadable_image_is_named_and_nothing_is_left_on_disk(
    image_folder: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(image_folder / "test/B/broken.jpeg")
    with pytest.raises(DataError, match=r"1 of 29 images cannot be read: .*/test/B/broken\.jpeg \("):
        pixel_cache(read(image_folder), SIZE, Store(tmp_path / "st"))
    assert not (tmp_path / "st").exists()


def test_of_many_unreadable_images_five_are_named(image_folder: Path, tmp_path: Path) -> None:
    for number in range(7):
        (image_folder / f"train/A/broken{number}.png").write_text(f"text {number}")
    with pytest.raises(DataError, match=r"7 of 35 images .*broken4\.png .* and 2 more") as error:
        pixel_cache(read(image_folder), SIZE, Store(tmp_path / "st"))
    assert {f"broken{n}.png" for n in range(7) if f"broken{n}.png" in str(error.value)} == {
        f"broken{n}.png" for n in range(5)
    }


def test_of_two_processes_on_a_cold_cache_one_decodes(image_folder: Path, tmp_path: Path) -> None:
    dataset, decoded = read(image_folder), list[int]()
    started = Barrier(2)

    def build() -> Path:
        started.wait()
        return pixel_cache(dataset, SIZE, Store(tmp_path / "st"), lambda done, _: decoded.append(done))

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(build), pool.submit(build)])
    assert first == second
    assert sorted(decoded) == list(range(1, 29))
    assert [path.name for path in first.parent.iterdir()] == [first.name]  # no lock is left


def test_pieces_are_the_pixels_in_order_and_what_was_read_is_let_go_of(image_folder: Path, tmp_path: Path) -> None:
    pixels = open_pixels(pixel_cache(read(image_folder), SIZE, Store(tmp_path / "st")))
    given = [piece.copy() for piece in pieces(pixels, rows=9)]
    assert [len(piece) for piece in given] == [9, 9, 9, 1]
    np.testing.assert_array_equal(np.concatenate(given), pixels)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_a_mapped_file_that_was_read_takes_no_memory_once_it_is_released(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.ones((64, 1, 256, 256), dtype=np.uint8))
    pixels = open_pixels(tmp_path / "large.npy")

    def resident() -> int:
        maps = Path("/proc/self/smaps").read_text().split("large.npy")[1]
        return int(maps.partition("Rss:")[2].split()[0])  # kB

    assert int(pixels.sum()) == pixels.size
    assert resident() >= 4096
    release(pixels)
    assert resident() == 0
    assert int(pixels.sum()) == pixels.size

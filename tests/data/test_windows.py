"""Windows for values of more than 8 bits, the ways to a square, and frames."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.data.decode import Pixels, decode
from harness.data.manifest import read_dataset
from harness.data.pictures import picture
from harness.data.pixels import open_pixels, pixel_cache
from harness.store import Store
from harness.study.data_block import Data
from harness.study.pixel_rules import PixelRules, Window
from harness.study.preprocessing import Framing
from tests.data.test_decode import PHOTOMETRIC, SAMPLE_FORMAT, file_of, pgm, tiff

SIDE = 16
DEEP = np.random.default_rng(0).integers(200, 3900, (SIDE, SIDE), dtype=np.uint16)  # of 12 bits
DEEP[0, :2] = 100, 4000


def read(content: bytes, **rules: Any) -> Pixels:
    return decode(io.BytesIO(content), SIDE, PixelRules(**rules))


def expected(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """The definition, one value at a time."""
    return np.array([[min(max(round((float(v) - low) * 255 / (high - low)), 0), 255) for v in row] for row in values])


WINDOWS: dict[str, tuple[Window, tuple[float, float]]] = {
    "numbers": ((0, 4095), (0, 4095)),
    "narrow": ((1000.5, 2000), (1000.5, 2000)),
    "full": ("full", (100, 4000)),
    "percentile": ("percentile", tuple(np.quantile(DEEP, [0.005, 0.995]))),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_says_what_is_black_and_what_is_white(kind: str, name: str) -> None:
    window, (low, high) = WINDOWS[name]
    seen = read(file_of(Image.fromarray(DEEP), kind), window=window)
    np.testing.assert_allclose(seen, expected(DEEP, low, high), atol=1e-9)
    assert seen.min() == 0 or name == "numbers"
    assert len(np.unique(seen)) > 50


SIGNED = DEEP.astype(np.int16) - 2000
BIG = DEEP.astype(np.uint32) * 1_000_000  # above the signed integers of 32 bits


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (SIGNED, -1900, 2000),
        (SIGNED.astype(np.int32), -1900, 2000),
        (BIG.astype(np.uint32), 1e8, 4e9),
        (SIGNED.astype(np.float32) / 7, -100.25, 250),
        ((SIGNED // 20).astype(np.int8), -95, 100),
    ],
    ids=["int16", "int32", "uint32", "float32", "int8"],
)
def test_with_a_window_a_tiff_of_any_numbers_is_read(values: NDArray[Any], low: float, high: float) -> None:
    content = tiff_of(values)
    with pytest.raises(ValueError, match=r"range is not known; .* or declare their range in data\.window"):
        read(content)
    np.testing.assert_array_equal(read(content, window=(low, high)), expected(values, low, high))
    full = read(content, window="full")
    np.testing.assert_array_equal(full, expected(values, float(values.min()), float(values.max())))


def tiff_of(values: NDArray[Any]) -> bytes:
    """The array as TIFF, with the sample format of its type."""
    if values.dtype in (np.int16, np.int8):
        return tiff(values.view(values.dtype.name.replace("int", "uint")), {SAMPLE_FORMAT: 2})
    if values.dtype == np.uint32:
        return tiff(values.view(np.int32), {SAMPLE_FORMAT: 1})
    return file_of(Image.fromarray(values), "TIFF")


def test_where_zero_is_white_the_window_is_inverted() -> None:
    straight = read(file_of(Image.fromarray(DEEP), "TIFF"), window="full")
    np.testing.assert_array_equal(read(tiff(DEEP, {PHOTOMETRIC: 0}), window="full"), 255 - straight)


def test_what_is_transparent_is_white_with_a_window_too() -> None:
    seen = read(file_of(Image.fromarray(DEEP), "PNG", transparency=100), window="full")
    assert seen[0, 0] == 255
    assert seen[0, 1] == 255 and np.sort(seen.ravel())[0] < 20


@pytest.mark.parametrize("window", ["full", "percentile", (0, 10)])
def test_images_of_eight_bits_are_left_as_they_are(window: Window) -> None:
    gray = file_of(Image.fromarray((DEEP >> 5).astype(np.uint8)), "PNG")
    np.testing.assert_array_equal(read(gray, window=window), read(gray))
    red = file_of(Image.new("RGB", (SIDE, SIDE), "red"), "PNG")
    np.testing.assert_array_equal(read(red, window=window), read(red))


@pytest.mark.parametrize("window", ["full", "percentile"])
def test_an_image_of_one_value_is_black_and_one_with_few_others_is_not(window: Window) -> None:
    blank = np.full((SIDE * 10, SIDE * 10), 700, dtype=np.uint16)
    assert not read(file_of(Image.fromarray(blank), "PNG"), window=window).any()
    blank[:SIDE, :1] = 900  # fewer than half a percent
    seen = read(file_of(Image.fromarray(blank), "PNG"), window=window)
    assert seen.max() > 0


def test_what_a_window_cannot_mean_is_refused() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        read(tiff_of(np.full((4, 4), np.nan, dtype=np.float32)), window=(0, 1))
    pillow_reads_eight_bits = png_of_16_bit_colours()
    assert read(pillow_reads_eight_bits).ndim == 3
    with pytest.raises(ValueError, match=r"colours of more than 8 bits, to which data\.window does not apply"):
        read(pillow_reads_eight_bits, window="full")
    scaled = pgm(DEEP, 4095)
    with pytest.raises(ValueError, match="Pillow scales the numbers of PPM files"):
        read(scaled, window=(0, 4095))
    exact = read(file_of(Image.fromarray(DEEP), "PNG"), window="full").astype(int)
    np.testing.assert_allclose(read(scaled, window="full"), exact, atol=1)


def png_of_16_bit_colours() -> bytes:
    import struct
    import zlib

    rows = b"".join(b"\0" + np.stack([row, row // 2, row // 3], 1).astype(">u2").tobytes() for row in DEEP * 16)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


WIDE = np.repeat(np.arange(64, dtype=np.uint8)[None] * 4, 32, axis=0)  # twice as wide as high, brighter to the right


def test_crop_takes_the_middle_and_letterbox_keeps_everything() -> None:
    content = file_of(Image.fromarray(WIDE), "PNG")
    resized = {
        name: decode(io.BytesIO(content), 32, PixelRules(resize=name)) for name in ("squash", "crop", "letterbox")
    }
    np.testing.assert_array_equal(resized["crop"], WIDE[:, 16:48])
    np.testing.assert_array_equal(resized["squash"], np.asarray(Image.fromarray(WIDE).resize((32, 32), 2)))
    bars = resized["letterbox"]
    assert not bars[:8].any() and not bars[24:].any()
    np.testing.assert_array_equal(bars[8:24], np.asarray(Image.fromarray(WIDE).resize((32, 16), 2)))


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (3, 3), (31, 33)])
@pytest.mark.parametrize("resize", ["crop", "letterbox"])
def test_every_shape_becomes_a_square(shape: tuple[int, int], resize: str) -> None:
    content = file_of(Image.fromarray(np.full((*shape, 3), (200, 100, 50), dtype=np.uint8)), "PNG")
    seen = decode(io.BytesIO(content), 24, PixelRules(resize=resize))
    assert seen.shape == (24, 24, 3)
    assert seen.max() == 200


def test_images_stand_upright_before_they_are_cropped() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    upright = np.rot90(WIDE[:, :48], -1)
    content = file_of(Image.fromarray(WIDE[:, :48]), "PNG", exif=exif)
    seen = decode(io.BytesIO(content), 32, PixelRules(resize="crop"))
    np.testing.assert_array_equal(seen, upright[8:40])


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_the_frame_that_is_asked_for_is_read(kind: str) -> None:
    frames = [Image.new("L", (SIDE, SIDE), level) for level in (50, 100, 200)]
    content = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
    assert [int(read(content, frame=number).mean()) for number in (1, 2, 3)] == [50, 100, 200]
    with pytest.raises(ValueError, match=r"it has 3 frames, and data\.frame asks for number 4"):
        read(content, frame=4)
    with pytest.raises(ValueError, match="it has 1 frame, and"):
        read(file_of(frames[0], "PNG"), frame=2)


def test_the_cache_and_the_pictures_of_a_report_have_the_pixels_of_the_study(
    image_folder: Path, tmp_path: Path
) -> None:
    """And without rules they lie where they did before there were any."""
    plain, store = read_dataset(image_folder, Data(source="folder")), Store(tmp_path / "st")
    file = image_folder / plain.table["image"][0]
    Image.fromarray(DEEP).save(file)
    plain = read_dataset(image_folder, Data(source="folder"))
    row = plain.table["image"].tolist().index(file.relative_to(image_folder).as_posix())
    other = read_dataset(image_folder, Data(source="folder", window=[0, 4095]))
    assert other.digest == plain.digest
    seen = [open_pixels(pixel_cache(dataset, SIDE, store))[row] for dataset in (plain, other)]
    np.testing.assert_array_equal(seen[0][0], DEEP >> 8)
    np.testing.assert_array_equal(seen[1][0], expected(DEEP, 0, 4095))
    for dataset, pixels in zip((plain, other), seen, strict=True):
        for _ in range(2):  # decoded, then stored
            np.testing.assert_array_equal(picture(dataset, Framing(SIDE), store, row), pixels)
    assert (store.pictures / f"{plain.table['sha256'][row]}-{SIDE}.png").exists()

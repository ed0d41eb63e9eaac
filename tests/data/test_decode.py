"""The rules by which a file becomes bytes of eight bits."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.data.decode import Pixels, decode

SIDE = 16
GRAY = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
DEEP = GRAY.astype(np.uint16) * 257 - 128  # the high byte is that of no rounding
DEEP[0, 0] = 0


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def read(content: bytes) -> Pixels:
    return decode(io.BytesIO(content), SIDE)


def rgba(alpha: int) -> Image.Image:
    """Gray levels, with this alpha in the upper half."""
    layer = np.full_like(GRAY, 255)
    layer[: SIDE // 2] = alpha
    return Image.fromarray(np.dstack([GRAY, GRAY, GRAY, layer]))


def palette(alpha: int) -> Image.Image:
    image = Image.fromarray(GRAY // 128).convert("P")  # two colours: that of the upper half and that of the lower
    image.putpalette([20, 20, 20, 200, 200, 200], "RGB")
    image.info["transparency"] = bytes([alpha, 255])
    return image


FILES: dict[str, Callable[[int], bytes]] = {
    "RGBA": lambda alpha: file_of(rgba(alpha), "PNG"),
    "LA": lambda alpha: file_of(rgba(alpha).convert("LA"), "PNG"),
    "TIFF": lambda alpha: file_of(rgba(alpha), "TIFF"),
    "TIFF, LA": lambda alpha: file_of(rgba(alpha).convert("LA"), "TIFF"),
    "WebP": lambda alpha: file_of(rgba(alpha), "WEBP", lossless=True),
    "palette": lambda alpha: file_of(palette(alpha), "PNG"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_transparent_lies_on_white(name: str) -> None:
    dropped = read(FILES[name](255)).astype(float)
    for alpha in (0, 128, 254):
        seen = read(FILES[name](alpha))
        half = SIDE // 2
        np.testing.assert_array_equal(seen[half:], dropped[half:])
        mixed = 255 + (dropped[:half] - 255) * alpha / 255
        np.testing.assert_allclose(seen[:half], mixed, atol=1)


def test_alpha_that_is_opaque_everywhere_is_dropped_to_the_bit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 4), dtype=np.uint8)
    noise[..., 3] = 255
    plain = Image.fromarray(noise[..., :3])
    np.testing.assert_array_equal(read(file_of(Image.fromarray(noise), "PNG")), read(file_of(plain, "PNG")))
    gray = plain.convert("L")
    with_alpha = gray.convert("LA")
    np.testing.assert_array_equal(read(file_of(with_alpha, "PNG")), read(file_of(gray, "PNG")))


@pytest.mark.parametrize(
    ("image", "key"),
    [(Image.fromarray(GRAY), 7), (Image.fromarray(np.dstack([GRAY] * 3)), (7, 7, 7)), (Image.fromarray(DEEP), 1671)],
    ids=["L", "RGB", "16 bits"],
)
def test_the_colour_that_a_file_calls_transparent_is_white(image: Image.Image, key: Any) -> None:
    expected = read(file_of(image, "PNG")).copy()
    assert expected[0, 7] < 10
    expected[0, 7] = 255
    np.testing.assert_array_equal(read(file_of(image, "PNG", transparency=key)), expected)


def test_a_drawing_in_the_alpha_channel_stands_upright() -> None:
    drawing = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    drawing[0, :, 3] = 255  # a black line at the top, that the EXIF data turn to the right
    exif = Image.Exif()
    exif[0x0112] = 6
    expected = np.full((SIDE, SIDE), 255)
    expected[:, -1] = 0
    np.testing.assert_array_equal(read(file_of(Image.fromarray(drawing), "PNG", exif=exif)), expected)


def pgm(values: NDArray[Any], highest: int) -> bytes:
    return f"P5 {SIDE} {SIDE} {highest}\n".encode() + values.astype(">u2").tobytes()


def tiff(array: NDArray[Any], entries: dict[int, int]) -> bytes:
    """The array as TIFF, with other values in these tags of one 16-bit number."""
    content = file_of(Image.fromarray(array), "TIFF", tiffinfo=dict.fromkeys(entries, 1))
    for tag, value in entries.items():
        place = content.index(struct.pack("<HHI", tag, 3, 1)) + 8
        content = content[:place] + struct.pack("<H", value) + content[place + 2 :]
    return content


def fits(values: NDArray[np.int16]) -> bytes:
    cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": SIDE, "NAXIS2": SIDE}
    head = "".join(f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()) + "END".ljust(80)
    return head.ljust(2880).encode() + values.astype(">i2").tobytes().ljust(2880, b"\0")


def png(depth: int, colour: int, key: bytes) -> bytes:
    """A black PNG of this depth and colour type, whose transparent colour is `key`."""
    row = bytes(1 + SIDE * depth * (3 if colour == 2 else 1) // 8)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(row * SIDE)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


PHOTOMETRIC, SAMPLE_FORMAT = 262, 339


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (file_of(Image.fromarray(DEEP), "PNG"), DEEP >> 8),
        (file_of(Image.fromarray(DEEP), "TIFF"), DEEP >> 8),
        (file_of(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"), DEEP >> 8),
        (file_of(Image.fromarray(DEEP), "JPEG2000"), DEEP >> 8),
        (pgm(DEEP, 65535), DEEP >> 8),
        (pgm(DEEP >> 4, 4095), np.round((DEEP >> 4) / 4095 * 65535).astype(int) >> 8),
        (tiff(DEEP, {PHOTOMETRIC: 0}), 255 - (DEEP >> 8)),
        (tiff(GRAY, {PHOTOMETRIC: 0}), 255 - GRAY),
    ],
    ids=["PNG", "TIFF", "LZW", "JPEG 2000", "PGM", "PGM of 12 bits", "0 is white", "8 bits, 0 is white"],
)
def test_of_sixteen_bits_the_high_byte_is_kept(content: bytes, expected: NDArray[Any]) -> None:
    np.testing.assert_array_equal(read(content), expected)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (tiff(DEEP.astype(np.int32), {}), "signed integers"),
        (tiff(DEEP.astype(np.int32), {SAMPLE_FORMAT: 1}), "integers of 32 bits"),
        (tiff(DEEP, {SAMPLE_FORMAT: 2}), "signed integers"),
        (tiff(GRAY, {SAMPLE_FORMAT: 2}), "signed integers"),
        (tiff(DEEP.astype(np.float32), {}), "floats"),
        (fits(DEEP.astype(np.int16)), "signed integers"),
    ],
    ids=["int32", "uint32", "int16", "int8", "float32", "FITS"],
)
def test_numbers_of_which_nobody_knows_what_is_white_are_refused(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=f"its pixels are {told}, whose range is not known; scale them .*8 or 16"):
        read(content)


@pytest.mark.parametrize(("depth", "colour", "key"), [(16, 2, b"\0\1" * 3), (4, 0, b"\0\1"), (2, 0, b"\0\1")])
def test_a_transparent_colour_that_pillow_does_not_find_is_refused(depth: int, colour: int, key: bytes) -> None:
    with pytest.raises(ValueError, match=r"transparent colour .*save it with 8 bits"):
        read(png(depth, colour, key))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), (level,) * 3) for level in (50, 100, 200)]
    content = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read(content), 50, atol=1)


@pytest.mark.parametrize("mode", ["1", "CMYK", "LAB"])
def test_other_modes_become_gray_or_rgb(mode: str) -> None:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    image.paste((0, 0, 0), (0, 0, SIDE, SIDE // 2))
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
    else:
        converted = image.convert(mode)
    seen = read(file_of(converted, "TIFF"))
    assert Image.open(io.BytesIO(file_of(converted, "TIFF"))).mode == mode
    np.testing.assert_allclose(seen[: SIDE // 2], 0, atol=2)
    np.testing.assert_allclose(seen[SIDE // 2 :], 255, atol=2)

"""DICOM files, checked against what pydicom's own functions make of them."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from harness.data import decode as decoding
from harness.data import dicom
from harness.data.decode import decode, reason
from harness.data.folder import read_folder
from harness.data.headers import header
from harness.data.manifest import read_dataset
from harness.data.pixels import open_pixels, pixel_cache
from harness.errors import DataError
from harness.store import Store
from harness.study.data_block import Data
from harness.study.pixel_rules import PixelRules
from tests.conftest import draw_images
from tests.dicom import lut, write_dicom

SIDE = 24
RNG = np.random.default_rng(0)


def stored(bits: int, signed: bool = False, frames: int = 0) -> NDArray[Any]:
    """Values that use all bits, the extremes among them."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    kind = (np.int16 if signed else np.uint16) if bits > 8 else np.uint8
    values = RNG.integers(low, high, (frames or 1, SIDE, SIDE)).astype(kind)
    values[:, 0, :2] = low, high - 1
    return values if frames else values[0]


def presentations(bits: int) -> dict[str, dict[str, Any]]:
    """The tags by which a file says how its values are shown; `signed` and `frames` are of the values."""
    middle, curve = 2 ** (bits - 1), (np.linspace(0, 1, 2**bits) ** 2 * 1023).round().astype(np.uint16)
    table = np.linspace(0, 65535, 2**bits).astype(np.uint16)[::-1]
    return {
        "without a window": {},
        "a window": {"WindowCenter": middle, "WindowWidth": middle},
        "a window beyond the values": {"WindowCenter": 0, "WindowWidth": 2 ** (bits + 1)},
        "several windows, of which the first counts": {
            "WindowCenter": [middle, 10], "WindowWidth": [middle / 2 + 0.5, 20],
        },
        "a window that is exact": {
            "WindowCenter": middle, "WindowWidth": middle, "VOILUTFunction": "LINEAR_EXACT",
        },
        "a sigmoid": {"WindowCenter": middle, "WindowWidth": middle, "VOILUTFunction": "SIGMOID"},
        "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -1024},
        "rescaled down": {"RescaleSlope": -0.5, "RescaleIntercept": 100},
        "rescaled, with a window": {
            "RescaleSlope": 1.5, "RescaleIntercept": -1024, "WindowCenter": middle, "WindowWidth": middle,
        },
        "a VOI LUT": {"VOILUTSequence": lut(curve, 0, 10)},
        "a VOI LUT and a window": {"VOILUTSequence": lut(curve, 0, 10), "WindowCenter": 5, "WindowWidth": 9},
        "a modality LUT": {"ModalityLUTSequence": lut(table, 0, 16)},
        "signed, with a window": {"signed": True, "WindowCenter": 40, "WindowWidth": middle},
        "signed and rescaled, with a window": {
            "signed": True, "RescaleSlope": 1, "RescaleIntercept": -24, "WindowCenter": 40, "WindowWidth": middle,
        },
        "several frames": {"frames": 3, "WindowCenter": middle, "WindowWidth": middle},
    }  # fmt: skip


def sixty(to: Path) -> Iterator[tuple[str, Path]]:
    """Every presentation with 12 and 16 bits and both kinds of gray."""
    for bits in (12, 16):
        for kind in ("MONOCHROME1", "MONOCHROME2"):
            for name, tags in presentations(bits).items():
                given = dict(tags)
                values = stored(bits, given.pop("signed", False), given.pop("frames", 0))
                yield name, write_dicom(to / f"{bits} {kind} {name}.dcm", values, bits, kind, **given)


def shown_by_pydicom(data: Dataset, index: int) -> NDArray[np.float64]:
    """The gray levels from 0 to 1 that pydicom's functions give; its black and white are those of extreme values."""
    values = apply_modality_lut(pixel_array(data, index=index), data)
    shown = apply_voi_lut(values, data).astype(float)
    if "VOILUTSequence" in data:
        black, white = 0.0, 1023.0
    elif "WindowCenter" in data:
        black, white = apply_voi_lut(np.array([-1e9, 1e9]), data)
    elif "ModalityLUTSequence" in data:
        black, white = 0.0, 65535.0
    else:  # the values use the whole range
        black, white = shown.min(), shown.max()
    levels = (shown - black) / (white - black)
    return 1 - levels if data.PhotometricInterpretation == "MONOCHROME1" else levels


def test_sixty_files_are_shown_as_pydicom_shows_them(tmp_path: Path) -> None:
    count = 0
    for name, path in sixty(tmp_path):
        frame = 2 if name == "several frames" else None
        seen = decode(path, SIDE, PixelRules(frame=frame))
        expected = shown_by_pydicom(dcmread(path), (frame or 1) - 1) * 255
        np.testing.assert_allclose(seen, expected, rtol=0, atol=0.5 + 1e-6, err_msg=path.name)
        assert len(np.unique(seen)) > 20, path.name
        assert header(path)[:2] == (SIDE, SIDE)
        assert header(path)[2] == " ".join([*path.name.split()[1::-1], "bits"])
        assert header(path)[3] == (name == "several frames")
        count += 1
    assert count == 60


def test_the_linear_window_is_that_of_the_standard(tmp_path: Path) -> None:
    """PS3.3 C.11.2.1.2: a window from center - 0.5 - (width - 1) / 2 to center - 0.5 + (width - 1) / 2."""
    values = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
    path = write_dicom(tmp_path / "a.dcm", values, 12, WindowCenter=300, WindowWidth=101)
    seen = decode(path, SIDE)
    np.testing.assert_array_equal(seen == 0, values <= 249)
    np.testing.assert_array_equal(seen == 255, values >= 350)
    assert seen[values == 300] == round((0.5 / 100 + 0.5) * 255)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_declared_window_counts_in_the_units_of_the_file(tmp_path: Path, kind: str) -> None:
    values = stored(12)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 80}
    path = write_dicom(tmp_path / "a.dcm", values, 12, kind, **tags)
    seen = decode(path, SIDE, PixelRules(window=(-1000, 400)))
    levels = ((values.astype(float) - 1024 + 1000) / 1400).clip(0, 1)
    expected = 1 - levels if kind == "MONOCHROME1" else levels
    np.testing.assert_allclose(seen, expected * 255, atol=0.5 + 1e-6, rtol=0)
    full = decode(path, SIDE, PixelRules(window="full"))
    levels = values / 4095
    np.testing.assert_allclose(full, (1 - levels if kind == "MONOCHROME1" else levels) * 255, atol=0.5 + 1e-6, rtol=0)


def test_what_is_signed_or_has_32_bits_needs_a_window(tmp_path: Path) -> None:
    signed = write_dicom(tmp_path / "a.dcm", stored(16, signed=True), 16)
    big = write_dicom(tmp_path / "b.dcm", stored(16).astype(np.uint32) * 1000, 32)
    for path, what in ((signed, "signed integers"), (big, "integers of 32 bits")):
        with pytest.raises(ValueError, match=rf"its pixels are {what} without a window.* declare it in data\.window"):
            decode(path, SIDE)
        assert decode(path, SIDE, PixelRules(window="full")).max() == 255


def test_the_groups_of_a_frame_say_how_it_is_shown(tmp_path: Path) -> None:
    """Enhanced files have the rescaling in groups, the shared ones and those of each frame."""

    def group(**sequences: dict[str, Any]) -> Dataset:
        made = Dataset()
        for name, tags in sequences.items():
            item = Dataset()
            for tag, value in tags.items():
                setattr(item, tag, value)
            setattr(made, name, [item])
        return made

    values = stored(12, frames=2)
    shared = group(FrameVOILUTSequence={"WindowCenter": 500, "WindowWidth": 400})
    each = [
        group(PixelValueTransformationSequence={"RescaleSlope": slope, "RescaleIntercept": 0, "RescaleType": "US"})
        for slope in (1, 0.25)
    ]
    tags: dict[str, Any] = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": each}
    path = write_dicom(tmp_path / "a.dcm", values, 12, **tags)
    for frame, slope in ((1, 1), (2, 0.25)):
        plain: dict[str, Any] = {"RescaleSlope": slope, "RescaleIntercept": 0, "WindowCenter": 500, "WindowWidth": 400}
        same = write_dicom(tmp_path / "b.dcm", values[frame - 1], 12, **plain)
        np.testing.assert_array_equal(decode(path, SIDE, PixelRules(frame=frame)), decode(same, SIDE))


def test_frames_are_named_or_refused(tmp_path: Path) -> None:
    values = stored(12, frames=3)
    path = write_dicom(tmp_path / "a.dcm", values, 12)
    with pytest.raises(ValueError, match=r"it has 3 frames; data\.frame says which of them is read, counted from 1"):
        decode(path, SIDE)
    with pytest.raises(ValueError, match=r"it has 3 frames, and data\.frame asks for number 4"):
        decode(path, SIDE, PixelRules(frame=4))
    for frame in (1, 3):
        expected = decode(write_dicom(tmp_path / "b.dcm", values[frame - 1], 12), SIDE)
        np.testing.assert_array_equal(decode(path, SIDE, PixelRules(frame=frame)), expected)


def test_colours_become_rgb_of_eight_bits(tmp_path: Path) -> None:
    rgb = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "a.dcm", rgb, 8, "RGB")
    np.testing.assert_array_equal(decode(path, SIDE), rgb)
    deep = write_dicom(tmp_path / "b.dcm", rgb.astype(np.uint16) * 257, 16, "RGB")
    np.testing.assert_array_equal(decode(deep, SIDE), rgb)
    with pytest.raises(ValueError, match="colours of more than 8 bits"):
        decode(deep, SIDE, PixelRules(window="full"))
    ybr = write_dicom(tmp_path / "c.dcm", rgb, 8, "YBR_FULL")
    np.testing.assert_array_equal(decode(ybr, SIDE), pixel_array(dcmread(ybr)))
    with pytest.raises(ValueError, match="its colours are HSV; allowed: MONOCHROME1, MONOCHROME2, RGB"):
        decode(write_dicom(tmp_path / "d.dcm", rgb, 8, "HSV"), SIDE)
    gray = write_dicom(tmp_path / "e.dcm", np.repeat(rgb[..., :1], 3, axis=2), 8, "RGB")
    np.testing.assert_array_equal(decode(gray, SIDE), rgb[..., 0])  # one channel, as of any file


TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
READ = {  # of the files that pydicom ships, some of each kind that are read
    "693_J2KI.dcm", "ExplVR_BigEnd.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_16bit.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "examples_palette.dcm", "examples_overlay.dcm", "image_dfl.dcm",
    "liver_1frame.dcm",
}  # fmt: skip
REFUSED = {  # and some that are refused, with the reason
    "CT_small.dcm": "signed integers without a window", "MR_truncated.dcm": "pixel data is less than expected",
    "rtdose.dcm": "it has 15 frames", "rtdose_1frame.dcm": "integers of 32 bits without a window",
    "rtplan.dcm": "it has no pixels: it is a RT Plan Storage", "DICOMDIR": "it has no pixels",
    "rtstruct.dcm": "not a DICOM file: DICM is not at its byte 128", "badVR.dcm": "NumberOfFrames is not a number",
    "zipMR.gz": "not an image that Pillow reads", "meta_missing_tsyntax.dcm": "it lacks the tag",
}  # fmt: skip
NEEDS_A_DECODER = ("JPEGLSNearLossless_16.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPEG-lossy.dcm")


def test_the_files_that_pydicom_ships_are_read_or_refused_in_a_line() -> None:
    files = [file for file in TEST_FILES.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")]
    assert len(files) > 150
    found: dict[str, str] = {}
    for file in files:
        try:
            seen = decode(file, SIDE)
            assert seen.shape in ((SIDE, SIDE), (SIDE, SIDE, 3))
            found[file.name] = "read"
        except Exception as error:
            found[file.name] = reason(error, file.name)
            assert "\n" not in found[file.name] and len(found[file.name]) > 10
    assert {name for name in READ if found[name] != "read"} == set()
    assert {name: why for name, why in REFUSED.items() if why not in found[name]} == {}
    for name in NEEDS_A_DECODER:
        assert found[name] == "read" or "pip install 'pylibjpeg[all]'" in found[name]


def test_a_palette_gives_the_colours_of_pydicom() -> None:
    data = dcmread(TEST_FILES / "examples_palette.dcm")
    expected = apply_color_lut(pixel_array(data), data)
    seen = np.asarray(dicom.dicom_image(TEST_FILES / "examples_palette.dcm", PixelRules()))
    np.testing.assert_allclose(seen, expected * (255 / np.iinfo(expected.dtype).max), rtol=0, atol=0.5)


def images(root: Path) -> list[str]:
    return read_folder(root).images["image"].tolist()


def dicom_folder(root: Path) -> Path:
    """Two classes of PNG files with DICOM files among them, of the names that they have on disks and in archives."""
    draw_images(root, {f"train/{label}/{number}.png": number + ord(label) for label in "AB" for number in range(4)})
    for name in ("a.dcm", "b.DCM", "IM000001", "1.2.840.113619.2.55", "c.IMA"):
        write_dicom(root / "train" / "A" / name, stored(12), 12)
    (root / "train" / "A" / "no-image").write_bytes(b"nothing")
    (root / "train" / "A" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return root


def test_dicom_files_are_found_by_their_ending_or_their_first_bytes(tmp_path: Path) -> None:
    root = dicom_folder(tmp_path / "d")
    found = {Path(image).name for image in images(root)}
    assert {"a.dcm", "b.DCM", "IM000001", "1.2.840.113619.2.55", "c.IMA"} < found
    assert not {"no-image", "DICOMDIR"} & found
    (left,) = read_folder(root).left_out
    assert str(left) == (
        "not read: 1 file with an extension that is not read (1 without an extension), train/A/no-image"
    )
    dataset = read_dataset(root, Data(source="folder"))
    pixels = open_pixels(pixel_cache(dataset, SIDE, Store(tmp_path / "st")))
    row = dataset.table["image"].tolist().index("train/A/IM000001")
    np.testing.assert_array_equal(pixels[row, 0], decode(root / "train/A/IM000001", SIDE))


@pytest.fixture
def without_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dicom, decoding):
        monkeypatch.setattr(module, "has_pydicom", lambda: False)


@pytest.mark.usefixtures("without_pydicom")
def test_without_pydicom_dicom_files_are_counted_and_the_extra_is_named(tmp_path: Path) -> None:
    root = dicom_folder(tmp_path / "d")
    assert len(images(root)) == 8
    (left,) = read_folder(root).left_out
    assert left.count == 6
    words = str(left)
    assert "2 .dcm" in words and "3 DICOM" in words and words.endswith("; pip install 'harness[dicom]' reads DICOM")
    with pytest.raises(ValueError, match=r"DICOM files need pydicom: pip install 'harness\[dicom\]'"):
        decode(io.BytesIO((root / "train/A/a.dcm").read_bytes()), SIDE)
    for image in (root / "train/B").iterdir():
        image.rename(image.with_suffix(".dcm"))
    with pytest.raises(DataError, match=r"class B is empty.*4 \.dcm.*pip install 'harness\[dicom\]' reads DICOM"):
        read_folder(root)


def test_the_cache_key_has_the_decoders_of_dicom_files_alone() -> None:
    assert dicom.decoder_versions(["a/b.png", "c.tif"]) == []
    assert dicom.decoder_versions(["a/b.png", "c.dcm"])[0] == f"pydicom {pydicom.__version__}"
    assert dicom.decoder_versions(["a/IM1"]) == dicom.decoder_versions(["1.2.3"]) != []


def test_a_dicom_file_that_cannot_be_read_is_named_or_left_out(tmp_path: Path) -> None:
    root = dicom_folder(tmp_path / "d")
    write_dicom(root / "train/B/film.dcm", stored(12, frames=2), 12)
    dataset = read_dataset(root, Data(source="folder"))
    with pytest.raises(DataError, match=r"film\.dcm \(it has 2 frames; data\.frame says which"):
        pixel_cache(dataset, SIDE, Store(tmp_path / "st"))
    skipped = read_dataset(root, Data(source="folder", on_bad_image="skip")).skipped
    assert skipped is not None and list(skipped.reasons) == ["train/B/film.dcm"]

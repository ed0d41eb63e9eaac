"""DICOM files as images of 8 bits, as their own tags say that they are shown; by pydicom, an extra."""

import logging
import os
import warnings
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.windows import DEEP_COLOURS, scaled, windowed
from harness.errors import first_line
from harness.study.pixel_rules import PixelRules, Window

if TYPE_CHECKING:
    from pydicom import Dataset

EXTENSIONS = (".dcm", ".dicom")
INSTALL = "pip install 'harness[dicom]'"
INSTALL_DECODERS = "pip install 'pylibjpeg[all]'"
DECLARE = "declare it in data.window: [low, high], full or percentile"
MAX_KNOWN_BITS = 16  # of numbers that are expected to use their range
MAGIC_END = 132  # bytes: a preamble of 128, then DICM
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GRAYS = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # which pydicom returns as RGB
PALETTE = "PALETTE COLOR"
DECODERS = (
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyjpegls",
    "python-gdcm",
)

# Relevant problems are refused here or counted by the audit.
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").addHandler(logging.NullHandler())


@cache
def has_pydicom() -> bool:
    """Whether the extra is installed."""
    return find_spec("pydicom") is not None


def is_dicom(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a DICOM file. Its preamble may look like another format."""
    return head[128:MAGIC_END] == b"DICM"


def is_dicom_file(path: str) -> bool:
    """Whether this is a DICOM file: by its ending, or by its first bytes where it has none, or a number as in a UID."""
    extension = Path(path).suffix.lower()
    return extension in EXTENSIONS or (_says_nothing(extension) and _has_magic(path))


def _says_nothing(extension: str) -> bool:
    return not extension or extension[1:].isdigit() or extension == ".ima"


def _has_magic(path: str) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113 - its name may contain bytes that are not UTF-8
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return is_dicom(file.read(MAGIC_END))
    except OSError:
        return False


def decoder_versions(images: Iterable[str]) -> list[str]:
    """The versions of what decodes DICOM files, for cache keys; empty where none of these images is one by its name."""
    extensions = {Path(image).suffix.lower() for image in images}
    if not any(extension in EXTENSIONS or _says_nothing(extension) for extension in extensions):
        return []
    return [f"{name} {number}" for name in DECODERS if (number := _version(name))]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def dicom_image(file: Path | BinaryIO, rules: PixelRules) -> Image.Image:
    """The image of a DICOM file, gray or RGB of 8 bits.

    Raises ValueError, or what pydicom raises, where it cannot be read or it is not known which of its frames.
    """
    data = _read(file, pixels=True)
    frames = _frames(data)
    if frames > 1 and rules.frame is None:
        raise ValueError(f"it has {frames} frames; data.frame says which of them is read, counted from 1")
    index = rules.frame_index(frames)
    values, kind = _decompressed(data, index), data.PhotometricInterpretation
    if kind not in GRAYS:
        return Image.fromarray(_colours(values, data, rules.window))
    _use_groups(data, index)
    levels = _levels(values, data, rules.window)
    return Image.fromarray(255 - levels if kind == "MONOCHROME1" else levels)


def dicom_header(file: Path) -> tuple[int, int, str, bool]:
    """The width, the height, the kind such as `MONOCHROME2 12 bits`, and whether there are several frames."""
    data = _read(file, pixels=False)
    kind = f"{data.PhotometricInterpretation} {data.get('BitsStored', 32)} bits"
    return int(data.Columns), int(data.Rows), kind, _frames(data) > 1


def _read(file: Path | BinaryIO, pixels: bool) -> "Dataset":
    """Read a DICOM file. pixels: require and read them, too."""
    if not has_pydicom():
        raise ValueError(f"DICOM files need pydicom: {INSTALL}")
    from pydicom import dcmread

    data = dcmread(file, stop_before_pixels=not pixels)
    if pixels and not any(name in data for name in PIXELS):
        what = f": it is a {data.SOPClassUID.name}" if data.get("SOPClassUID") else ""
        raise ValueError(f"it has no pixels{what}")
    missing = [name for name in ("PhotometricInterpretation", "Rows", "Columns") if data.get(name) in (None, "")]
    if missing:
        raise ValueError(f"it lacks the tag {missing[0]}")
    if data.Rows * data.Columns > (Image.MAX_IMAGE_PIXELS or 2**63):
        raise ValueError(f"{data.Columns} x {data.Rows} pixels are more than Pillow's safe limit")
    return data


def _frames(data: "Dataset") -> int:
    """The number of frames. Raises ValueError where its tag is no number."""
    try:
        return int(data.get("NumberOfFrames") or 1)
    except ValueError as error:
        raise ValueError(f"its NumberOfFrames is not a number: {first_line(error)}") from None


def _decompressed(data: "Dataset", index: int) -> NDArray[Any]:
    """The values of a frame: [rows, columns], or RGB in the last axis."""
    from pydicom.pixels.utils import pixel_array

    known = (*GRAYS, *COLOURS, PALETTE)
    if data.PhotometricInterpretation not in known:
        raise ValueError(f"its colours are {data.PhotometricInterpretation}; allowed: {', '.join(known)}")
    try:
        return pixel_array(data, index=index)
    except RuntimeError as error:
        name, (first, *causes) = data.file_meta.TransferSyntaxUID.name, str(error).splitlines()
        if "missing dependencies" in first:
            raise ValueError(f"its compression, {name}, needs a decoder: {INSTALL_DECODERS}") from None
        why = "; ".join(cause.strip() for cause in causes)  # one for each decoder
        raise ValueError(f"its compression, {name}, cannot be read ({why or first}); try {INSTALL_DECODERS}") from None


def _colours(values: NDArray[Any], data: "Dataset", window: Window | None) -> NDArray[np.uint8]:
    """The colours with 8 bits each: [rows, columns, 3]."""
    if data.PhotometricInterpretation == PALETTE:
        from pydicom.pixels.processing import apply_color_lut

        values = apply_color_lut(values, data)[..., :3]
        bits = values.dtype.itemsize * 8
    else:
        bits = data.BitsStored
        if window and bits > 8:
            raise ValueError(DEEP_COLOURS)
    return values.astype(np.uint8) if bits == 8 else scaled(values, 0, 2**bits - 1)


def _use_groups(data: "Dataset", index: int) -> None:
    """Give the file the rescaling and the window that this frame has in its functional groups, where it has any."""
    shared, each = (data.get(f"{name}FunctionalGroupsSequence") or [] for name in ("Shared", "PerFrame"))
    for group in (*shared[:1], *each[index : index + 1]):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for element in (group.get(name) or [()])[0]:
                data[element.tag] = element


def _levels(values: NDArray[Any], data: "Dataset", window: Window | None) -> NDArray[np.uint8]:
    """The gray levels, before the inversion of MONOCHROME1."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(values, data)
    if window:
        return windowed(values, window)
    for table in (data.get("VOILUTSequence") or [])[:1]:
        if _has(table, "LUTDescriptor", "LUTData"):
            return scaled(apply_voi_lut(values, data), 0, 2 ** table.LUTDescriptor[2] - 1)
    low, high = _range(data)
    if _has(data, "WindowCenter", "WindowWidth"):
        return scaled(apply_voi_lut(values, data), low, high)
    _require_known_range(data)
    return scaled(values, min(low, high), max(low, high))


def _has(data: "Dataset", *tags: str) -> bool:
    return all(data.get(tag) is not None for tag in tags)


def _require_known_range(data: "Dataset") -> None:
    """Raise ValueError where a file names no window, and its numbers hardly use the range of their type."""
    if data.get("ModalityLUTSequence"):
        return
    if data.PixelRepresentation:
        raise ValueError(f"its pixels are signed integers without a window, whose range is not known; {DECLARE}")
    if data.BitsStored > MAX_KNOWN_BITS:
        kind = f"integers of {data.BitsStored} bits"
        raise ValueError(f"its pixels are {kind} without a window, whose range is not known; {DECLARE}")


def _range(data: "Dataset") -> tuple[float, float]:
    """What the smallest and the largest number that a pixel may store become by the rescaling."""
    if "PixelData" not in data:
        raise ValueError(f"its pixels are floats, whose range is not known; {DECLARE}")
    if data.get("ModalityLUTSequence"):
        low, high = 0, 2 ** data.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    elif data.PixelRepresentation == 0:
        low, high = 0, 2**data.BitsStored - 1
    else:
        low, high = -(2 ** (data.BitsStored - 1)), 2 ** (data.BitsStored - 1) - 1
    if not _has(data, "RescaleSlope", "RescaleIntercept"):
        return low, high
    slope, intercept = float(data.RescaleSlope), float(data.RescaleIntercept)
    return low * slope + intercept, high * slope + intercept

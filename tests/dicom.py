"""Small DICOM files, made by pydicom."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian


def write_dicom(path: Path, values: NDArray[Any], bits: int, kind: str = "MONOCHROME2", **tags: Any) -> Path:
    """Write values [rows, columns], [frames, rows, columns] or, for colours, with 3 in a last axis."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = f"1.2.3.{zlib.crc32(path.name.encode())}"
    coloured = not kind.startswith("MONO") and kind != "PALETTE COLOR"
    shape = values.shape[:-1] if coloured else values.shape
    data.Rows, data.Columns = shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 3 if coloured else 1, kind
    if coloured:
        data.PlanarConfiguration = 0
    if len(shape) == 3:
        data.NumberOfFrames = shape[0]
    data.BitsAllocated, data.BitsStored, data.HighBit = values.dtype.itemsize * 8, bits, bits - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PixelData = np.ascontiguousarray(values).tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def lut(entries: NDArray[np.uint16], first: int, bits: int) -> list[Dataset]:
    """A sequence with one lookup table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 2**16, first, bits])
    item.add_new("LUTData", "OW", entries.tobytes())
    return [item]

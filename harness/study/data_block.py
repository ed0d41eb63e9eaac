"""The block `data:` of a study file: where the images are, and what is known of each."""

from typing import Annotated, Literal

from pydantic import Field

from harness.study.pixel_rules import GivenWindow, PixelRules, Resize
from harness.study.types import Count, Model

DICOM_PREFIX = "dicom:"  # of metadata: a tag of DICOM files follows, not the column of a table
PatientScope = Literal["dataset", "class"]
Split = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, Split] = {  # names in a table, in lower case, that need no `splits:`
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class Phantom(Model):
    """The size of the built-in synthetic dataset."""

    train: Annotated[int, Field(ge=8, le=1_000_000)] = 480
    test: Annotated[int, Field(ge=0, le=1_000_000)] = 120
    seed: Annotated[int, Field(ge=0)] = 0


class HeldOut(Model):
    """The part of the images that becomes the test set, where they come without one."""

    share: Annotated[float, Field(gt=0, lt=1)]
    by: Literal["patient", "image"] = "patient"
    seed: Annotated[int, Field(ge=0)] = 0


class Columns(Model):
    """The columns of a table of images, by what they say of an image. None: the table does not say it."""

    image: str = "image"
    label: str = "label"
    patient: str | None = None
    split: str | None = None
    fold: str | None = None


class Data(Model):
    """Where the images are and how they are read."""

    source: Literal["folder", "table", "kermany", "npz", "phantom"]
    path: str | None = None
    root: str | None = None  # of a table: where the paths of its images start; None: the folder of the table
    columns: Columns = Columns()
    metadata: list[str] = Field(default_factory=list)  # further columns of a table, and tags of DICOM files
    labels: dict[str, str] | None = None  # label -> class; images with other labels are left out
    splits: dict[str, Split] | None = None  # split in the table -> ours; rows of other splits are left out
    links: Literal["refuse", "follow"] = "refuse"  # those that lead out of the folder of the images
    image_size: Annotated[int, Field(ge=8, le=2048)] = 224
    resize: Resize = "squash"
    window: GivenWindow = None  # None: the high byte of 16 bits; of DICOM the window that the file gives
    frame: Count | None = None  # of several, from 1; None: the first
    positive: str | None = None
    patient: str | None = None
    patient_scope: PatientScope = "dataset"  # class: patient 1 of one class is not patient 1 of another one
    limit: Count | None = None
    on_bad_image: Literal["error", "skip"] = "error"  # skip: the manifest leaves out images that cannot be read
    val: Literal["ignore", "train"] = "ignore"
    test: HeldOut | None = None
    phantom: Phantom = Phantom()

    @property
    def patient_rule(self) -> str | None:
        """The rule that finds the patient in a path; None where there is none."""
        return self.patient or ("phantom" if self.source == "phantom" else None)

    @property
    def patient_source(self) -> str | None:
        """What says who the patient is: a rule, or the column of a table; None where nothing does."""
        return f"column {self.columns.patient}" if self.columns.patient is not None else self.patient_rule

    @property
    def dicom_metadata(self) -> list[str]:
        """The metadata that are tags of DICOM files, such as `dicom:Manufacturer`."""
        return [name for name in self.metadata if name.startswith(DICOM_PREFIX)]

    @property
    def table_metadata(self) -> list[str]:
        """The metadata that are columns of a table."""
        return [name for name in self.metadata if not name.startswith(DICOM_PREFIX)]

    @property
    def pixel_rules(self) -> PixelRules:
        """How image files become pixels."""
        return PixelRules(self.resize, self.window, self.frame)

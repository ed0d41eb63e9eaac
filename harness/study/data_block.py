"""The block `data:` of a study file: where the images are, and what is known of each."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from harness.study.pixel_rules import GivenWindow, PixelRules, Resize
from harness.study.set_block import SPLIT, Columns, NamedSet, Split, TestImages
from harness.study.types import Count, GrownModel

DICOM_PREFIX = "dicom:"  # of metadata: a tag of DICOM files follows, not the column of a table
PatientScope = Literal["dataset", "class"]


PhantomKind = Literal["opacities", "faint", "nodules"]
DEFAULT_KIND: PhantomKind = "opacities"


class Phantom(GrownModel):
    """The size of the built-in synthetic dataset, and what is to be seen in its positive class."""

    ADDED_LATER = ("kind",)

    train: Annotated[int, Field(ge=8, le=1_000_000)] = 480
    test: Annotated[int, Field(ge=0, le=1_000_000)] = 120
    seed: Annotated[int, Field(ge=0)] = 0
    kind: PhantomKind = DEFAULT_KIND


class Data(GrownModel):
    """Where the images are and how they are read."""

    ADDED_LATER = ("corrections",)

    source: Literal["folder", "table", "kermany", "npz", "phantom", "digits"]
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
    corrections: str | None = None  # a table of training images whose labels were wrong
    patient_scope: PatientScope = "dataset"  # class: patient 1 of one class is not patient 1 of another one
    limit: Count | None = None
    on_bad_image: Literal["error", "skip"] = "error"  # skip: the manifest leaves out images that cannot be read
    val: Literal["ignore", "train"] = "ignore"
    test: TestImages | None = None
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
    def sets(self) -> Mapping[str, NamedSet]:
        """The named test sets by their names, the leading one first; empty where the one test set has no name."""
        return (self.test.sets if self.test else None) or {}

    @property
    def own_sets(self) -> dict[str, "Data"]:
        """The sets with images of their own, each as a block that says how to read them."""
        return {name: self._of_set(spec) for name, spec in self.sets.items() if spec.source is not None}

    def _of_set(self, spec: NamedSet) -> "Data":
        columns = spec.columns or Columns(
            image=self.columns.image, label=self.columns.label, patient=None if spec.patient else self.columns.patient
        )
        columns = columns if spec.source == "table" else Columns()
        known = spec.patient is not None or columns.patient is not None
        return Data(
            source=spec.source or self.source, path=spec.path, root=spec.root, metadata=spec.metadata, columns=columns,
            patient_scope=self.patient_scope if known else "dataset",
            labels=spec.labels, splits=spec.splits, links=spec.links, patient=spec.patient, val="train",
            on_bad_image=self.on_bad_image, resize=self.resize, window=self.window, frame=self.frame,
            test=TestImages(sets={"own": NamedSet(split=spec.split)}) if spec.split is not None else None,
        )  # fmt: skip

    @property
    def named_splits(self) -> frozenset[str]:
        """The splits that sets ask for by a name of their own, such as `external`; each stays apart from the others."""
        named = {str(name) for spec in self.sets.values() if not spec.source for name in spec.conditions.get(SPLIT, ())}
        return frozenset(named - {"train", "test"})

    @property
    def pixel_rules(self) -> PixelRules:
        """How image files become pixels."""
        return PixelRules(self.resize, self.window, self.frame)

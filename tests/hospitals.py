"""A table of chest X-rays with INVENTED hospitals, sexes and ages, to try studies of tables on real images.

python -m tests.hospitals CHEST_XRAY_FOLDER OUT

Writes OUT/cases.csv beside OUT/scans/, a flat folder with copies of the images. What it invents follows from a hash of
the patient, so that it is the same everywhere, all images of a patient agree, and nothing in the pixels shows it.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import pandas as pd

from harness.data.manifest import read_dataset
from harness.study.data_block import Data

SITES = ("North", "East", "South", "West")
SEXES = ("female", "male")
OLDEST_YEARS = 6  # the children of the data set are up to about this age


def cases(root: Path) -> pd.DataFrame:
    """A row an image: file, finding, patient, split, site, sex, age; the last three are invented."""
    spec = Data(source="folder", path=str(root), patient="kermany")
    table = read_dataset(root, spec).table
    drawn = table["patient"].map(lambda patient: hashlib.sha256(str(patient).encode()).digest())
    return pd.DataFrame(
        {
            "file": table["split"] + "-" + table["image"].str.rpartition("/")[2],
            "finding": table["label"],
            "patient": table["patient"],
            "split": table["split"],
            "site": drawn.map(lambda value: SITES[value[0] % len(SITES)]),
            "sex": drawn.map(lambda value: SEXES[value[1] % len(SEXES)]),
            "age": drawn.map(lambda value: value[2] % OLDEST_YEARS),
            "image": table["image"],
        }
    )


def write_cases(root: Path, out: Path) -> Path:
    """Write the table and the flat folder, and return the path of the table."""
    table = cases(root)
    (out / "scans").mkdir(parents=True)
    for file, image in zip(table["file"], table["image"], strict=True):
        shutil.copyfile(root / image, out / "scans" / file)
    table.drop(columns="image").to_csv(out / "cases.csv", index=False)
    return out / "cases.csv"


if __name__ == "__main__":
    print(write_cases(Path(sys.argv[1]), Path(sys.argv[2])))

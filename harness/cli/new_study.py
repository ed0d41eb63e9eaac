"""Write a first study file for a folder of images."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
from PIL import Image

from harness.data.folder import read_folder, require_folder
from harness.data.guesses import Guess, guess_patients, guess_positive
from harness.data.patient_counts import PATIENTS_UNKNOWN
from harness.errors import DataError, StudyError
from harness.models.names import HEADS
from harness.store.files import write_atomic
from harness.study.schema import study_schema
from harness.study.types import checked_name

SCHEMA_FILE = "study.schema.json"  # next to the study file, for editors
TEMPLATE = """\
# yaml-language-server: $schema={schema}
study: {name}
data:
  source: folder
  path: {path}
  image_size: {size}             # {sizes}
  {positive}
  {patient}
folds: {{k: {k}, repeats: 1, grouped: true, seed: 0}}
base:                         # the settings of every scenario, unless a factor varies them
  backbone: resnet18.tv_in1k  # a timm model; `harness plan` says which sizes it takes
  weights: imagenet           # imagenet | none | PATH.safetensors
  trainable: head             # head (frozen backbone) | all | last-N (its last N stages too)
  epochs: 15
  learning_rate: 1.0e-3
stages:
  - name: heads               # {classes}
    grid: {{head: [dropout-gap, batchnorm-gap], oversampling: [none, random]}}
    select: {{metric: val/balanced_accuracy}}
{test}
"""


@dataclass(frozen=True)
class NewStudy:
    """A study file that was written. notes: what was guessed, and which files of the folder are not read."""

    path: Path
    notes: tuple[str, ...]


def write_study(name: str, data: Path, target: Path) -> NewStudy:
    """Write a study file for the images in `data`. Raises HarnessError; overwrites nothing."""
    try:
        checked_name(name)
    except ValueError as error:
        raise StudyError(f"{name!r}: {error}") from None
    if target.exists():
        raise StudyError(f"{target} exists already; choose another name")
    require_folder(data, str(data))
    listing = read_folder(data)
    images = [found.image for found in listing.images if found.split == "train"]
    counts = Counter(found.label for found in listing.images if found.split == "train")
    if len(counts) < 2:
        raise DataError(f"{data}/train has the classes {list(counts)}; expected train/CLASS/* with two classes or more")
    k = 5 if min(counts.values()) >= 50 else 3
    guess = guess_patients(pd.DataFrame([vars(found) for found in listing.images]), k)
    positive, why = guess_positive(counts) if len(counts) == 2 else (None, "")
    text = TEMPLATE.format(
        schema=SCHEMA_FILE,
        name=name,
        path=_quoted(str(data.absolute())),
        size=224,
        sizes=f"the images {_sizes(data, images)}",
        positive=f"positive: {_quoted(positive)}         # whose recall, precision and AUC are shown; a guess: {why}"
        if positive
        else "# positive: CLASS         # without it, metrics are means over the classes",
        patient=_patient_lines(guess),
        k=k,
        classes=", ".join(f"{label}: {count:,}" for label, count in sorted(counts.items())),
        test="test: {stages: [heads], model: refit}"
        if any(found.split == "test" for found in listing.images)
        else "# no test/ folder: no test set",
    )
    schema = target.with_name(SCHEMA_FILE)
    if not schema.exists():
        write_atomic(schema, json.dumps(study_schema(HEADS), indent=1).encode())
    write_atomic(target, text.encode())
    about = f"no positive class: metrics are means over the {len(counts)} classes"
    if positive:
        about = f"positive class, guessed: {positive} ({why}); check this"
    return NewStudy(target, (guess.words, about, *map(str, listing.left_out)))


def _patient_lines(guess: Guess) -> str:
    """The lines of the study file that say who the patients are."""
    if guess.rule is None:
        return f"# patient: '^(?P<patient>p[0-9]+)_'   # searched below the class folder. {PATIENTS_UNKNOWN}"
    lines = [f"patient: {_quoted(guess.rule)}   # searched below the class folder: CHECK IT with `harness plan`"]
    if guess.twins:
        lines.append(f"# patient_scope: class   # if {guess.twins} are not the same patient")
    return "\n  ".join(lines)


def _sizes(data: Path, images: list[str]) -> str:
    sizes: Counter[tuple[int, int]] = Counter()
    for image in islice(images, 0, None, max(1, len(images) // 50)):
        with suppress(Exception), Image.open(data / image) as opened:  # `plan` names the broken ones
            sizes[opened.size] += 1
    if not sizes:
        return "cannot be read"
    (width, height), times = sizes.most_common(1)[0]
    return f"are {width} x {height}" + ("" if times == sizes.total() else f" and of {len(sizes) - 1} other sizes")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""A first study file, written from what a folder of images shows."""

import json
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path

from PIL import Image

from harness.data.decode import endings
from harness.data.patients import patients
from harness.errors import DataError, StudyError
from harness.fields import checked_name
from harness.schema import study_schema
from harness.store import write_atomic

# Ways of naming files that tell the patient: a named rule, or an expression.
RULES = ("kermany", r"(?P<patient>[A-Za-z]*[0-9]+)[_-][0-9]+\.\w+$")
SCHEMA = "study.schema.json"  # beside the study, for editors
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
base:                         # the settings of every scenario, where no factor varies them
  backbone: resnet18.tv_in1k  # any timm model
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


def write_study(name: str, data: Path, target: Path) -> Path:
    """The path of the study file, written from the images in `data`. Raises HarnessError; overwrites nothing."""
    try:
        checked_name(name)
    except ValueError as error:
        raise StudyError(f"{name!r}: {error}") from None
    if target.exists():
        raise StudyError(f"{target} is there already; choose another name")
    images = _images(data, "train")
    counts = Counter(image.split("/")[1] for image in images)
    if len(counts) < 2:
        raise DataError(f"{data}/train has the classes {list(counts)}; expected train/CLASS/* with two classes or more")
    rarest = min(counts, key=lambda label: counts[label])
    k = 5 if min(counts.values()) >= 50 else 3
    rule = _patient_rule(images, k)
    text = TEMPLATE.format(
        schema=SCHEMA,
        name=name,
        path=_quoted(str(data.absolute())),
        size=224,
        sizes=f"the images {_sizes(data, images)}",
        positive=f"positive: {_quoted(rarest)}         # whose recall, precision and AUC are shown; here the rarer"
        if len(counts) == 2
        else "# positive: CLASS         # without it, metrics are means over the classes",
        patient=f"patient: {_quoted(rule)}   # how a file name tells the patient: CHECK IT by `harness plan`"
        if rule
        else "# patient: '(?P<patient>p[0-9]+)_'   # no rule was found: each image counts as a patient",
        k=k,
        classes=", ".join(f"{label}: {count:,}" for label, count in sorted(counts.items())),
        test="test: {stages: [heads], model: refit}" if (data / "test").is_dir() else "# no test/ folder: no test set",
    )
    schema = target.with_name(SCHEMA)
    if not schema.exists():
        write_atomic(schema, json.dumps(study_schema(), indent=1).encode())
    write_atomic(target, text.encode())
    return target


def _images(data: Path, split: str) -> list[str]:
    if not (data / split).is_dir():
        raise DataError(f"{data} has no folder {split}/; expected train/CLASS/* and, for a test set, test/CLASS/*")
    readable = endings()
    files = (path for path in sorted((data / split).glob("*/**/*")) if path.suffix.lower() in readable)
    return [path.relative_to(data).as_posix() for path in files]


def _patient_rule(images: list[str], k: int) -> str | None:
    """The first rule that fits every image, groups some, and leaves each class k patients; None where there is none."""
    for rule in RULES:
        try:
            found = patients(images, rule)
        except DataError:
            continue
        classes = Counter(
            label for label, _ in {(image.split("/")[1], who) for image, who in zip(images, found, strict=True)}
        )
        if len(set(found)) < len(images) and min(classes.values()) >= k:
            return rule
    return None


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

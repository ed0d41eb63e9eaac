"""A first study file, written from what a folder of images shows."""

from collections import Counter
from itertools import islice
from pathlib import Path

from PIL import Image

from harness.data.patients import patients
from harness.errors import DataError, StudyError
from harness.study import load_study

# Ways of naming files that tell the patient: a named rule, or an expression.
RULES = ("kermany", r"(?P<patient>[A-Za-z]*[0-9]+)[_-][0-9]+\.\w+$")
TEMPLATE = """\
# yaml-language-server: $schema=study.schema.json
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
  trainable: head             # head (frozen backbone) | all
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
    if target.exists():
        raise StudyError(f"{target} is there already; choose another name")
    images = _images(data, "train")
    counts = Counter(image.split("/")[1] for image in images)
    if len(counts) < 2:
        raise DataError(f"{data}/train has the classes {list(counts)}; expected train/CLASS/* with two classes or more")
    rarest = min(counts, key=lambda label: counts[label])
    rule = _patient_rule(images)
    text = TEMPLATE.format(
        name=name,
        path=_quoted(str(data.absolute())),
        size=224,
        sizes=f"the images are {_sizes(data, images)}",
        positive=f"positive: {_quoted(rarest)}         # whose recall, precision and AUC are shown; here the rarer"
        if len(counts) == 2
        else "# positive: CLASS         # without it, metrics are means over the classes",
        patient=f"patient: {_quoted(rule)}   # how a file name tells the patient: CHECK IT by `harness plan`"
        if rule
        else "# patient: '(?P<patient>p[0-9]+)_'   # no rule was found: each image counts as a patient",
        k=5 if min(counts.values()) >= 50 else 3,
        classes=", ".join(f"{label}: {count:,}" for label, count in sorted(counts.items())),
        test="test: {stages: [heads], model: refit}" if (data / "test").is_dir() else "# no test/ folder: no test set",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    try:
        load_study(target)
    except StudyError:
        target.unlink()
        raise
    return target


def _images(data: Path, split: str) -> list[str]:
    if not (data / split).is_dir():
        raise DataError(f"{data} has no folder {split}/; expected train/CLASS/* and, for a test set, test/CLASS/*")
    readable = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files = (path for path in sorted((data / split).glob("*/**/*")) if path.suffix.lower() in readable)
    return [path.relative_to(data).as_posix() for path in files]


def _patient_rule(images: list[str]) -> str | None:
    """The first rule that fits every image and finds patients with several; None where there is none."""
    for rule in RULES:
        try:
            found = patients(images, rule)
        except DataError:
            continue
        if len(set(found)) < len(images):
            return rule
    return None


def _sizes(data: Path, images: list[str]) -> str:
    sizes: Counter[tuple[int, int]] = Counter()
    for image in islice(images, 0, None, max(1, len(images) // 50)):
        with Image.open(data / image) as opened:
            sizes[opened.size] += 1
    (width, height), times = sizes.most_common(1)[0]
    return f"{width} x {height}" + ("" if times == sizes.total() else f" and {len(sizes) - 1} other sizes")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Write a first study file for the images that a user has."""

import json
from dataclasses import dataclass
from pathlib import Path

from harness.cli.first_look import FirstLook, first_look, plain_path
from harness.data.guesses import OF_TAG, Guess, guess_patients, guess_positive
from harness.data.patient_counts import PATIENTS_UNKNOWN
from harness.errors import StudyError
from harness.models.names import HEADS
from harness.store.files import write_atomic
from harness.study.schema import study_schema
from harness.study.strict_yaml import yaml_line
from harness.study.types import checked_name

SCHEMA_FILE = "study.schema.json"  # next to the study file, for editors
TEMPLATE = """\
# yaml-language-server: $schema={schema}
study: {name}
data:
  source: {source}
  path: {path}{fields}
  image_size: {size}             # {sizes}
  {positive}
  {patient}
folds: {{k: {k}, repeats: 1, grouped: true, duplicates: together, seed: 0}}
base:                         # the settings of every scenario, unless a factor varies them
  backbone: resnet18.tv_in1k  # a timm model; `harness plan` says which sizes it takes
  weights: pretrained         # pretrained | none | PATH.safetensors
  trainable: head             # head (frozen backbone) | all | last-N (its last N stages too) | lora-R
  epochs: 15
  learning_rate: 1.0e-3
stages:
  - name: heads               # {classes}
    grid: {{head: [dropout-gap, batchnorm-gap], oversampling: [none, random]}}
    select: {{metric: val/balanced_accuracy}}
{test}
"""


TEST = "test: {stages: [heads], model: refit}"


@dataclass(frozen=True)
class NewStudy:
    """A study file that was written. notes: what was guessed and from what, and which images are not read."""

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
    look = first_look(data)
    k = 5 if min(look.counts.values()) >= 50 else 3
    column = look.fields.get("columns", {}).get("patient")
    guess = None if column else guess_patients(look.images, k, look.root)
    positive, why = guess_positive(look.counts) if len(look.counts) == 2 else (None, "")
    text = _text(name, look, k, guess, positive, why)
    schema = target.with_name(SCHEMA_FILE)
    if not schema.exists():
        write_atomic(schema, json.dumps(study_schema(HEADS), indent=1).encode())
    write_atomic(target, text.encode())
    about = f"no positive class: metrics are means over the {len(look.counts)} classes"
    if positive:
        about = f"positive class, guessed: {positive} ({why}); check this"
    test = [] if look.has_test else [f"no test set; `data.test: {{{_share(guess)}}}` holds one out"]
    return NewStudy(target, (*([guess.words] if guess else []), about, *test, *look.notes))


def _text(name: str, look: FirstLook, k: int, guess: Guess | None, positive: str | None, why: str) -> str:
    """The text of the study file. why: the reason for which this class is the positive one."""
    return TEMPLATE.format(
        schema=SCHEMA_FILE,
        name=name,
        source=look.source,
        path=_quoted(str(plain_path(look.path))),
        fields="".join(f"\n  {yaml_line(name, value)}" for name, value in look.fields.items()),
        size=224,
        sizes=f"the images {look.sizes}",
        positive=f"positive: {_quoted(positive)}         # whose recall, precision and AUC are shown; a guess: {why}"
        if positive
        else "# positive: CLASS         # without it, metrics are means over the classes",
        patient="\n  ".join([*_patient_lines(look, guess), *_further_lines(look, guess)]),
        k=k,
        classes=", ".join(f"{label}: {count:,}" for label, count in sorted(look.counts.items())),
        test=TEST if look.has_test else f"# {TEST}   # there is no test set",
    )


def _patient_lines(look: FirstLook, guess: Guess | None) -> list[str]:
    """The lines of the study file that say who the patients are. None: the column of a table does."""
    if guess is None:
        return ["# patients are those of columns.patient"]
    if guess.rule == OF_TAG:
        return [f"patient: {OF_TAG}   # read from each file: CHECK IT with `harness plan`"]
    where = "in the whole path" if look.source == "table" else "below the class folder"
    if guess.rule is None:
        return [f"# patient: '^(?P<patient>p[0-9]+)_'   # searched {where}. {PATIENTS_UNKNOWN}"]
    lines = [f"patient: {_quoted(guess.rule)}   # searched {where}: CHECK IT with `harness plan`"]
    if guess.twins:
        lines.append(f"# patient_scope: class   # if {guess.twins} are not the same patient")
    return lines


def _further_lines(look: FirstLook, guess: Guess | None) -> list[str]:
    """The lines of the study file that the user may want: names of classes, a test set."""
    lines = []
    if look.source == "npz":
        names = ", ".join(f'"{label}": NAME' for label in sorted(look.counts))
        lines.append(f"# labels: {{{names}}}   # the names of the classes")
    if not look.has_test:
        lines.append(f"# test: {{{_share(guess)}, seed: 0}}   # holds a part of the images out as the test set")
    return lines


def _share(guess: Guess | None) -> str:
    return f"share: 0.2, by: {'image' if guess is not None and guess.rule is None else 'patient'}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

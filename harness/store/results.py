"""The result of a fit: its record, its facts and its predictions."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from harness.errors import JobError

if TYPE_CHECKING:
    import pandas as pd

Metrics = dict[str, float]
ID_LISTS = ("stack", "trained_with")  # facts that are ids of jobs, one string in JSON
CHOSEN = "chosen_"  # before the name of what a probe chose, in JSON and MLflow
OnEpoch = Callable[[str, int, Metrics], None]  # job id, epoch from 1, metrics of that epoch


@dataclass(frozen=True, kw_only=True)
class FitFacts:
    """How a fit was made, and what it cost. None: not recorded by older versions, or not applicable."""

    device: str
    torch: str  # its version
    threads: int | None = None  # of torch on the CPU
    code: str | None = None  # digest of the code that decides numbers
    versions: str | None = None  # such as "torch 2.10.0, timm 1.0.31"
    fold_digest: str | None = None
    precision: str
    compile: str | None = None  # "on" or "off"
    capture: str | None = None  # "on" where steps ran as CUDA graphs
    fused: str | None = None  # "on" where batch norms ran by the kernels of the harness
    fallbacks: tuple[str, ...] = ()  # what was done otherwise than by the options, and why
    micro_batch: int | None = None  # images per forward pass, where memory was too small for a whole batch
    batch_size: int | None = None  # of the batches that `micro_batch` divides
    stack: tuple[str, ...] = ()  # ids of the jobs that were fitted in one loop
    trained_with: tuple[str, ...] = ()  # ids of the jobs that share its training, where they differ in scoring only
    seconds: float  # without feature extraction
    parameters: int  # that the predictions depend on
    trained_parameters: int
    backbone_passes: int | None = None  # images that went through a frozen backbone for this fit
    extraction_seconds: float | None = None  # for the features of a frozen backbone, once for all its fits
    mean: str | None = None  # of the normalisation of pixels from 0 to 1, a number for each channel that is read
    std: str | None = None
    chosen: Mapping[str, float] = field(default_factory=dict)  # by a probe on its inner split, such as C or k
    flops: int | None = None  # of one image through the whole network, each time it is asked; 2 for a multiply-add
    peak_memory: int | None = None  # bytes of the GPU that torch used at most, with the data that it held there
    source: str | None = None  # of pretrained weights: a page of the hub at its commit, or the name of a folder
    licence: str | None = None  # of these weights, as their card or config names it
    energy_wh: float | None = None  # of the GPU, without feature extraction, where no other process used it

    def to_json(self) -> dict[str, str | float]:
        """Return the facts that are known under their keys in `result.json`."""
        values = {name: value for name, value in asdict(self).items() if value not in (None, (), {})}
        values.pop("chosen", None)
        values |= {f"{CHOSEN}{name}": value for name, value in self.chosen.items()}
        if self.threads is not None:
            values["threads"] = str(self.threads)
        values |= {name: " ".join(values[name]) for name in ID_LISTS if name in values}
        if self.fallbacks:
            values["fallbacks"] = "; ".join(reason.replace("; ", ", ") for reason in self.fallbacks)
        if self.micro_batch is not None:
            del values["micro_batch"], values["batch_size"]
            values["accumulation"] = f"{self.micro_batch} images at a time, of a batch of {self.batch_size}"
        return values

    @staticmethod
    def from_json(values: dict[str, Any]) -> "FitFacts":
        """Read the facts of a `result.json`; keys that this version does not know are left out."""
        known = {each.name for each in fields(FitFacts)}
        facts = {name: value for name, value in values.items() if name in known}
        if "threads" in facts:
            facts["threads"] = int(facts["threads"])
        facts |= {name: tuple(facts[name].split()) for name in ID_LISTS if name in facts}
        if "fallbacks" in facts:
            facts["fallbacks"] = tuple(facts["fallbacks"].split("; "))
        if chosen := {k.removeprefix(CHOSEN): v for k, v in values.items() if k.startswith(CHOSEN)}:
            facts["chosen"] = chosen
        if "accumulation" in values:
            facts["micro_batch"], facts["batch_size"] = map(int, re.findall(r"\d+", values["accumulation"]))
        return FitFacts(**facts)


@dataclass(frozen=True)
class FoldRecord:
    """The numbers of a finished job: the content of its `result.json`."""

    job_id: str
    history: list[Metrics]  # one for each epoch
    selected_epoch: int  # from 1
    metrics: Metrics  # of the selected epoch, under the names of MLflow
    class_counts: dict[str, dict[str, int]]  # training images: of the "fold", "before", "after" resampling, "synthetic"
    facts: FitFacts

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return asdict(self) | {"facts": self.facts.to_json()}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "FoldRecord":
        """Read the content of a `result.json`."""
        known = {each.name: values[each.name] for each in fields(FoldRecord)}
        return FoldRecord(**known | {"facts": FitFacts.from_json(values["facts"])})


@dataclass(frozen=True)
class FoldResult:
    """A finished job: its record, its predictions and, for a test job, its model.

    `predictions` has the columns image, patient, label, the metadata, fold, repeat and prob_<class> for every class;
    `model` is the content of a safetensors file. `further` has the predictions of the test sets beside the leading one.
    """

    record: FoldRecord
    predictions: "pd.DataFrame"
    model: bytes | None = None
    further: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)


Outcome = FoldResult | JobError

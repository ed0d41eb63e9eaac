"""Everything that a worker needs for the jobs of one study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.data.dataset import Dataset
from harness.data.folds import Fold
from harness.study.allowed import Pool
from harness.study.identity import Digests
from harness.study.preprocessing import Framing
from harness.study.types import Switch


@dataclass(frozen=True)
class Context:
    """All that a worker needs for the jobs of one study; it can be pickled."""

    dataset: Dataset
    folds: Mapping[tuple[int, int], Fold]
    digests: Digests
    seed: int
    pixels: Mapping[Framing, Path]  # the pixel file of each kind of squares
    features: Path  # the folder of cached features
    device: str
    threads: int = 1  # of one fit on the CPU: they decide the last bits of its numbers
    compile: Switch = "auto"
    checkpoints: Path | None = None  # the folder of the jobs' checkpoints; None: none are made
    checkpoint_every: int | None = None
    heads: Mapping[str, str] = field(default_factory=dict)  # custom heads: name -> source
    stack: bool = False  # heads on one frozen backbone are fitted in one loop
    capture: bool = True  # whole steps as CUDA graphs, on CUDA
    fuse: bool = True  # batch norms by the kernels of the harness, on CUDA in bf16
    pools: Mapping[str, frozenset[Pool]] = field(default_factory=dict)  # of a frozen backbone, in one run: see pools_of

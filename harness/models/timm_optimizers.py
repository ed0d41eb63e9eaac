"""The optimizers of timm, by their names there."""

import importlib.util
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.study.allowed import OPTIMIZERS
from harness.study.messages import unknown

if TYPE_CHECKING:
    from torch.optim import Optimizer

SECOND_ORDER = ("adahessian",)
OF_OTHER_PACKAGES = ("bnb", "fused")  # prefixes: those of bitsandbytes and apex


def optimizer_problem(name: str) -> str | None:
    """Why a fit cannot use the optimizer of this name; None where it can. timm is not imported for it."""
    known = _names_in_source()
    if name in OPTIMIZERS:
        return None
    if name in SECOND_ORDER:
        return f"{name} needs second derivatives, which no fit computes; allowed: another optimizer of timm"
    if name in known and name.startswith(OF_OTHER_PACKAGES):
        return f"{name} needs a package beside timm; allowed: timm's own, such as lamb or lion"
    return None if name in known else unknown("optimizer", name, sorted(known | {*OPTIMIZERS}))


@cache
def _names_in_source() -> frozenset[str]:
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return frozenset()
    source = (Path(spec.origin).parent / "optim" / "_optim_factory.py").read_text(encoding="utf-8")
    return frozenset(re.findall(r"\bname='(\w+)'", source))


def timm_optimizer(name: str, groups: "Sequence[dict[str, object]]", rate: float, decay: float) -> "Optimizer":
    """The optimizer of timm with its defaults, its weight decay on all parameters. groups: as torch has them."""
    from timm.optim._optim_factory import create_optimizer_v2

    made: Optimizer = create_optimizer_v2(list(groups), name, lr=rate, weight_decay=decay)
    return made

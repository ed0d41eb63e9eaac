"""The smallest network of each of timm's modules: what tests run of every family."""

from collections.abc import Collection
from functools import lru_cache

import pytest
from _pytest.mark import ParameterSet

from harness.errors import HarnessError
from harness.models.anatomy import anatomy
from harness.models.layouts import PoolError
from harness.study.allowed import Pool
from tests.bench.backbones import TABLE, smallest_of_modules

SMALLEST = smallest_of_modules(TABLE.read_text(encoding="utf-8"))  # module -> name, millions of parameters
SIZES = (64, 96, 224, 240, 256)  # pixels: the first that a network takes
VECTORS: tuple[Pool, ...] = ("native", "avg", "max", "cls", "cls+avg")
QUICK = ("convnext", "efficientnet", "maxxvit", "resnet", "vision_transformer", "vision_transformer_relpos")
MAX_MILLIONS = 200  # of parameters, in a test
LEFT_OUT = {"deepseek_vit": "its smallest network has more than 200 M parameters"}


def families(quick: Collection[str]) -> list[ParameterSet]:
    """The modules that are not left out, as parameters of a test: long ones, each alone, but for the quick ones."""
    return [
        pytest.param(
            name, id=module, marks=() if module in quick else (pytest.mark.long, pytest.mark.xdist_group(module))
        )
        for module, (name, _) in SMALLEST.items()
        if module not in LEFT_OUT
    ]


@lru_cache
def size_of(name: str) -> int:
    """The first of SIZES that a network takes."""
    for size in SIZES:
        try:
            anatomy(name, size)
        except HarnessError:
            continue
        return size
    raise AssertionError(f"{name} takes none of {SIZES}")


def vectors_of(name: str) -> list[Pool]:
    """The pools of a network other than `map`."""
    return [pool for pool in VECTORS if _has(name, pool)]


def _has(name: str, pool: Pool) -> bool:
    try:
        anatomy(name, size_of(name), pool)
    except PoolError:
        return False
    return True

"""The names of heads and backbones, without importing torch."""

import importlib.util
import re
from functools import cache
from pathlib import Path

from harness.study.allowed import CLASSIFIERS, NETWORKS, PROBES
from harness.study.origin import origin_of

# name -> "module:class". A new head is one class and one line here.
HEADS = {
    "dropout-gap": "harness.models.heads:DropoutGap",
    "dropout-flatten": "harness.models.heads:DropoutFlatten",
    "batchnorm-gap": "harness.models.heads:BatchNormGap",
    "batchnorm-flatten": "harness.models.heads:BatchNormFlatten",
    "linear": "harness.models.heads:Linear",
    "mlp": "harness.models.heads:Mlp",
    "logistic": "harness.models.probes:LogisticProbe",
    "knn": "harness.models.probes:KnnProbe",
    "svm": "harness.models.probes:SvmProbe",
}

# those of which many can be fitted in one loop
STACKED_HEADS = tuple(name for name in HEADS if name not in ("mlp", *PROBES))


def known_backbone(name: str) -> bool:
    """Whether the backbone exists. timm, which takes seconds to import, is imported only for unknown names."""
    return (
        origin_of(name) is not None
        or name in NETWORKS
        or name in CLASSIFIERS
        or name in _names_in_source()
        or name in all_backbones()
    )


@cache
def _names_in_source() -> frozenset[str]:
    """The names with a tag in timm's source, such as resnet50.tv_in1k, and the same without the tag."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return frozenset()
    tagged: set[str] = set()
    for file in (Path(spec.origin).parent / "models").glob("*.py"):
        tagged.update(
            re.findall(r"^ {4}['\"](\w+\.\w+)['\"]: \w*cfg\(", file.read_text(encoding="utf-8"), re.MULTILINE)
        )
    return frozenset(tagged | {name.partition(".")[0] for name in tagged})


@cache
def all_backbones() -> frozenset[str]:
    """All names of backbones: timm's, with and without tags, and those of the harness."""
    import timm

    return frozenset([*timm.list_models(), *timm.list_models(include_tags=True), *NETWORKS, *CLASSIFIERS])

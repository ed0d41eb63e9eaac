"""What a setting may be: the names of networks, heads, losses and samplers, and the check of each."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from harness.study.origin import origin_of

# The built-in models, by the name for `backbone`: name -> "module:class". They need no weights.
NETWORKS = {"small-cnn": "harness.models.baselines:SmallCnn"}  # networks that return feature maps for a head
CLASSIFIERS = {  # from images to probabilities, without a head and without gradients
    "majority": "harness.models.baselines:Majority",
    "som": "harness.models.baselines:SelfOrganisingMap",
}

PROBES = ("logistic", "knn", "svm")  # heads that learn in one go, without gradient steps
VECTOR_HEADS = ("linear", "mlp", *PROBES)  # those that read one vector of an image, and no map
CROSS_ENTROPY = "cross-entropy"
LOSSES = (CROSS_ENTROPY, "class-weighted", "effective-number", "focal", "logit-adjusted")  # of training/losses.py
SYNTHESIS = ("smote", "borderline-smote", "adasyn", "smoteenn", "smotetomek")  # between vectors, by imbalanced-learn
OVERSAMPLING = ("none", "random", *SYNTHESIS, "random-before-split")  # the last leaks, to measure the leak
OF_LIBRARY = "imblearn."  # begins the name of any other sampler of imbalanced-learn, `imblearn.over_sampling:SVMSMOTE`
BY_VECTORS = ("near-miss", "tomek")  # of `undersampling`: those that look for neighbours
OPTIMIZERS = ("adam", "adamw", "sgd")  # those of torch; others are timm's
MAX_RANK = 256  # of `trainable: lora-R`
PRETRAINED = "pretrained"  # of `weights`: those that timm has for a backbone, whatever they were trained on
EARLIER_WORD = "imagenet"  # for the same; it means the same work
VIEWS = {"none": 1, "flip": 2, "crops": 5, "flip+crops": 10}  # of an image, by `tta`
MIN_SIZE, MAX_SIZE = 8, 2048  # pixels of a side

Recipe = Literal["paper", "probe", "modern"]  # of study/recipes.py
Pool = Literal["map", "native", "avg", "cls", "cls+avg", "max"]


def is_pretrained(weights: str) -> bool:
    """Whether these are the pretrained weights of timm."""
    return weights in (PRETRAINED, EARLIER_WORD)


def is_of_library(name: str) -> bool:
    """Whether this names a class of imbalanced-learn, and no part of the user's own."""
    return name.startswith(OF_LIBRARY) and ":" in name


def _backbone(value: str) -> str:
    origin_of(value)  # raises ValueError where what is behind a scheme is no name
    return value


def _weights(value: str) -> str:
    if value != "none" and not is_pretrained(value) and not value.endswith(".safetensors"):
        raise ValueError(f"allowed: {PRETRAINED}, none, or the path of a .safetensors file")
    return value


def _trainable(value: str) -> str:
    rank = re.fullmatch(r"lora-([1-9][0-9]{0,2})", value)
    if rank and int(rank[1]) <= MAX_RANK:
        return value
    if not re.fullmatch(r"all|head|last-[1-9][0-9]?", value):
        raise ValueError(
            "allowed: all, head (frozen backbone), last-N (the last N stages of the backbone too), or lora-R (adapters"
            f" of rank R in its attention, from 1 to {MAX_RANK})"
        )
    return value


def _oversampling(value: str) -> str:
    if value not in OVERSAMPLING and ":" not in value:
        raise ValueError(f"allowed: {', '.join(OVERSAMPLING)}, or module:Class, a sampler of your own or of imblearn")
    return value


def _loss(value: str) -> str:
    if value not in LOSSES and ":" not in value:
        raise ValueError(f"allowed: {', '.join(LOSSES)}, or module:Class, a loss of your own")
    return value


def _optimizer(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+", value) and ":" not in value:
        allowed = f"{', '.join(OPTIMIZERS)}, another optimizer of timm by its name"
        raise ValueError(f"allowed: {allowed}, or module:Class, an optimizer of your own")
    return value


def _given_size(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a size, with one message about all that it may be."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(f"allowed: a whole number from {MIN_SIZE} to {MAX_SIZE} (pixels), or native") from None


BackboneName = Annotated[str, Field(min_length=1), AfterValidator(_backbone)]
WeightsName = Annotated[str, AfterValidator(_weights)]
Trainable = Annotated[str, AfterValidator(_trainable)]
SamplerName = Annotated[str, AfterValidator(_oversampling)]
LossName = Annotated[str, AfterValidator(_loss)]
OptimizerName = Annotated[str, AfterValidator(_optimizer)]
ImageSize = Annotated[int, Field(ge=MIN_SIZE, le=MAX_SIZE)]
GivenSize = Annotated[ImageSize | Literal["native"] | None, WrapValidator(_given_size)]

"""How one network is trained: the fields of `base`, of a grid and of a search space."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from harness.study.origin import origin_of, package_of
from harness.study.preprocessing import NATIVE, OF_STUDY, Framing, Preprocessing
from harness.study.types import Model

# The built-in models, by the name for `backbone`: name -> "module:class". They need no weights.
NETWORKS = {"small-cnn": "harness.models.baselines:SmallCnn"}  # networks that return feature maps for a head
CLASSIFIERS = {  # from images to probabilities, without a head and without gradients
    "majority": "harness.models.baselines:Majority",
    "som": "harness.models.baselines:SelfOrganisingMap",
}


# The heads that read one vector of an image, and no map; a probe learns nothing by these settings.
PROBES = ("logistic", "knn", "svm")  # those that learn in one go, without gradient steps
VECTOR_HEADS = ("linear", "mlp", *PROBES)
RECIPE = (  # how the gradient steps of a network are made
    "label_smoothing", "schedule", "warmup", "clip", "ema", "layer_decay", "drop_path", "mixup", "cutmix",
    "stop_patience", "stop_inner", "stop_metric", "head_epochs",
)  # fmt: skip
SCORING = ("tta", "snapshots")  # how a trained network is asked: settings that differ in these alone train the same one
VIEWS = {"none": 1, "flip": 2, "crops": 5, "flip+crops": 10}  # of an image, by `tta`
NOT_OF_PROBES = (
    "dropout", "epochs", "batch_size", "loss", "optimizer", "learning_rate", "weight_decay", "select_epoch",
    *RECIPE, *SCORING,
)  # fmt: skip
# Settings that may name a class of the user's own, `module:Class`.
OWN_PARTS = ("head", "loss", "optimizer", "oversampling")
CROSS_ENTROPY = "cross-entropy"
LOSSES = (CROSS_ENTROPY, "class-weighted", "effective-number", "focal", "logit-adjusted")  # of training/losses.py
SYNTHESIS = ("smote", "borderline-smote", "adasyn", "smoteenn", "smotetomek")  # between vectors, by imbalanced-learn
OVERSAMPLING = ("none", "random", *SYNTHESIS, "random-before-split")  # the last leaks, to measure the leak
OF_LIBRARY = "imblearn."  # begins the name of any other sampler of imbalanced-learn, `imblearn.over_sampling:SVMSMOTE`
BY_VECTORS = ("near-miss", "tomek")  # of `undersampling`: those that look for neighbours
TREATMENTS = ("oversampling", "undersampling", "loss", "prior_correction")  # of classes of unequal size
OPTIMIZERS = ("adam", "adamw", "sgd")  # those of torch; others are timm's
MAX_RANK = 256  # of `trainable: lora-R`
Recipe = Literal["paper", "probe", "modern"]  # of study/recipes.py
Pool = Literal["map", "native", "avg", "cls", "cls+avg", "max"]


PRETRAINED = "pretrained"  # of `weights`: those that timm has for a backbone, whatever they were trained on
EARLIER_WORD = "imagenet"  # for the same; it means the same work


def natural_pool(head: str) -> Pool:
    """The pool of a head where none is named: as timm pools, or a map for a head that pools itself."""
    return "native" if head in VECTOR_HEADS else "map"


def _weights(value: str) -> str:
    if value != "none" and not is_pretrained(value) and not value.endswith(".safetensors"):
        raise ValueError(f"allowed: {PRETRAINED}, none, or the path of a .safetensors file")
    return value


def is_pretrained(weights: str) -> bool:
    """Whether these are the pretrained weights of timm."""
    return weights in (PRETRAINED, EARLIER_WORD)


def todays_word(value: Any) -> Any:
    """The value of a setting with the word of today for pretrained weights, where it has the earlier one."""
    if isinstance(value, list):
        return list(map(todays_word, value))
    return PRETRAINED if value == EARLIER_WORD else value


def _backbone(value: str) -> str:
    origin_of(value)  # raises ValueError where what is behind a scheme is no name
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


def _oversampling(value: str) -> str:
    if value not in OVERSAMPLING and ":" not in value:
        raise ValueError(f"allowed: {', '.join(OVERSAMPLING)}, or module:Class, a sampler of your own or of imblearn")
    return value


def is_of_library(name: str) -> bool:
    """Whether this names a class of imbalanced-learn, and no part of the user's own."""
    return name.startswith(OF_LIBRARY) and ":" in name


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


def level_text(level: Any) -> str:
    """Format the level of a factor; a float gets the fewest digits that identify it."""
    if not isinstance(level, float):
        return str(level)
    short = f"{level:.4g}"
    return short if float(short) == level else repr(level)


MIN_SIZE, MAX_SIZE = 8, 2048  # pixels of a side
ImageSize = Annotated[int, Field(ge=MIN_SIZE, le=MAX_SIZE)]


def _given_size(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a size, with one message about all that it may be."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(f"allowed: a whole number from {MIN_SIZE} to {MAX_SIZE} (pixels), or native") from None


GivenSize = Annotated[ImageSize | Literal["native"] | None, WrapValidator(_given_size)]


class Settings(Model):
    """The settings that decide how one network is trained; every field can be a factor of a grid."""

    backbone: Annotated[str, Field(min_length=1), AfterValidator(_backbone)]
    weights: Annotated[str, AfterValidator(_weights)] = PRETRAINED
    trainable: Annotated[str, AfterValidator(_trainable)] = "all"  # all | head | last-N | lora-R
    pool: Pool | None = None  # how a map or tokens become a vector; None: natural_pool
    head: str = "dropout-gap"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the backbone
    oversampling: Annotated[str, AfterValidator(_oversampling)] = "none"
    oversampling_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0  # of smaller classes to the largest, afterwards
    undersampling: Literal["none", "random", "near-miss", "tomek"] = "none"  # after oversampling
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 15
    head_epochs: Annotated[int, Field(ge=0, le=100_000)] = 0  # the first of them, which train the head alone
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    loss: Annotated[str, AfterValidator(_loss)] = CROSS_ENTROPY
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    optimizer: Annotated[str, AfterValidator(_optimizer)] = "adam"
    prior_correction: Literal["off", "on"] = "off"  # of predictions, to the class shares before resampling
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    schedule: Literal["constant", "cosine", "linear", "step", "one-cycle"] = "constant"  # of the learning rate
    warmup: Annotated[float, Field(ge=0)] = 0.0  # epochs
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # of the rate, from each layer to the one before it
    clip: Annotated[float, Field(ge=0)] = 0.0  # the norm of the gradients; 0: any
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # the decay of the average of the weights; 0: none
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    select_epoch: Literal["last", "best"] = "last"
    stop_patience: Annotated[int, Field(ge=0, le=100_000)] = 0  # epochs without a better one; 0: none is stopped
    stop_inner: Annotated[float, Field(gt=0, le=0.5)] = 0.1  # of the training images, held out to see which is better
    stop_metric: Literal["loss", "accuracy", "balanced_accuracy", "mcc", "roc_auc", "pr_auc", "brier"] = "loss"
    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of the training images of a fold, in whole patients
    image_size: GivenSize = None  # None: data.image_size; native: that of the weights
    preprocessing: Preprocessing = OF_STUDY  # native: the interpolation and the crop of the weights
    augment: Literal["none", "flip", "affine", "flip+affine", "medical", "randaugment", "flip+randaugment"] = "none"
    mixup: Annotated[float, Field(ge=0)] = 0.0  # alpha; 0: none
    cutmix: Annotated[float, Field(ge=0)] = 0.0  # alpha; 0: none
    tta: Literal["none", "flip", "crops", "flip+crops"] = "none"  # the views whose mean is the prediction of an image
    snapshots: Annotated[int, Field(ge=1, le=100_000)] = 1  # the last epochs, the mean of whose networks it is
    recipe: Recipe | None = None  # a word for what is not named otherwise; it decides nothing once that is written out

    @property
    def is_built_in(self) -> bool:
        """Whether the model is one of the harness: it has no weights to load."""
        return self.backbone in NETWORKS or self.backbone in CLASSIFIERS

    @property
    def pooling(self) -> Pool:
        """The pool, or the natural one of the head."""
        return self.pool or natural_pool(self.head)

    @property
    def is_probe(self) -> bool:
        """Whether the head learns in one go, without gradient steps."""
        return self.head in PROBES and self.backbone not in CLASSIFIERS

    @property
    def lora_rank(self) -> int:
        """The rank of the adapters, with `trainable: lora-R`; 0 without any."""
        kind, _, rank = self.trainable.partition("-")
        return int(rank) if kind == "lora" else 0

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages beside timm that a fit needs."""
        used = {package_of(self.backbone): True, "peft": self.lora_rank, "torchvision": "randaugment" in self.augment}
        return tuple(name for name, needed in used.items() if name and needed)

    def uses(self, name: str) -> bool:
        """Whether the setting of this name decides anything; of a recipe, whether one is named."""
        if name in ("stop_inner", "stop_metric") and not self.stop_patience:
            return False
        if name == "recipe":
            return self.recipe is not None
        return not (self.is_probe and name in NOT_OF_PROBES)

    @property
    def leaks(self) -> bool:
        """Whether copies of one image are in training and validation; such scores only measure the leak."""
        return self.oversampling == "random-before-split"

    @property
    def synthesises(self) -> bool:
        """Whether a sampler reads the vectors of the training images, and may make new ones between them."""
        return self.oversampling in SYNTHESIS or is_of_library(self.oversampling)

    @property
    def trained_on(self) -> str:
        """What a refit learns from: `all training images`, or `0.5 of the training images`."""
        share = "all" if self.train_share == 1 else f"{level_text(self.train_share)} of the"
        return f"{share} training images"

    @property
    def predictions(self) -> int:
        """How many predictions are averaged for an image: one for each view by each network."""
        return VIEWS[self.tta] * self.snapshots

    @property
    def native(self) -> tuple[str, ...]:
        """The settings that the weights decide."""
        return tuple(name for name in ("image_size", "preprocessing") if getattr(self, name) == NATIVE)

    def resolved(self, image_size: int, native_preprocessing: str = OF_STUDY) -> "ResolvedSettings":
        """Return the settings as they decide the numbers: built-in models from scratch, and with an image size.

        image_size: where the settings name no number. native_preprocessing: what `native` stands for.
        """
        size = self.image_size if isinstance(self.image_size, int) else image_size
        values = dict(self) | {"image_size": size, "pool": self.pooling}
        if self.preprocessing == NATIVE:
            values["preprocessing"] = native_preprocessing
        if not self.stop_patience:
            values |= {name: _default(name) for name in ("stop_inner", "stop_metric")}
        if self.snapshots > 1:  # of a search; elsewhere what does not go together is refused
            one = self.stop_patience or self.select_epoch == "best"
            values["snapshots"] = 1 if one else min(self.snapshots, self.epochs)
        if self.is_built_in:
            values |= {"weights": "none", "trainable": "all"}
        if self.backbone in CLASSIFIERS:
            values |= {"head": "none", "pool": "map", "augment": "none"}
            values |= {name: _default(name) for name in (*RECIPE, *SCORING)}
        elif self.head in PROBES:
            values |= {name: _default(name) for name in NOT_OF_PROBES} | {"epochs": 1}
        return ResolvedSettings.model_construct(**values)


class ResolvedSettings(Settings):
    """The settings of one fit: the image size is set."""

    image_size: ImageSize

    @property
    def trained(self) -> "ResolvedSettings":
        """The settings that decide the trained network: without what only scores it."""
        return self.model_copy(update={name: _default(name) for name in SCORING})

    @property
    def framing(self) -> Framing:
        """The squares that the network reads."""
        return Framing(self.image_size, self.preprocessing)


# fields that the oldest results do not have
ADDED_LATER = (
    "augment", "loss", "oversampling_ratio", "pool", "preprocessing", "prior_correction", "train_share",
    "undersampling", *RECIPE, *SCORING,
)  # fmt: skip


def _default(name: str) -> Any:
    return Settings.model_fields[name].default


def decisive(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as an identity has them: no recipe, which is written out, and no added field at its default."""
    defaults = {name: _default(name) for name in ADDED_LATER}
    if values.get("pool") == natural_pool(values["head"]):
        defaults["pool"] = values["pool"]
    return {k: v for k, v in values.items() if k != "recipe" and (k not in defaults or v != defaults[k])}


def weights_file(weights: str) -> Path:
    """The path of a weights file as given in a study."""
    return Path(os.path.expanduser(weights))  # noqa: PTH111 - pathlib raises for an unknown user

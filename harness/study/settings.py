"""How one network is trained: the fields of `base`, of a grid and of a search space."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.study.allowed import (
    CLASSIFIERS,
    CROSS_ENTROPY,
    EARLIER_WORD,
    NETWORKS,
    PRETRAINED,
    PROBES,
    SYNTHESIS,
    VECTOR_HEADS,
    VIEWS,
    BackboneName,
    GivenSize,
    ImageSize,
    LossName,
    OptimizerName,
    Pool,
    Recipe,
    SamplerName,
    Trainable,
    WeightsName,
    is_of_library,
)  # fmt: skip
from harness.study.origin import package_of
from harness.study.preprocessing import NATIVE, OF_STUDY, Framing, Preprocessing
from harness.study.types import Model

RECIPE = (  # how the gradient steps of a network are made
    "label_smoothing", "schedule", "warmup", "clip", "ema", "layer_decay", "drop_path", "mixup", "cutmix",
    "stop_patience", "stop_inner", "stop_metric", "head_epochs",
)  # fmt: skip
SCORING = ("tta", "snapshots")  # how a trained network is asked: settings that differ in these alone train the same one
NOT_OF_PROBES = (  # a probe learns nothing by these
    "dropout", "epochs", "batch_size", "loss", "optimizer", "learning_rate", "weight_decay", "select_epoch",
    *RECIPE, *SCORING,
)  # fmt: skip
OWN_PARTS = ("head", "loss", "optimizer", "oversampling")  # may name a class of the user's own, `module:Class`
TREATMENTS = ("oversampling", "undersampling", "loss", "prior_correction")  # of classes of unequal size


def natural_pool(head: str) -> Pool:
    """The pool of a head where none is named: as timm pools, or a map for a head that pools itself."""
    return "native" if head in VECTOR_HEADS else "map"


def todays_word(value: Any) -> Any:
    """The value of a setting with the word of today for pretrained weights, where it has the earlier one."""
    if isinstance(value, list):
        return list(map(todays_word, value))
    return PRETRAINED if value == EARLIER_WORD else value


def level_text(level: Any) -> str:
    """Format the level of a factor; a float gets the fewest digits that identify it."""
    if not isinstance(level, float):
        return str(level)
    short = f"{level:.4g}"
    return short if float(short) == level else repr(level)


class Settings(Model):
    """The settings that decide how one network is trained; every field can be a factor of a grid."""

    backbone: BackboneName
    weights: WeightsName = PRETRAINED
    trainable: Trainable = "all"  # all | head | last-N | lora-R
    pool: Pool | None = None  # how a map or tokens become a vector; None: natural_pool
    head: str = "dropout-gap"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the backbone
    oversampling: SamplerName = "none"
    oversampling_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0  # of smaller classes to the largest, afterwards
    undersampling: Literal["none", "random", "near-miss", "tomek"] = "none"  # after oversampling
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 15
    head_epochs: Annotated[int, Field(ge=0, le=100_000)] = 0  # the first of them, which train the head alone
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    loss: LossName = CROSS_ENTROPY
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    optimizer: OptimizerName = "adam"
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

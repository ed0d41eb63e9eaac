"""How one network is trained: the fields of `base`, of a grid and of a search space."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness.fields import Model

# The harness's own models, as a `backbone` names them: name -> "module:class". They need no weights.
NETWORKS = {"small-cnn": "harness.models.baselines:SmallCnn"}  # feature maps, under a head like timm's
CLASSIFIERS = {  # from images to probabilities, without a head and without gradients
    "majority": "harness.models.baselines:Majority",
    "som": "harness.models.baselines:SelfOrganisingMap",
}


def _weights(value: str) -> str:
    if value not in ("imagenet", "none") and not value.endswith(".safetensors"):
        raise ValueError("allowed: imagenet, none, or the path of a .safetensors file")
    return value


class Settings(Model):
    """All that decides how one network is trained; every field can be a factor of a grid."""

    backbone: Annotated[str, Field(min_length=1)]
    weights: Annotated[str, AfterValidator(_weights)] = "imagenet"
    trainable: Literal["all", "head"] = "all"
    head: str = "dropout-gap"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    oversampling: Literal["none", "random", "random-before-split"] = "none"  # the last leaks, to measure the leak
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 15
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    select_epoch: Literal["last", "best"] = "last"
    image_size: Annotated[int, Field(ge=8, le=2048)] | None = None  # None: data.image_size

    @property
    def leaks(self) -> bool:
        """Whether copies of one image stand in training and validation: such numbers measure the leak, nothing else."""
        return self.oversampling == "random-before-split"

    def resolved(self, image_size: int) -> "Settings":
        """The settings as they decide the numbers: the image size filled in; own models start from scratch."""
        own: dict[str, object] = {"weights": "none", "trainable": "all"}
        if self.backbone in CLASSIFIERS:
            own["head"] = "none"
        is_own = self.backbone in NETWORKS or self.backbone in CLASSIFIERS
        return self.model_copy(update={"image_size": self.image_size or image_size, **(own if is_own else {})})

"""The question and the answer of a network check, without importing torch."""

from dataclasses import dataclass

from harness.study.allowed import Pool


@dataclass(frozen=True)
class NetworkSettings:
    """The settings of a network that the check depends on."""

    backbone: str
    weights: str  # as in the study file
    trainable: str
    image_size: int
    pool: Pool
    layer_decay: float = 1.0
    drop_path: float = 0.0


@dataclass(frozen=True)
class NetworkCheck:
    """The result of the check: a problem and the setting that causes it, or the properties of the network."""

    problem: str = ""
    setting: str = ""  # one of those above, which causes the problem
    layout: str = ""
    shape: tuple[int, ...] = ()  # of the features
    parameters: int = 0  # that the features depend on
    trained_parameters: int = 0  # of these; without the head's
    stage: str = ""  # the modules that `last-N` trains, or the layers that `lora-R` adapts
    unadapted: str = ""  # the layers of attention that `lora-R` cannot adapt
    flops: int = 0  # of the backbone for one image, 2 for a multiply-add
    unread: float = 0.0  # the proportion of an image that is outside all patches
    prefix: str = ""  # that was removed from the names in the weights file

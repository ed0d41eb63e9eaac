"""What is asked and said of a network before it is trained, without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A backbone as a study uses it."""

    backbone: str
    weights: str  # as the study names them
    trainable: str
    image_size: int


@dataclass(frozen=True)
class Verdict:
    """What was found: a problem, with the setting that is to blame, or what the network is."""

    problem: str = ""
    setting: str = ""  # backbone, image_size, trainable or weights
    layout: str = ""
    shape: tuple[int, ...] = ()  # of the features
    parameters: int = 0  # that the features depend on
    learnt: int = 0  # of them by training
    stage: str = ""  # the modules that `last-N` trains
    unread: float = 0.0  # the share of an image that no patch holds
    prefix: str = ""  # taken off the names in the weights file

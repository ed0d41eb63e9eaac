"""The network that is trained: a head on a backbone, one module of which serves every fold."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn

from harness.models.backbone import Backbone, feature_shape, load_backbone
from harness.models.heads import Shape, initialise, make_head
from harness.study.settings import ResolvedSettings
from harness.study.types import Switch
from harness.training.casts import CastWeights
from harness.training.context import Context
from harness.training.device import Arithmetic
from harness.training.fusing import Fused, fuse, why_not

# What compiling costs a process on CUDA, and what it saves there beside a captured step by torch's kernels: by one look
# at a ResNet-50 on an H200 (batch 64, 150 px: 50 s; 8.8 against 6.5 ms a step; fused, it takes 5.8). `make bench-gpu`
# has rows for both. A fit compiles where it would save more than it costs.
COMPILE_SECONDS, SAVED_SECONDS_AN_IMAGE = 50, 2.3e-3 / 64
COMPILE_FROM_IMAGES = round(COMPILE_SECONDS / SAVED_SECONDS_AN_IMAGE)  # through the network in a fit: 1.4 million


@dataclass(frozen=True)
class Compiled:
    """The compiled forward of a backbone, for training batches of exactly `batch` images.

    Others, such as the last one of an epoch, take the plain way: each new shape would compile it again. So do all that
    are scored: the network that a study ends with predicts the same bits wherever it is loaded, and is not compiled.
    """

    forward: Callable[[Tensor], Tensor]
    batch: int


@dataclass(frozen=True)
class Quicker:
    """Other ways through a backbone in training, which round differently.

    fused: for bf16 on CUDA. not_fused: why there is none, where there should be one.
    """

    compiled: Compiled | None = None
    fused: Fused | None = None
    not_fused: str | None = None


class Network(nn.Module):
    """Images [n, 3, H, W] -> logits [n, classes]. The backbone computes at the precision of `arithmetic`.

    The head computes in fp32: in bf16 logits have 8 bits, and many images would share one probability.
    trained_parameters: their number, in elements.
    """

    def __init__(
        self, backbone: Backbone, head: nn.Module, arithmetic: Arithmetic, quicker: Quicker | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        quicker, in_bf16 = quicker or Quicker(), arithmetic.precision == "bf16"
        self._arithmetic, self._compiled = arithmetic, quicker.compiled
        self._cast = CastWeights(backbone, torch.bfloat16) if in_bf16 else None
        fused = quicker.fused if in_bf16 and arithmetic.fuse else None
        self._fused = None if fused is None else CastWeights(fused.network, torch.bfloat16, fused.join)
        wanted = in_bf16 and arithmetic.fuse and quicker.not_fused
        self.trained_parameters = sum(p.numel() for p in self.parameters() if p.requires_grad)
        self.holds = False  # the backbone as it is, and trains the head alone
        self.fallbacks = (f"not fused: {quicker.not_fused}",) if wanted else ()

    @property
    def is_fused(self) -> bool:
        """Whether training batches go through the fused backbone, where they are not compiled."""
        return self._fused is not None

    def train(self, mode: bool = True) -> "Network":
        """Set the mode of all modules; a backbone that is held computes as a frozen one does."""
        super().train(mode)
        if self.holds:
            self.backbone.eval()
        return self

    def merge(self) -> None:
        """Make adapters part of the weights, in a copy of the backbone: what is stored. It trains no more."""
        self.backbone, self._compiled, self._fused = self.backbone.merged(), None, None
        self._cast = None if self._cast is None else CastWeights(self.backbone, torch.bfloat16)

    def forward(self, images: Tensor) -> Tensor:
        with self._arithmetic.autocast(), torch.set_grad_enabled(torch.is_grad_enabled() and not self.holds):
            features = self._features(images)
        logits = self.head(features.float())
        assert isinstance(logits, Tensor)
        return logits

    def _features(self, images: Tensor) -> Tensor:
        quicker = self.training and not self.holds
        if self._compiled is not None and quicker and len(images) == self._compiled.batch:
            return self._compiled.forward(images)
        if self._fused is not None and quicker:
            return self._fused(images)
        found = self.backbone(images) if self._cast is None else self._cast(images)
        assert isinstance(found, Tensor)
        return found


@dataclass(frozen=True)
class Start:
    """A backbone before training, and its weights to restore."""

    backbone: Backbone
    weights: dict[str, Tensor]  # with the buffers, such as the statistics of batch norm
    shape: Shape
    fused: Fused | None = None  # on CUDA
    not_fused: str | None = None  # why, where it could be

    @cached_property
    def compiled(self) -> Callable[[Tensor], Tensor]:
        """The compiled forward; nothing is compiled before its first call. To import the compiler takes seconds."""
        torch.compiler.reset()  # its limit of recompilations counts every backbone that was ever compiled here
        return torch.compile(self.backbone.forward, dynamic=False)


def fresh_backbone(settings: ResolvedSettings, weights: str, seed: int, device: torch.device) -> Start:
    """The backbone of these settings on the device, its weights those before training.

    Every call with the same arguments returns the same module, so that it is loaded and compiled once: an earlier fit
    must be done with it. weights: their digest.
    """
    decisive = {
        name: getattr(settings, name) for name in ("backbone", "weights", "trainable", "image_size", "drop_path")
    }
    start = _start(ResolvedSettings(**decisive, pool=settings.pooling), weights, seed, device)
    start.backbone.load_state_dict(start.weights)
    start.backbone.zero_grad(set_to_none=True)
    return start


@lru_cache(maxsize=1)
def _start(settings: ResolvedSettings, _weights: str, seed: int, device: torch.device) -> Start:
    backbone = load_backbone(settings, seed)
    shape = feature_shape(backbone, settings.image_size)
    backbone.put_on(device)
    state = {name: value.detach().clone() for name, value in backbone.state_dict().items()}
    start = Start(backbone, state, shape)
    fused = fuse(backbone.train()) if device.type == "cuda" else None
    reason = why_not(device) if fused is not None else None
    return replace(start, fused=None if reason else fused, not_fused=reason)


def compiles(option: Switch, device: torch.device, images: int, fused: bool) -> bool:
    """Whether a fit that sends this many images through its network compiles it. A fused one is faster as it is.

    Other fits do not matter: compiled kernels round differently, and the same job must give the same numbers whenever
    it is run.
    """
    return option == "on" or (
        option == "auto" and device.type == "cuda" and not fused and images >= COMPILE_FROM_IMAGES
    )


def new_head(settings: ResolvedSettings, shape: Shape, context: Context, seed: int) -> nn.Module:
    """The head before training on the device, its weights drawn from the seed. shape: of the features."""
    head = make_head(settings, shape, len(context.dataset.classes), context.heads.get(settings.head), seed)
    initialise(head, seed)
    return head.to(torch.device(context.device))

"""Backbones: any timm model without its classifier, with the weights that a study names."""

import logging
from collections.abc import Collection, Iterable
from typing import Any

import timm
import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.baselines import own_model
from harness.models.heads import Shape
from harness.plan import derive_seed, weights_file
from harness.settings import CLASSIFIERS, NETWORKS, Settings

HUB_TIMEOUT = 5  # seconds before a hub that does not answer is given up


class Backbone(nn.Module):
    """Images [n, 3, H, W], normalised as the weights want them, -> feature maps [n, C, h, w]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        config: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
        self.mean: tuple[float, ...] = tuple(config["mean"])
        self.std: tuple[float, ...] = tuple(config["std"])
        self._frozen: list[nn.Module] = []

    def freeze(self, trained: Collection[str]) -> None:
        """Leaves only these parameters of the network to training.

        A module with none of them stays in evaluation mode for good: batch norm there keeps its statistics.
        """
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in trained)
        self._frozen = [m for m in self.network.modules() if _is_frozen(m)]

    def train(self, mode: bool = True) -> "Backbone":
        """Sets the mode of all that is not frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        features = self.network.forward_features(images)  # type: ignore[operator]
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            features = features.permute(0, 3, 1, 2)
        if features.ndim == 3:  # tokens of a transformer: [n, tokens, C] -> [n, C, tokens, 1]
            features = features.transpose(1, 2).unsqueeze(-1)
        assert isinstance(features, Tensor)
        return features


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def load_backbone(settings: Settings, seed: int) -> Backbone:
    """The backbone with its weights; `seed` draws them where the settings ask for none.

    With `trainable: last-N` the stages before are frozen.
    Raises HarnessError where weights cannot be had or do not fit, or where there are no N stages.
    """
    backbone = _with_weights(settings, seed)
    if settings.trainable.startswith("last-"):
        backbone.freeze(last_stages(settings))
    return backbone


def _with_weights(settings: Settings, seed: int) -> Backbone:
    options = _options(settings)
    logging.getLogger("timm").setLevel(logging.ERROR)
    if settings.backbone in NETWORKS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, settings.backbone))
            return Backbone(own_model(NETWORKS[settings.backbone]))
    if settings.weights == "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, settings.backbone))
            return Backbone(timm.create_model(settings.backbone, pretrained=False, **options))
    if settings.weights != "imagenet":
        options["pretrained_cfg_overlay"] = {"file": str(weights_file(settings.weights))}
    else:
        check_hub(settings.backbone)
    try:
        return Backbone(timm.create_model(settings.backbone, pretrained=True, **options))
    except Exception as error:  # whatever timm, safetensors and the hub raise
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise HarnessError(
            f"the weights {settings.weights} cannot be loaded into {settings.backbone}: {reason}"
        ) from error


def last_stages(settings: Settings) -> frozenset[str]:
    """The names of the parameters in the last N stages, as timm groups them, for `trainable: last-N`.

    What the features do not depend on, such as the rest of timm's own classifier, is no stage.
    Raises HarnessError where the backbone has not more than N.
    """
    from timm.models import group_parameters

    with torch.device("meta"):  # shapes alone: nothing is computed
        network: Any = timm.create_model(settings.backbone, pretrained=False, **_options(settings))
        size = settings.image_size or 224
        features = Backbone(network)(torch.zeros(2, 3, size, size))
    features.sum().backward()
    used = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    groups = group_parameters(network, network.group_matcher(coarse=True))
    stages = [names for _, group in sorted(groups.items()) if (names := used.intersection(group))]
    count = int(settings.trainable.removeprefix("last-"))
    if count >= len(stages):
        raise HarnessError(
            f"trainable {settings.trainable}: {settings.backbone} has {len(stages)} stages; allowed: head,"
            f" {'last-1 to ' if len(stages) > 2 else ''}last-{len(stages) - 1}, all"
        )
    return frozenset().union(*stages[-count:])


def feature_shape(backbone: Backbone, image_size: int) -> Shape:
    """The shape (C, H, W) of the features of one image."""
    backbone.eval()
    parameter = next(backbone.parameters())
    with torch.inference_mode():
        image = torch.zeros(1, 3, image_size, image_size, device=parameter.device, dtype=parameter.dtype)
        _, channels, height, width = backbone(image).shape
    return channels, height, width


def _options(settings: Settings) -> dict[str, Any]:
    """What timm is asked for: the network without pooling and classifier."""
    options: dict[str, Any] = {"num_classes": 0, "global_pool": ""}
    if "img_size" in _arguments(settings.backbone):
        options["img_size"] = settings.image_size
    return options


def _arguments(name: str) -> Iterable[str]:
    """What may be passed on: vision transformers are built for one image size."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    fixed = bool(config and config.fixed_input_size)
    return ("img_size",) if fixed else ()


def check_weights(settings: Settings) -> None:
    """Finds out within seconds whether these weights can be had and fit the backbone. Raises HarnessError."""
    if settings.backbone in NETWORKS or settings.backbone in CLASSIFIERS:
        return
    if settings.weights == "imagenet":
        check_hub(settings.backbone)
    elif settings.weights != "none":
        _with_weights(settings, seed=0)


def check_stages(settings: Settings) -> None:
    """Raises HarnessError where `trainable: last-N` asks for more stages than the backbone has."""
    if settings.trainable.startswith("last-"):
        last_stages(settings)


def check_hub(name: str) -> None:
    """Raises HarnessError where the ImageNet weights are neither here nor to be had: timm would retry for a minute."""
    from huggingface_hub import constants, try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise HarnessError(f"timm has no pretrained weights for {name}; name a tag such as resnet50.tv_in1k")
    files = ("model.safetensors", "pytorch_model.bin")
    if config.hf_hub_id and any(isinstance(try_to_load_from_cache(config.hf_hub_id, f), str) for f in files):
        return
    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        raise HarnessError(
            f"the ImageNet weights of {name} are not on this machine and the hub cannot be reached;"
            " run once with a network, or give a file by --set base.weights=PATH.safetensors,"
            " or train from random weights by --set base.weights=none"
        )


def _reachable(url: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HUB_TIMEOUT).close()
    except urllib.error.HTTPError:  # it answered
        return True
    except (OSError, ValueError):
        return False
    return True

"""The Hugging Face hub, which has timm's pretrained weights."""

from typing import Any

import timm

from harness.errors import HarnessError
from harness.models.hub_files import reachable


def require_pretrained(name: str) -> Any:
    """The config of timm's pretrained weights of this name. Raises HarnessError where there are none."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise HarnessError(f"timm has no pretrained weights for {name}; name a tag such as resnet50.tv_in1k")
    return config


def check_hub(name: str) -> None:
    """Raise HarnessError where the weights are neither cached nor downloadable; timm would retry for a minute."""
    from huggingface_hub import constants, try_to_load_from_cache

    config = require_pretrained(name)
    files = ("model.safetensors", "pytorch_model.bin")
    if config.hf_hub_id and any(isinstance(try_to_load_from_cache(config.hf_hub_id, f), str) for f in files):
        return
    if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
        raise HarnessError(
            f"the ImageNet weights of {name} are not on this machine and the hub cannot be reached;"
            " run once with a network connection, or give a file by --set base.weights=PATH.safetensors,"
            " or train from random weights by --set base.weights=none"
        )

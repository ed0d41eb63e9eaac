"""Grad-CAM (Selvaraju et al. 2017, by Captum): which places of the last feature map speak for a class."""

import math

import numpy as np
import torch
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from torch import Tensor

from harness.data.decode import Pixels
from harness.serving.classifier import Classifier
from harness.training.device import deterministic

Maps = NDArray[np.float32]


def grad_cam(classifier: Classifier, pixels: Pixels, classes: NDArray[np.int64]) -> Maps:
    """The maps [n, h, w] of images [n, 1 or 3, size, size], each for one class, from 0 to the image's own 1.

    A map without any place that speaks for the class is all 0. Raises ValueError where the backbone's features are
    tokens that are no square.
    """
    side = token_side(classifier)
    method = LayerGradCam(classifier.network, classifier.backbone)
    images = classifier.inputs(pixels)(np.arange(len(pixels)))
    with deterministic(classifier.about.threads), torch.enable_grad():
        found = method.attribute(images.requires_grad_(), torch.from_numpy(classes).to(classifier.device))
    assert isinstance(found, Tensor)
    maps = found.detach().relu().float().cpu()[:, 0]
    if side:
        maps = maps[:, -(side**2) :, 0].reshape(len(maps), side, side)
    most = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, torch.zeros_like(maps)).numpy()


def token_side(classifier: Classifier) -> int | None:
    """The side of the square that the tokens of a transformer make, less its class token; None for real maps."""
    _, height, width = classifier.feature_shape
    if width > 1 or height == 1:
        return None
    tokens = height - int(getattr(classifier.backbone.network, "num_prefix_tokens", 0))
    if math.isqrt(tokens) ** 2 != tokens:
        raise ValueError(f"{tokens} tokens make no square")
    return math.isqrt(tokens)

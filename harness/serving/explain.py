"""Grad-CAM (Selvaraju et al. 2017, by Captum): the regions of the last feature map that support a class."""

import numpy as np
import torch
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from torch import Tensor

from harness.data.decode import Pixels
from harness.errors import HarnessError
from harness.serving.classifier import Classifier
from harness.training.device import deterministic

Maps = NDArray[np.float32]


def grad_cam(classifier: Classifier, pixels: Pixels, classes: NDArray[np.int64]) -> Maps:
    """Compute the maps [n, h, w] of images [n, 1 or 3, size, size], each for one class, scaled to a maximum of 1.

    A map without any region that supports the class is 0. Raises HarnessError where the features are not a map.
    """
    _, height, width = classifier.feature_shape
    if width == 1 and (height > 1 or classifier.backbone.layout not in ("map", "tokens")):
        raise HarnessError(
            f"Grad-CAM needs a feature map; {classifier.about.settings.backbone} gives"
            f" {f'{height} tokens, which is not a square' if height > 1 else 'one vector for the whole image'}"
        )
    method = LayerGradCam(classifier.network, classifier.backbone)
    (images,) = classifier.loader(pixels)([np.arange(len(pixels))])
    with deterministic(classifier.about.threads), torch.enable_grad():
        found = method.attribute(images.requires_grad_(), torch.from_numpy(classes).to(classifier.device))
    assert isinstance(found, Tensor)
    maps = found.detach().relu().float().cpu()[:, 0]
    most = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, torch.zeros_like(maps)).numpy()

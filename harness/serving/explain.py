"""Grad-CAM (Selvaraju et al. 2017): the regions of the last feature map that support a class."""

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.decode import Pixels
from harness.errors import HarnessError
from harness.models.layouts import from_places, places, places_of
from harness.serving.classifier import Classifier
from harness.study.origin import short_name
from harness.training.device import deterministic

Maps = NDArray[np.float32]


def grad_cam(classifier: Classifier, pixels: Pixels, classes: NDArray[np.int64]) -> Maps:
    """Compute the maps [n, h, w] of images [n, 1 or 3, size, size], each for one class, scaled to a maximum of 1.

    The map is the last one before the pooling, or the tokens of the patches on their grid. One without any region that
    supports the class is 0. Raises HarnessError where there is no such map, or where the prediction does not depend on
    it: that of a class token does not depend on the last tokens of the patches. Votes have no gradient.
    """
    if classifier.about.settings.head == "knn":
        raise HarnessError("Grad-CAM needs a score with a gradient; the head knn counts the votes of training images")
    backbone, name = classifier.backbone, short_name(classifier.about.settings.backbone)
    (images,) = classifier.loader(pixels)([np.arange(len(pixels))])
    with deterministic(classifier.about.threads), torch.enable_grad():
        features = backbone.before_pooling(images.requires_grad_())
        found = places_of(backbone.network, features)
        if isinstance(found, str):
            raise HarnessError(f"Grad-CAM needs a feature map; {name} gives {found}")
        logits = classifier.head(from_places(backbone.network, features, backbone.layout).float())
        wanted = logits.gather(1, torch.from_numpy(classes).to(classifier.device)[:, None])
        gradients = places_of(backbone.network, torch.autograd.grad(wanted.sum(), places(features))[0])
    assert not isinstance(gradients, str)
    if not gradients.any():
        raise HarnessError(f"Grad-CAM needs a prediction from the feature map; that of {name} is from another token")
    maps = (gradients.mean(dim=(2, 3), keepdim=True) * found).sum(dim=1).detach().relu().float().cpu()
    most = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, torch.zeros_like(maps)).numpy()

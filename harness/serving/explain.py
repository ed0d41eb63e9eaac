"""Grad-CAM (Selvaraju et al. 2017, by Captum): the regions of the last feature map that support a class."""

import numpy as np
import torch
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from torch import Tensor

from harness.data.decode import Pixels
from harness.errors import HarnessError
from harness.models.backbone import Backbone, anatomy_of
from harness.serving.classifier import Classifier
from harness.study.settings import VECTOR_HEADS
from harness.training.device import Arithmetic, deterministic
from harness.training.network import Network

Maps = NDArray[np.float32]
LAYOUTS_WITH_PLACES = ("map", "tokens")
SAME_MEAN = 1e-4  # a vector is the mean of a map, up to rounding


def grad_cam(classifier: Classifier, pixels: Pixels, classes: NDArray[np.int64]) -> Maps:
    """Compute the maps [n, h, w] of images [n, 1 or 3, size, size], each for one class, scaled to a maximum of 1.

    A map without any region that supports the class is 0. Raises HarnessError where the features are not a map, nor
    the mean of one, and where votes are counted.
    """
    (images,) = classifier.loader(pixels)([np.arange(len(pixels))])
    if classifier.about.settings.head == "knn":
        raise HarnessError("Grad-CAM needs a score with a gradient; the head knn counts the votes of training images")
    backbone = _with_places(classifier, images)
    network = Network(backbone, classifier.head, Arithmetic(classifier.device, "fp32")).eval()
    method = LayerGradCam(network, backbone)
    with deterministic(classifier.about.threads), torch.enable_grad():
        found = method.attribute(images.requires_grad_(), torch.from_numpy(classes).to(classifier.device))
    assert isinstance(found, Tensor)
    maps = found.detach().relu().float().cpu()[:, 0]
    most = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(most > 0, maps / most, torch.zeros_like(maps)).numpy()


def _with_places(classifier: Classifier, images: Tensor) -> Backbone:
    """The backbone as it gives feature maps: as it is, or before the mean that a head on vectors reads.

    Raises HarnessError where there is no such map.
    """
    backbone, settings = classifier.backbone, classifier.about.settings
    _, height, width = classifier.feature_shape
    if backbone.layout not in LAYOUTS_WITH_PLACES and settings.head in VECTOR_HEADS:
        known = anatomy_of(settings.model_copy(update={"pool": "map"}))
        before = Backbone(backbone.network, known.layout, backbone.size).put_on(classifier.device).eval()
        with deterministic(classifier.about.threads), torch.inference_mode():
            means, vectors = before(images).mean(dim=(2, 3)), backbone(images).flatten(1)
        if torch.allclose(means, vectors, rtol=SAME_MEAN, atol=SAME_MEAN):
            backbone, (_, height, width) = before, known.shape
    if width == 1 and (height > 1 or backbone.layout not in LAYOUTS_WITH_PLACES):
        raise HarnessError(
            f"Grad-CAM needs a feature map; {settings.backbone} gives"
            f" {f'{height} tokens, which is not a square' if height > 1 else 'one vector for the whole image'}"
        )
    return backbone

"""The built-in baselines that a deep network must beat: from the majority class to a small network from scratch."""

from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def built_in_model(place: str, *arguments: Any) -> nn.Module:
    """Create the model of the class at `module:class`, as the dicts of the settings name it."""
    module, _, name = place.partition(":")
    model = getattr(import_module(module), name)(*arguments)
    assert isinstance(model, nn.Module)
    return model


class SmallCnn(nn.Module):
    """Four blocks of convolution, batch norm, ReLU and pooling: images [n, 3, H, W] -> maps [n, 128, H/16, W/16]."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": MEAN, "std": STD}
        widths = (3, 16, 32, 64, 128)
        self.blocks = nn.Sequential(*(self._block(*pair) for pair in pairwise(widths)))

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        )

    def forward_features(self, images: Tensor) -> Tensor:
        features = self.blocks(images)
        assert isinstance(features, Tensor)
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


class Baseline(nn.Module):
    """A model that is fitted to all training images without gradients: images [n, 3, H, W] -> log-probabilities.

    What it learns is stored as parameters, so that they are counted and saved like those of a network.
    """

    mean, std = MEAN, STD
    flops = 0  # of one image, 2 for a multiply-add

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.shares = _fixed(torch.full((1, classes), 1 / classes))  # of each class among the training images

    def transform(self, images: Tensor) -> Tensor:
        """Return the features [n, d] that it reads of the images."""
        raise NotImplementedError

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.int64], epochs: int, seed: int) -> None:
        """Fit the model to the features [n, d] of all training images and their classes [n], in `epochs` passes."""
        raise NotImplementedError


class Majority(Baseline):
    """Predicts the class proportions of the training images, and so the most common class, for every image."""

    def transform(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 0)

    def fit(self, _features: NDArray[np.float32], labels: NDArray[np.int64], _epochs: int, _seed: int) -> None:
        self.shares = _shares(labels, self.classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.shares.log().expand(len(images), -1)


class SelfOrganisingMap(Baseline):
    """A Kohonen map of the images pooled to 16 x 16 gray levels; predicts the class proportions of the nearest node."""

    SIDE, NODES = 16, 10  # pixels of a pooled image and nodes of the map, along each side
    SIGMA, RATE = 2.0, 0.5
    flops = 2 * NODES**2 * SIDE**2  # the distances to all nodes

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        size = self.SIDE**2
        self.centre, self.scale = _fixed(torch.zeros(size)), _fixed(torch.ones(size))
        self.codebook = _fixed(torch.zeros(self.NODES**2, size))
        self.node_shares = _fixed(torch.full((self.NODES**2, classes), 1 / classes))

    def transform(self, images: Tensor) -> Tensor:
        return adaptive_avg_pool2d(images.mean(dim=1, keepdim=True), self.SIDE).flatten(1)

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.int64], epochs: int, seed: int) -> None:
        # The proportions of each node are smoothed by one pseudo-image with the overall proportions.
        from minisom import MiniSom

        self.shares = _shares(labels, self.classes)
        self.centre = _fixed(torch.from_numpy(features.mean(axis=0)))
        self.scale = _fixed(torch.from_numpy(features.std(axis=0) + 1e-6))
        standard = (features - self.centre.numpy()) / self.scale.numpy()
        som = MiniSom(self.NODES, self.NODES, self.SIDE**2, sigma=self.SIGMA, learning_rate=self.RATE, random_seed=seed)
        som.random_weights_init(standard)
        som.train(standard, epochs, random_order=True, use_epochs=True)
        self.codebook = _fixed(torch.from_numpy(som.get_weights().reshape(-1, self.SIDE**2).astype(np.float32)))
        nodes = _nearest(torch.from_numpy(standard), self.codebook).numpy()
        counts = np.zeros((self.NODES**2, self.classes), dtype=np.float32)
        np.add.at(counts, (nodes, labels), 1)
        counts += self.shares.numpy()
        self.node_shares = _fixed(torch.from_numpy(counts / counts.sum(axis=1, keepdims=True)))

    def forward(self, images: Tensor) -> Tensor:
        standard = (self.transform(images) - self.centre) / self.scale
        return self.node_shares.log()[_nearest(standard, self.codebook)]


def _nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """The nearest node [n] of each point [n, d]."""
    return torch.cdist(points, codebook).argmin(dim=1)


def _shares(labels: NDArray[np.int64], classes: int) -> nn.Parameter:
    """The proportion [1, classes] of each class."""
    counts = np.bincount(labels, minlength=classes).astype(np.float32)
    return _fixed(torch.from_numpy(counts / counts.sum())[None])


def _fixed(values: Tensor) -> nn.Parameter:
    """A parameter that is counted and saved like any other, but not trained by gradients."""
    return nn.Parameter(values, requires_grad=False)

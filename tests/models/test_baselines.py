import numpy as np
import pytest
import torch

from harness.models.backbone import feature_shape, load_backbone
from harness.models.baselines import Baseline, Majority, SelfOrganisingMap, built_in_model
from harness.study.allowed import CLASSIFIERS
from harness.study.settings import Settings


def bright_and_dark(count: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Images of two classes: bright at the left, or at the right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.normal(0, 0.3, (count, 3, 32, 32)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[:, :, 16 * label : 16 * label + 16] += 1
    return torch.from_numpy(images), labels


def learnt(model: Baseline, images: torch.Tensor, labels: np.ndarray, seed: int = 0) -> Baseline:
    model.fit(model.transform(images).numpy(), labels, 3, seed)
    return model


def test_the_majority_class_gives_everyone_the_shares_of_training() -> None:
    images, _ = bright_and_dark(8, 0)
    model = learnt(Majority(3), images, np.array([0, 1, 1, 1, 2, 2, 1, 0]))
    probabilities = model(images).softmax(dim=1).numpy()
    assert probabilities == pytest.approx(np.tile([0.25, 0.5, 0.25], (8, 1)))


def test_the_map_tells_what_lies_where_in_new_images() -> None:
    model = learnt(SelfOrganisingMap(2), *bright_and_dark(200, 1))
    images, labels = bright_and_dark(100, 2)
    probabilities = model(images).softmax(dim=1).numpy()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    shuffled = learnt(SelfOrganisingMap(2), images, np.random.default_rng(3).permutation(labels))
    assert (shuffled(bright_and_dark(100, 4)[0]).argmax(dim=1).numpy() == bright_and_dark(100, 4)[1]).mean() < 0.8


def test_the_same_seed_gives_the_same_map() -> None:
    data = bright_and_dark(60, 5)
    first, again, other = (learnt(SelfOrganisingMap(2), *data, seed) for seed in (7, 7, 8))
    assert torch.equal(first.state_dict()["codebook"], again.state_dict()["codebook"])
    assert not torch.equal(first.state_dict()["codebook"], other.state_dict()["codebook"])


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_what_was_learnt_is_in_the_state_and_counts_as_parameters(name: str) -> None:
    images, labels = bright_and_dark(40, 6)
    model = built_in_model(CLASSIFIERS[name], 2)
    assert isinstance(model, Baseline)
    learnt(model, images, labels)
    again = built_in_model(CLASSIFIERS[name], 2)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images), model(images))
    assert sum(parameter.numel() for parameter in model.parameters()) >= 2


def test_the_small_network_is_a_backbone_that_is_drawn_from_the_seed() -> None:
    settings = Settings(backbone="small-cnn").resolved(40)
    assert (settings.weights, settings.trainable, settings.image_size) == ("none", "all", 40)
    first, again, other = (load_backbone(settings, seed) for seed in (1, 1, 2))
    assert feature_shape(first, 40) == (128, 3, 3)
    states = [network.state_dict()["network.blocks.0.0.weight"] for network in (first, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment

from harness.study.settings import Settings
from harness.training.augment import MAX_BRIGHTNESS, MAX_CONTRAST, MAX_DEGREES, MAX_SCALE, MAX_SHIFT, Augmentation
from harness.training.loaders import Scale

CPU = torch.device("cpu")
IMAGES = torch.from_numpy(np.random.default_rng(0).random((40, 3, 12, 12), dtype=np.float32))
SCALE = Scale(torch.tensor([20.0, 30.0, 40.0]).view(1, 3, 1, 1), torch.tensor([50.0, 60.0, 70.0]).view(1, 3, 1, 1))
KINDS = ["flip", "affine", "flip+affine", "medical", "randaugment", "flip+randaugment"]


def changed(kind: str, seed: int = 0, images: Tensor = IMAGES) -> Tensor:
    return Augmentation(kind, len(images), seed, CPU, SCALE)(images, 0)


def test_none_gives_the_images_themselves() -> None:
    assert changed("none") is IMAGES


def test_a_flip_exchanges_left_and_right_in_about_half_of_the_images_and_leaves_the_others() -> None:
    out = changed("flip", images=IMAGES.repeat(25, 1, 1, 1))
    same = [torch.equal(a, b) for a, b in zip(out, IMAGES.repeat(25, 1, 1, 1), strict=True)]
    flipped = [torch.equal(a, b.flip(2)) for a, b in zip(out, IMAGES.repeat(25, 1, 1, 1), strict=True)]
    assert all(a != b for a, b in zip(same, flipped, strict=True))
    assert 420 < sum(flipped) < 580  # of 1,000; five standard deviations are 79


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_changes_and_another_seed_others(kind: str) -> None:
    assert torch.equal(changed(kind, 1), changed(kind, 1))
    assert not torch.equal(changed(kind, 1), changed(kind, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_the_changes_do_not_depend_on_how_the_batches_are_cut(kind: str) -> None:
    augmentation = Augmentation(kind, len(IMAGES), 3, CPU, SCALE)
    parts = [augmentation(IMAGES[start : start + 7], start) for start in (35, 0, 7, 28, 14, 21)]
    again = torch.cat([parts[i] for i in (1, 2, 4, 5, 3, 0)])
    torch.testing.assert_close(again, changed(kind, 3), rtol=0, atol=1e-6)


def test_affine_moves_a_blob_no_further_than_it_says_and_not_always_by_the_same() -> None:
    size, n = 101, 300
    axis = torch.linspace(-1, 1, size)
    blob = torch.exp(-((axis - 0.5) ** 2)[None, :] / 0.005 - (axis**2)[:, None] / 0.005)  # right of the middle
    out = changed("affine", images=blob.expand(n, 1, size, size).contiguous())
    mass = out.sum(dim=(1, 2, 3))
    x = (out.sum(dim=(1, 2)) * axis).sum(dim=1) / mass
    y = (out.sum(dim=(1, 3)) * axis).sum(dim=1) / mass
    furthest = 2 * MAX_SHIFT + 0.5 * MAX_SCALE + 2 * MAX_SHIFT * MAX_SCALE
    assert (x - 0.5).abs().max() < furthest + 0.02
    turned = float(np.sin(np.deg2rad(MAX_DEGREES))) * 0.5 * (1 + MAX_SCALE) + 2 * MAX_SHIFT * (1 + MAX_SCALE)
    assert 0.7 * turned < y.abs().max() < turned + 0.02
    assert y.std() > 0.05
    assert abs(float(y.mean())) < 0.03  # no side is preferred
    assert abs(float(x.mean()) - 0.5) < 0.03


def test_affine_mirrors_what_lies_beyond_the_edge() -> None:
    flat = torch.full((50, 1, 16, 16), 0.7)
    torch.testing.assert_close(changed("affine", images=flat), flat)


def test_all_channels_of_an_image_are_changed_alike() -> None:
    gray = IMAGES[:, :1].expand(-1, 3, -1, -1)
    out = changed("flip+affine", images=gray)
    assert (out == out[:, :1]).all()
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_medical_is_affine_with_other_contrast_and_brightness_within_their_bounds() -> None:
    images = IMAGES.repeat(25, 1, 1, 1)
    moved, out = changed("affine", images=images), changed("medical", images=images)
    contrast = out.std(dim=(2, 3)) / moved.std(dim=(2, 3))
    brightness = (out.mean(dim=(2, 3)) - moved.mean(dim=(2, 3))) / moved.std(dim=(2, 3))
    for found, middle, most in ((contrast, 1, MAX_CONTRAST), (brightness, 0, MAX_BRIGHTNESS)):
        assert 0.95 * most < (found - middle).abs().max() <= most + 1e-4
        assert abs(float(found.mean()) - middle) < 0.02
        torch.testing.assert_close(found, found[:, :1].expand_as(found))  # the same in all channels
    expected = moved * contrast[:, :, None, None]
    torch.testing.assert_close(out - expected, (out - expected)[:, :, :1, :1].expand_as(out), rtol=0, atol=1e-4)


def test_medical_changes_the_same_whatever_the_normalisation() -> None:
    gray, mean, std = IMAGES[:, :1].expand(-1, 3, -1, -1), torch.tensor([0.1, 0.4, 0.7]), torch.tensor([0.2, 0.3, 0.5])
    normalised = (gray - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    back = changed("medical", images=normalised) * std.view(3, 1, 1) + mean.view(3, 1, 1)
    torch.testing.assert_close(back, changed("medical", images=gray), rtol=0, atol=1e-4)


def random_pixels(images: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(256, size=(images, 3, 16, 16), dtype=np.uint8))


def test_randaugment_is_what_torchvision_does_to_the_pixels_of_each_image_from_its_own_seed() -> None:
    pixels, seed = random_pixels(30), 5
    out = changed("randaugment", seed, SCALE.scaled(pixels))
    seeds = np.random.default_rng(seed)
    seeds.random(30)  # those of flips come first
    for image, drawn, found in zip(pixels, seeds.integers(2**31, size=30).tolist(), out, strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(drawn)
            expected = RandAugment(num_ops=2, magnitude=9, interpolation=InterpolationMode.BILINEAR)(image)
        assert torch.equal(SCALE.pixels(found[None])[0], expected)


def test_pixels_survive_being_scaled() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(SCALE.pixels(SCALE.scaled(every)), every)


def test_randaugment_leaves_the_draws_of_dropout_as_they_were() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    changed("randaugment")
    assert torch.equal(torch.rand(3), expected)


def test_flip_and_randaugment_flips_first_by_the_same_draws_as_flip_alone() -> None:
    pixels = random_pixels(30)
    flipped = SCALE.pixels(changed("flip", 2, SCALE.scaled(pixels)))
    both = changed("flip+randaugment", 2, SCALE.scaled(pixels))
    assert torch.equal(both, changed("randaugment", 2, SCALE.scaled(flipped)))


def test_the_version_of_torchvision_is_a_fact_of_fits_that_use_it() -> None:
    plain = Settings(backbone="resnet18")
    assert plain.packages == ()
    assert plain.model_copy(update={"augment": "flip+randaugment"}).packages == ("torchvision",)

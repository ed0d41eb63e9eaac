"""Squares by timm's transforms for evaluation, pixel for pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform

from harness.data.decode import decode
from harness.data.resizing import square
from harness.models.networks import native_preprocessing
from harness.serving.images import read_images
from harness.study.pixel_rules import PixelRules
from harness.training.loaders import PixelLoader

BACKBONES = (
    "test_resnet",  # bilinear center 0.95
    "tf_efficientnet_lite0",  # bicubic center 0.875
    "vit_small_patch14_dinov2",  # bicubic center 1
    "volo_d5_512.sail_in1k",  # bicubic center 1.15
    "convnext_base.clip_laion2b_augreg_ft_in12k_in1k_384",  # bicubic squash 1
)
SHAPES = ((97, 61), (61, 97), (40, 40), (300, 7), (31, 233))


def timms(name: str, size: int, image: Image.Image, normalise: bool) -> torch.Tensor:
    """The image as timm's own transform gives it."""
    known: Any = timm.get_pretrained_cfg(name)
    resolve: Any = resolve_data_config
    config = resolve({"input_size": (3, size, size)}, pretrained_cfg=known.to_dict())
    transform = create_transform(**config, is_training=False, normalize=normalise)
    found: torch.Tensor = transform(image.convert("RGB"))
    return found


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_native_squares_are_those_of_timm(name: str, mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for width, height in SHAPES:
        bands = [] if mode == "L" else [3]
        image = Image.fromarray(rng.integers(0, 256, (height, width, *bands), dtype=np.uint8))
        path = tmp_path / f"{width}-{height}.png"
        image.save(path)
        for size in (32, 45, 224):
            rules = PixelRules().framed(native_preprocessing(name))
            seen = decode(path, size, rules)
            expected = timms(name, size, image, normalise=False).numpy()
            planes = seen.transpose(2, 0, 1) if mode == "RGB" else np.stack([seen] * 3)
            np.testing.assert_array_equal(planes, expected)
            np.testing.assert_array_equal(read_images([path], size, rules)[0], expected[: 1 if mode == "L" else 3])


@pytest.mark.parametrize("words", ["bicubic-center-1.15", "bilinear-squash-1.25", "nearest-squash-0.8"])
def test_every_form_is_timms(words: str) -> None:
    interpolation, mode, crop = words.split("-")
    rng = np.random.default_rng(1)
    for width, height in SHAPES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for size in (32, 45):
            crops: Any = {"crop_mode": mode, "crop_pct": float(crop)}
            transform: Any = create_transform(size, interpolation=interpolation, normalize=False, **crops)
            np.testing.assert_array_equal(np.asarray(square(image, size, words)), transform(image).permute(1, 2, 0))


def test_the_network_gets_what_timm_would_give_it() -> None:
    name, size = "tf_efficientnet_lite0", 64
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 70), dtype=np.uint8))
    pixels = np.asarray(square(image, size, native_preprocessing(name)))[None, None]
    config: Any = timm.get_pretrained_cfg(name)
    (seen,) = PixelLoader(pixels, config.mean, config.std, torch.device("cpu"))([np.array([0])])
    torch.testing.assert_close(seen[0].expand(3, -1, -1), timms(name, size, image, normalise=True), rtol=0, atol=1e-6)


def test_too_long_an_image_is_refused_before_it_takes_the_memory() -> None:
    with pytest.raises(ValueError, match="too long"):
        square(Image.new("L", (60_000, 1)), 224, "bicubic-center-0.9")

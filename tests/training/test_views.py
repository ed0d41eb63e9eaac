import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.study.allowed import VIEWS
from harness.training.predict import predict
from harness.training.views import CORNERS, WHOLE, ImageView, views_of
from tests.training.test_fit import SETTINGS, network

SIDE = 20
RAMP = torch.arange(SIDE, dtype=torch.float32).expand(1, 3, SIDE, SIDE)  # from 0 at the left to 19 at the right


def logits(left: Tensor, right: Tensor) -> Tensor:
    """The logits [n, 3] of images by the sums of their left and their right half."""
    return torch.stack([left / 300, right / 100, torch.ones(len(left))], dim=1)


class Halves(nn.Module):
    """Tells the left half of an image from the right one."""

    def forward(self, images: Tensor) -> Tensor:
        return logits(images[..., : SIDE // 2].sum((1, 2, 3)), images[..., SIDE // 2 :].sum((1, 2, 3)))


@pytest.mark.parametrize("tta", VIEWS)
def test_there_are_as_many_views_as_are_counted_each_once_and_the_whole_image_first(tta: str) -> None:
    views = views_of(tta)
    assert len({*views}) == len(views) == VIEWS[tta]
    assert views[0] == WHOLE
    images = torch.rand(2, 3, SIDE, SIDE)
    assert len({view(images).numpy().tobytes() for view in views}) == len(views)
    assert all(view(images).shape == images.shape for view in views)


def test_a_corner_is_nine_tenths_of_a_side_enlarged_and_a_mirror_image_exchanges_the_sides() -> None:
    lefts = [view(RAMP)[0, 0, 0, 0].item() for view in CORNERS]
    rights = [view(RAMP)[0, 0, 0, -1].item() for view in CORNERS]
    assert [round(value, 1) for value in (*lefts, *rights)] == [0, 2, 0, 2, 17, 19, 17, 19]
    down = RAMP.transpose(2, 3)
    assert [round(view(down)[0, 0, 0, 0].item(), 1) for view in CORNERS] == [0, 0, 2, 2]
    assert torch.equal(ImageView(mirrored=True)(RAMP), RAMP.flip(3))
    assert torch.equal(ImageView((True, True), mirrored=True)(RAMP), CORNERS[3](RAMP).flip(3))


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_a_prediction_is_the_mean_of_the_probabilities_of_an_image_and_its_mirror_image(batch: int) -> None:
    images = torch.rand(7, 3, SIDE, SIDE)
    left, right = images[..., : SIDE // 2].sum((1, 2, 3)), images[..., SIDE // 2 :].sum((1, 2, 3))
    plain, mirrored = (logits(*halves).double().softmax(dim=1).numpy() for halves in ((left, right), (right, left)))
    found = predict(Halves(), lambda parts: (images[part] for part in parts), np.arange(7), batch, tta="flip")
    np.testing.assert_allclose(found, (plain + mirrored) / 2, atol=1e-5)
    assert np.abs(plain - mirrored).max() > 0.01


class Seen(nn.Module):
    """Images by one view."""

    def __init__(self, view: ImageView) -> None:
        super().__init__()
        self.view = view

    def forward(self, images: Tensor) -> Tensor:
        return self.view(images)


def test_the_mean_is_over_all_ten_views_each_of_whole_batches() -> None:
    model, loader = network(SETTINGS)
    rows, sizes = np.arange(20), []

    def counted(images: Tensor) -> Tensor:
        sizes.append(len(images))
        found: Tensor = model(images)
        return found

    found = predict(model, loader, rows, 8, counted, "flip+crops")
    assert sizes == [8] * 20 + [4] * 10
    alone = [predict(nn.Sequential(Seen(view), model), loader, rows, 8) for view in views_of("flip+crops")]
    np.testing.assert_allclose(found, np.mean(alone, axis=0), rtol=1e-12)
    assert not np.allclose(found, alone[0], atol=1e-6)

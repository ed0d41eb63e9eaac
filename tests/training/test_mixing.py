"""Mixed images and labels, against timm's Mixup with the same shares and boxes."""

from typing import Any

import numpy as np
import pytest
import torch
from timm.data import mixup
from torch.nn.functional import cross_entropy

from harness.study.settings import Settings
from harness.training.fit_history import Fitted
from harness.training.losses import make_loss
from harness.training.mixing import Mix, Mixing
from harness.training.task import FitJob
from tests.training.test_fit import NOISE, PIXELS, SETTINGS, TASK, silent, trained

SIDE, CLASSES = 32, 3
LABELS = torch.tensor([0, 1, 2, 0, 1, 1])


def mixes_of(batches: int, mixup: float = 0.0, cutmix: float = 0.0, parts: int = 1, seed: int = 0) -> list[Mix]:
    settings = SETTINGS.model_copy(update={"mixup": mixup, "cutmix": cutmix})
    return Mixing(settings, [parts] * batches, seed)._mixes or []


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0)], ids=["mixup", "cutmix"])
def test_a_batch_is_mixed_as_timm_mixes_it(monkeypatch: pytest.MonkeyPatch, alphas: tuple[float, float]) -> None:
    images = torch.from_numpy(NOISE[:6]).float()
    for mix in mixes_of(4, *alphas):
        theirs: Any = mixup.Mixup(label_smoothing=0.1, num_classes=CLASSES)  # type: ignore[no-untyped-call]
        monkeypatch.setattr(theirs, "_params_per_batch", lambda share=mix.share, box=mix.box: (share, box is not None))
        if mix.box is not None:
            at = (mix.box[0].start, mix.box[0].stop, mix.box[1].start, mix.box[1].stop)
            monkeypatch.setattr(mixup, "cutmix_bbox_and_lam", lambda *_, at=at, mix=mix, **__: (at, mix.share))
        mixed, labels = theirs(images.clone(), LABELS)
        torch.testing.assert_close(mix.images(images), mixed)
        logits = torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(0))
        smoothed = make_loss(FitJob(TASK, SETTINGS.model_copy(update={"label_smoothing": 0.1}), 0, silent))
        torch.testing.assert_close(smoothed(logits, mix.labels(LABELS, CLASSES)), cross_entropy(logits, labels))


def test_the_share_of_a_label_is_the_share_of_its_pixels() -> None:
    images = torch.zeros(2, 1, SIDE, SIDE)
    images[0] = 1
    for mix in mixes_of(50, mixup=0.4, cutmix=1.0):
        assert mix.images(images)[0].mean().item() == pytest.approx(mix.share, abs=1e-5)
        assert mix.labels(torch.tensor([1, 0]), 2)[0].tolist() == pytest.approx([1 - mix.share, mix.share], abs=1e-5)


def test_shares_are_drawn_from_the_alphas_and_both_kinds_come_in_turn() -> None:
    both = mixes_of(400, mixup=0.4, cutmix=1.0)
    assert 150 < sum(mix.box is not None for mix in both) < 250
    assert all(mix.box is None for mix in mixes_of(20, mixup=0.4))
    assert all(mix.box is not None for mix in mixes_of(20, cutmix=0.4))
    narrow, wide = (np.std([mix.share for mix in mixes_of(400, mixup=alpha)]) for alpha in (50.0, 0.1))
    assert narrow == pytest.approx(np.sqrt(1 / (4 * 101)), rel=0.2)  # of Beta(50, 50)
    assert wide == pytest.approx(np.sqrt(1 / (4 * 1.2)), rel=0.2)


def test_the_parts_of_a_batch_have_its_mix_and_every_epoch_another() -> None:
    whole, halved = mixes_of(3, mixup=0.4), mixes_of(3, parts=2, mixup=0.4)
    assert halved == [mix for mix in whole for _ in range(2)]
    assert mixes_of(3, mixup=0.4, seed=1) != whole


def mixed(**changes: object) -> Fitted:
    return trained(**{"mixup": 0.4, "cutmix": 1.0} | changes)  # type: ignore[arg-type]


def test_a_fit_with_mixed_images_is_repeated_bit_for_bit_and_is_another_one() -> None:
    first, second, plain = mixed(), mixed(), trained()
    assert first.history == second.history
    assert (first.probabilities == second.probabilities).all()
    assert all(
        one["train/loss"] != other["train/loss"] for one, other in zip(first.history, plain.history, strict=True)
    )


def test_accuracy_in_training_counts_the_class_with_the_larger_share() -> None:
    """With alpha so small that a share is 0 or 1, images are exchanged and nothing is mixed: the task stays."""
    assert PIXELS.shape[2] == SIDE
    fitted = mixed(mixup=1e-6, cutmix=0.0, epochs=6, learning_rate=3e-3)
    assert fitted.history[-1]["train/accuracy"] >= 0.9
    assert fitted.metrics["accuracy"] >= 0.9


def test_without_alphas_nothing_is_mixed() -> None:
    assert Mixing(Settings(backbone="b"), [1, 1], 0).labels([LABELS], CLASSES)[0] is LABELS

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.data.dataset import Rows
from harness.models.backbone import feature_shape, load_backbone
from harness.models.heads import initialise, make_head
from harness.stats.metrics import classification_metrics
from harness.store.results import Metrics
from harness.study.settings import ResolvedSettings, Settings
from harness.training.device import Arithmetic
from harness.training.fit import fit, micro_batches, shuffled_batches
from harness.training.fit_history import Fitted
from harness.training.loaders import Loader, PixelLoader
from harness.training.network import Network
from harness.training.predict import predict
from harness.training.task import FitJob, Task

CPU = torch.device("cpu")
FP32, BF16 = Arithmetic(CPU, "fp32"), Arithmetic(CPU, "bf16")
LABELS = np.arange(60) % 2
NOISE = np.random.default_rng(0).integers(0, 100, (60, 1, 32, 32), dtype=np.uint8)
PIXELS = NOISE + (LABELS[:, None, None, None] * 120 * (np.arange(32) < 16)).astype(
    np.uint8
)  # left half bright: class 1
TASK = Task(torch.from_numpy(LABELS), np.arange(40), np.arange(40, 60), positive=1, every_epoch=True)
SETTINGS = ResolvedSettings(
    backbone="test_resnet", weights="none", epochs=4, batch_size=8, learning_rate=1e-3, image_size=32, dropout=0.3
)


def silent(_epoch: int, _metrics: Metrics) -> None:
    pass


def as_they_are(parts: Sequence[Rows]) -> Iterator[Tensor]:
    """The rows themselves as batches."""
    return map(torch.from_numpy, parts)


def network(settings: Settings, arithmetic: Arithmetic = FP32) -> tuple[nn.Module, Loader]:
    backbone = load_backbone(settings, seed=0)
    head = make_head(settings, feature_shape(backbone, 32), 2)
    initialise(head, 0)
    return Network(backbone, head, arithmetic), PixelLoader(PIXELS, backbone.mean, backbone.std, CPU)


def trained(
    seed: int = 0, task: Task = TASK, on_epoch: Callable[[int, Metrics], None] = silent, **changes: object
) -> Fitted:
    settings = SETTINGS.model_copy(update=changes)
    return fit(*network(settings), FitJob(task, settings, seed, on_epoch), FP32)


@pytest.mark.parametrize("head", ["dropout-gap", "batchnorm-flatten"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_loss_falls_and_the_task_is_learnt(head: str, optimizer: str) -> None:
    fitted = trained(head=head, optimizer=optimizer, epochs=6, learning_rate=1e-2 if optimizer == "sgd" else 3e-3)
    losses = [epoch["train/loss"] for epoch in fitted.history]
    assert losses[-1] < 0.6 * losses[0]
    assert fitted.metrics["accuracy"] >= 0.9


def test_every_epoch_is_reported_once_counted_from_1_with_training_and_validation() -> None:
    reported: list[tuple[int, Metrics]] = []
    fitted = trained(on_epoch=lambda epoch, metrics: reported.append((epoch, dict(metrics))))
    assert reported == list(enumerate(fitted.history, start=1))
    assert len(reported) == 4
    assert all({"train/loss", "train/accuracy", "val/loss", "val/ece"} <= set(metrics) for _, metrics in reported)
    assert fitted.selected_epoch == 4
    assert fitted.metrics == {k.removeprefix("val/"): v for k, v in reported[-1][1].items() if k.startswith("val/")}


def test_further_sets_are_scored_once_by_the_trained_model_and_change_nothing() -> None:
    first, last = np.arange(40, 50), np.arange(50, 60)
    task = replace(TASK, evaluate=first, every_epoch=False)
    alone, both = trained(task=task), trained(task=replace(task, further={"b": last}))
    assert both.history == alone.history
    assert np.array_equal(both.probabilities, alone.probabilities)
    whole = trained(task=replace(task, evaluate=np.arange(40, 60)))
    assert np.allclose(both.further["b"], whole.probabilities[10:], atol=1e-6)
    assert alone.further == {}


def test_the_metrics_are_those_of_the_probabilities() -> None:
    fitted = trained(epochs=1)
    np.testing.assert_allclose(fitted.probabilities.sum(axis=1), 1)
    assert fitted.probabilities.shape == (20, 2)
    assert fitted.metrics == classification_metrics(fitted.probabilities, LABELS[40:], 1)


def test_two_fits_are_equal_bit_for_bit() -> None:
    first = trained()
    torch.manual_seed(12345)  # what came before does not matter
    np.random.default_rng(5).random()
    second = trained()
    assert first.history == second.history
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_another_seed_gives_other_numbers(dropout: float) -> None:
    assert trained(0, epochs=1, dropout=dropout).history != trained(1, epochs=1, dropout=dropout).history


class Scripted(nn.Module):
    """A network whose validation logits of class 1 are read from a list, one entry for each epoch."""

    def __init__(self, script: list[list[float]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.script, self.epoch = script, 0

    def forward(self, rows: Tensor) -> Tensor:
        if self.training:
            return self.weight * torch.ones(len(rows), 2)
        ones = torch.tensor(self.script[self.epoch])[rows - 40]
        self.epoch += 1
        return torch.stack([torch.zeros(len(rows)), ones], dim=1)


def scripted(select_epoch: str, every_epoch: bool = True) -> tuple[Fitted, Scripted]:
    """Four validation images of classes 0, 1, 0, 1: two right, then all, then all but surer, then three."""
    script = [[1.0, 1, 1, 1], [-1.0, 1, -1, 1], [-2.0, 2, -2, 2], [-1.0, 1, 1, 1]]
    settings = SETTINGS.model_copy(update={"select_epoch": select_epoch, "batch_size": 40})
    task = replace(TASK, evaluate=np.arange(40, 44), every_epoch=every_epoch)
    model = Scripted(script)
    return fit(model, as_they_are, FitJob(task, settings, 0, silent), FP32), model


@pytest.mark.parametrize(("select_epoch", "selected", "accuracy"), [("last", 4, 0.75), ("best", 2, 1.0)])
def test_the_last_epoch_is_the_result_unless_the_best_the_first_of_equals_is_asked_for(
    select_epoch: str, selected: int, accuracy: float
) -> None:
    fitted, _ = scripted(select_epoch)
    assert [epoch["val/accuracy"] for epoch in fitted.history] == [0.5, 1, 1, 0.75]
    assert (fitted.selected_epoch, fitted.metrics["accuracy"]) == (selected, accuracy)
    assert classification_metrics(fitted.probabilities, LABELS[40:44], 1) == fitted.metrics


@pytest.mark.parametrize("select_epoch", ["last", "best"])
def test_the_test_split_is_scored_once_after_the_last_epoch(select_epoch: str) -> None:
    fitted, model = scripted(select_epoch, every_epoch=False)
    assert model.epoch == 1
    assert fitted.selected_epoch == 4
    assert fitted.metrics["accuracy"] == 0.5
    assert all(set(epoch) == {"train/loss", "train/accuracy"} for epoch in fitted.history)


class Bursts(nn.Module):
    """A network whose logits are `value` once it has been trained on `good` batches."""

    def __init__(self, good: int, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.left, self.value = good, value

    def forward(self, rows: Tensor) -> Tensor:
        self.left -= self.training
        return self.weight * torch.ones(len(rows), 2) + (self.value if self.left < 0 else 0.0)


@pytest.mark.parametrize(("good", "epoch", "batch"), [(0, 1, 1), (4, 1, 5), (7, 2, 3)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_epoch_and_batch(good: int, epoch: int, batch: int, value: float) -> None:
    reported: list[int] = []
    with pytest.raises(FloatingPointError, match=rf"the loss is nan in epoch {epoch}, batch {batch}$"):
        fit(Bursts(good, value), as_they_are, FitJob(TASK, SETTINGS, 0, lambda n, _: reported.append(n)), FP32)
    assert reported == list(range(1, epoch))


class SpoiledAfterTraining(Bursts):
    """Its logits are not finite only in evaluation, as after a last step that was too long."""

    def __init__(self) -> None:
        super().__init__(0, 0.0)

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows) + (0.0 if self.training else float("nan"))


@pytest.mark.parametrize("every_epoch", [True, False])
def test_validation_that_is_not_finite_names_the_epoch(every_epoch: bool) -> None:
    task, settings = replace(TASK, every_epoch=every_epoch), SETTINGS.model_copy(update={"epochs": 1})
    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit(SpoiledAfterTraining(), as_they_are, FitJob(task, settings, 0, silent), FP32)


@pytest.mark.parametrize(
    ("images", "size", "sizes"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (3, 4, [3]), (1, 4, [1]), (5, 4, [5]), (3, 2, [3])],
)
def test_a_last_image_alone_joins_the_batch_before(images: int, size: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in shuffled_batches(np.arange(images), size, seed=0)] == sizes


@given(st.lists(st.integers(0, 50), min_size=2, max_size=200), st.integers(2, 70), st.integers(0, 9))
def test_every_row_is_in_one_batch_and_no_batch_is_a_single_row(rows: list[int], size: int, seed: int) -> None:
    batches = list(shuffled_batches(np.array(rows), size, seed))
    assert Counter(np.concatenate(batches).tolist()) == Counter(rows)
    assert all(2 <= len(batch) <= size + 1 for batch in batches)
    assert all(len(batch) == size for batch in batches[:-1])
    again = list(shuffled_batches(np.array(rows), size, seed))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_the_order_changes_from_seed_to_seed() -> None:
    first, second = (np.concatenate(list(shuffled_batches(np.arange(50), 8, seed))) for seed in (1, 2))
    assert (first != second).any()
    assert (first != np.arange(50)).any()


def test_training_sees_the_training_rows_alone_and_every_one_each_epoch() -> None:
    model, loader = network(SETTINGS)
    seen: dict[bool, list[int]] = {True: [], False: []}

    def watched(parts: Sequence[Rows]) -> Iterator[Tensor]:
        seen[model.training] += np.concatenate(parts).tolist()
        return loader(parts)

    fit(model, watched, FitJob(TASK, SETTINGS.model_copy(update={"epochs": 2}), 0, silent), FP32)
    assert Counter(seen[True]) == Counter(list(range(40)) * 2)
    assert seen[False] == list(range(40, 60)) * 2


def test_predictions_do_not_depend_on_the_batch_size_and_leave_the_model_as_it_is() -> None:
    model, loader = network(SETTINGS.model_copy(update={"head": "batchnorm-gap"}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one = predict(model, loader, np.arange(60), 60)
    many = predict(model, loader, np.arange(60), 7)
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert one.dtype == np.float64


def test_bf16_is_used_where_it_is_asked_for() -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    fp32, bf16 = (fit(*network(settings, way), FitJob(TASK, settings, 0, silent), way) for way in (FP32, BF16))
    assert fp32.history != bf16.history
    assert bf16.history[0]["train/loss"] == pytest.approx(fp32.history[0]["train/loss"], rel=0.1)


def test_gray_pixels_are_repeated_and_normalised_as_the_backbone_wants() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 1, 4, 5), dtype=np.uint8)
    (images,) = PixelLoader(pixels, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), CPU)([np.array([2, 0])])
    assert images.shape == (2, 3, 4, 5)
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.6), (0.3, 0.7)]):
        np.testing.assert_allclose(images[:, channel], (pixels[[2, 0], 0] / 255 - mean) / std, rtol=1e-4, atol=1e-6)


def test_training_images_alone_are_augmented_again_in_every_epoch() -> None:
    model, loader = network(SETTINGS)
    seen: dict[bool, list[Tensor]] = {True: [], False: []}
    model.register_forward_pre_hook(lambda module, args: seen[module.training].append(args[0].clone()))
    settings = SETTINGS.model_copy(update={"epochs": 2, "augment": "flip+affine", "batch_size": 40})
    fit(model, loader, FitJob(TASK, settings, 0, silent), FP32)
    first, second = (sorted(batch.sum(dim=(1, 2, 3)).tolist()) for batch in seen[True])
    assert first != pytest.approx(second)  # other changes, whatever the order
    assert all(torch.equal(batch, *loader([TASK.evaluate])) for batch in seen[False])


def test_an_augmented_fit_is_equal_bit_for_bit_and_another_than_one_without() -> None:
    first, again, plain = (trained(augment=kind, epochs=2) for kind in ("affine", "affine", "none"))
    assert first.history == again.history
    assert first.history != plain.history


@given(st.integers(1, 300), st.integers(2, 128))
def test_a_batch_is_cut_into_parts_of_at_most_so_many_rows_none_alone(images: int, size: int) -> None:
    parts = micro_batches(np.arange(images), size)
    assert np.concatenate(parts).tolist() == list(range(images))
    assert all(len(part) <= max(size, 3) for part in parts)  # three rows are not cut into two and one
    assert all(len(part) >= min(2, images) for part in parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("augment", ["none", "flip+affine"])
def test_gradients_of_micro_batches_add_up_to_those_of_the_batch(augment: str) -> None:
    """Shown on a network without batch norm and dropout, which would see the parts."""

    def fitted(micro_batch: int | None) -> Fitted:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
        settings = SETTINGS.model_copy(update={"augment": augment, "optimizer": "sgd", "batch_size": 16})
        loader = PixelLoader(PIXELS, (0.5,) * 3, (0.5,) * 3, CPU)
        return fit(model, loader, FitJob(TASK, settings, 0, silent), FP32, micro_batch)

    whole, parts = fitted(None), fitted(5)
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-4)
    assert parts.history[0]["train/loss"] == pytest.approx(whole.history[0]["train/loss"], rel=1e-4)


def test_a_batch_goes_through_the_network_whole_and_so_does_one_that_a_last_image_joined() -> None:
    sizes: list[int] = []
    model, loader = network(SETTINGS)

    def recorded(parts: Sequence[Rows]) -> Iterator[Tensor]:
        sizes.extend(map(len, parts))
        return loader(parts)

    task = replace(TASK, train=np.arange(33), every_epoch=False)
    fit(model, recorded, FitJob(task, SETTINGS.model_copy(update={"epochs": 1}), 0, silent), FP32)
    assert sizes == [8, 8, 8, 9, *[8, 8, 4]]  # trained on, then scored

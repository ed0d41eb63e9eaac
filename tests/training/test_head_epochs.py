from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.errors import StudyError
from harness.study import Study
from harness.training.fit import fit
from harness.training.fit_history import Fitted
from harness.training.network import Network
from harness.training.task import FitJob
from tests.training.test_fit import FP32, SETTINGS, TASK, network, silent

CHANGES = {"learning_rate": 0.01, "augment": "affine"}


def fitted(freeze: bool = False, **changes: object) -> tuple[Fitted, Network]:
    settings = SETTINGS.model_copy(update=CHANGES | changes)
    model, loader = network(settings)
    assert isinstance(model, Network)
    if freeze:
        model.backbone.freeze([])
    return fit(model, loader, FitJob(TASK, settings, 0, silent), FP32), model


def state(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_while_the_backbone_is_held_the_fit_is_that_of_a_frozen_one() -> None:
    seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    settings = SETTINGS.model_copy(update=CHANGES | {"head_epochs": 2})
    model, loader = network(settings)
    assert isinstance(model, Network)
    start = state(model.backbone)
    job = FitJob(TASK, settings, 0, lambda *_: seen.append((state(model.backbone), state(model.head))))
    whole = fit(model, loader, job, FP32)
    frozen, of_frozen = fitted(freeze=True, epochs=2)
    assert [equal(backbone, start) for backbone, _ in seen] == [True, True, False, False]
    assert equal(seen[1][1], state(of_frozen.head))
    assert whole.history[:2] == frozen.history


def test_the_epochs_after_it_train_everything() -> None:
    (held, model), (never, _) = fitted(head_epochs=2), fitted()
    assert len(held.history) == len(never.history) == 4
    assert held.history[0] != never.history[0]
    _, of_frozen = fitted(freeze=True)
    moved = [
        name
        for name, value in of_frozen.backbone.state_dict().items()
        if not equal({name: value}, state(model.backbone))
    ]
    assert {name for name, _ in model.backbone.named_parameters()} <= set(moved)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("base.trainable=head", "head_epochs 1 with trainable head"),
        ("base.epochs=1", "head_epochs 1 of epochs 1: no epoch is left for the backbone"),
    ],
)
def test_where_no_epoch_or_no_backbone_is_left_it_is_refused(
    small_study: Callable[..., Study], override: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        small_study("base.head_epochs=1", override)

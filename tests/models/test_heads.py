from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear

from harness.models import dropout
from harness.models.dropout import dropout_mask
from harness.models.heads import DropoutGap, initialise, make_head, part_read, reads
from harness.models.names import HEADS
from harness.study.allowed import PROBES
from harness.study.settings import Settings
from harness.training.device import deterministic

SHAPE, CLASSES = (5, 3, 2), 3


def head_of(name: str, dropout: float = 0.5, classes: int = CLASSES) -> nn.Module:
    settings = Settings(backbone="test_resnet", head=name, dropout=dropout)
    return make_head(settings, SHAPE, classes)


def features(n: int = 7) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(1)) * 3 + 1


def same(maps: Tensor) -> Tensor:
    return maps


def normed(maps: Tensor) -> Tensor:
    mean, variance = maps.mean(dim=(0, 2, 3), keepdim=True), maps.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    return (maps - mean) / torch.sqrt(variance + 1e-5)


def pooled(maps: Tensor) -> Tensor:
    return maps.sum(dim=(2, 3)) / (SHAPE[1] * SHAPE[2])


def flat(maps: Tensor) -> Tensor:
    return maps.reshape(len(maps), -1)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("dropout-gap", same, pooled),
        ("dropout-flatten", same, flat),
        ("batchnorm-gap", normed, pooled),
        ("batchnorm-flatten", normed, flat),
    ],
)
def test_a_head_regularises_the_map_then_reduces_it_then_is_linear(
    name: str, first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]
) -> None:
    head, maps = head_of(name, dropout=0.0).train(), features()
    parameters = dict(head.named_parameters())
    expected = linear(second(first(maps)), parameters["linear.weight"], parameters["linear.bias"])
    torch.testing.assert_close(head(maps), expected)


@pytest.mark.parametrize("rate", [0.2, 0.5])
@pytest.mark.parametrize("name", ["dropout-gap", "dropout-flatten"])
def test_dropout_drops_single_elements_of_the_map_before_it_is_reduced(name: str, rate: float) -> None:
    """Each of a channel's six elements adds its power of two to the channel's logit, so that the logit tells which
    of them were kept. Dropout after the pooling would keep all six or none."""
    channels, elements, powers = SHAPE[0], SHAPE[1] * SHAPE[2], 2.0 ** torch.arange(6)
    head = head_of(name, rate, classes=channels).train()
    if name == "dropout-gap":
        weight, maps = torch.eye(channels), (powers * elements).reshape(SHAPE[1:]).expand(300, *SHAPE)
    else:
        weight, maps = torch.kron(torch.eye(channels), powers[None]), torch.ones(300, *SHAPE)
    head.load_state_dict({"linear.weight": weight, "linear.bias": torch.zeros(channels)})
    torch.manual_seed(5)
    sums = head(maps).detach() * (1 - rate)  # what is kept is scaled by 1 / (1 - rate)
    torch.testing.assert_close(sums, sums.round(), atol=1e-2, rtol=0)
    kept = (sums.round().long()[..., None] >> torch.arange(6)) & 1
    assert kept.float().mean(dim=(0, 1)).tolist() == pytest.approx([1 - rate] * 6, abs=0.05)
    assert len(sums.round().unique()) > 50  # of 64 subsets
    torch.manual_seed(5)
    torch.testing.assert_close(head(maps) * (1 - rate), sums)
    torch.manual_seed(6)
    assert not torch.equal(head(maps) * (1 - rate), sums)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_a_logit_for_each_class(name: str) -> None:
    assert head_of(name)(features(4)).shape == (4, CLASSES)


@pytest.mark.parametrize(
    ("name", "inputs"), [("dropout-gap", 5), ("dropout-flatten", 30), ("batchnorm-gap", 5), ("batchnorm-flatten", 30)]
)
def test_the_parameters_are_those_of_the_linear_layer_and_of_batch_norm(name: str, inputs: int) -> None:
    count = sum(parameter.numel() for parameter in head_of(name).parameters())
    assert count == (inputs + 1) * CLASSES + (2 * SHAPE[0] if name.startswith("batchnorm") else 0)


@pytest.mark.parametrize(("name", "reduce"), [("dropout-gap", pooled), ("dropout-flatten", flat)])
def test_dropout_is_off_in_evaluation(name: str, reduce: Callable[[Tensor], Tensor]) -> None:
    head, maps = head_of(name).eval(), features()
    parameters = dict(head.named_parameters())
    expected = linear(reduce(maps), parameters["linear.weight"], parameters["linear.bias"])
    torch.testing.assert_close(head(maps), expected)
    assert not torch.allclose(head.train()(maps), expected)


@pytest.mark.parametrize("name", ["batchnorm-gap", "batchnorm-flatten"])
def test_batch_norm_uses_its_running_statistics_in_evaluation(name: str) -> None:
    head, maps = head_of(name).train(), features()
    for _ in range(3):
        head(maps)
    head.eval()
    state = head.state_dict()
    norm = batch_norm(maps, state["norm.running_mean"], state["norm.running_var"])
    reduced = pooled(norm) if name.endswith("gap") else flat(norm)
    torch.testing.assert_close(head(maps), linear(reduced, state["linear.weight"], state["linear.bias"]))
    assert state["norm.running_mean"].abs().max() > 0


@pytest.mark.parametrize("name", [name for name in HEADS if name not in PROBES])
def test_initial_weights_follow_the_seed_and_nothing_else(name: str) -> None:
    def weights(seed: int, before: int) -> Tensor:
        torch.manual_seed(before)
        head = head_of(name)
        state = torch.get_rng_state()
        initialise(head, seed)
        assert torch.equal(torch.get_rng_state(), state)  # nothing drawn later is moved by it
        return nn.utils.parameters_to_vector(head.parameters())

    assert torch.equal(weights(1, before=1), weights(1, before=2))
    assert not torch.equal(weights(1, before=1), weights(2, before=1))


def moments(maps: Tensor) -> Tensor:
    return torch.stack([maps.mean(dim=(2, 3)), maps.var(dim=(2, 3), unbiased=False)], dim=1)


@pytest.mark.parametrize("name", ["dropout-gap", "batchnorm-gap"])
def test_a_pooled_head_gives_the_same_from_what_it_reads_as_from_maps(name: str) -> None:
    """In evaluation, and for batch norm in training too: logits, gradients and running statistics."""
    heads = {"maps": head_of(name).double(), "moments": head_of(name).double()}
    heads["moments"].load_state_dict(heads["maps"].state_dict())
    for step in range(3):
        maps = features(7 + step).double() * (1 + step)
        for kind, head in heads.items():
            head.zero_grad()
            head.train(name == "batchnorm-gap")
            logits = head(part_read(head, maps, moments(maps)) if kind == "moments" else maps)
            (logits * torch.arange(CLASSES)).sum().backward()
        one, other = heads.values()
        torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()))
        torch.testing.assert_close([p.grad for p in one.parameters()], [p.grad for p in other.parameters()])
        torch.testing.assert_close(one.eval()(maps), other(part_read(other.eval(), maps, moments(maps))))


def test_batch_norm_and_flatten_give_the_same_of_a_frozen_backbone_as_of_one_that_is_trained() -> None:
    """Of frozen maps, no normalised map is made. A channel far from 0 and one that is always 0 are among them."""
    frozen, trained = head_of("batchnorm-flatten"), head_of("batchnorm-flatten")
    trained.load_state_dict(frozen.state_dict())
    for step in range(3):
        maps = features(7 + step) * (1 + step)
        maps[:, 0] += 30
        maps[:, 1] = 0
        for training in (True, False):
            found = []
            for head, given in ((frozen, maps), (trained, maps.clone().requires_grad_())):
                head.zero_grad()
                logits = head.train(training)(given)
                (logits * torch.arange(CLASSES)).sum().backward()
                found.append([logits, *(p.grad for p in head.parameters()), *head.state_dict().values()])
            torch.testing.assert_close(*found, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "dropout", "training", "expected"),
    [
        ("dropout-gap", 0.5, True, "maps"), ("dropout-gap", 0.5, False, "means"), ("dropout-gap", 0.0, True, "means"),
        ("batchnorm-gap", 0.5, True, "moments"), ("dropout-flatten", 0.5, False, "maps"),
        ("batchnorm-flatten", 0.5, False, "maps"),
    ],
)  # fmt: skip
def test_less_than_the_maps_is_read_only_where_it_tells_all_that_they_tell(
    name: str, dropout: float, training: bool, expected: str
) -> None:
    assert reads(head_of(name, dropout).train(training)) == expected


@pytest.mark.parametrize("p", [0.5, 0.3])
@pytest.mark.parametrize("shape", [(64, 160, 5, 5), (33, 384, 16, 16), (5, 2048, 7, 7), (7, 96, 1, 1)])
def test_dropout_of_a_few_images_at_a_time_has_the_bits_of_all_at_once(
    shape: tuple[int, int, int, int], p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    head = DropoutGap(shape[1:], 2, Settings(backbone="resnet18", dropout=p)).train()
    for elements in (dropout.PART_ELEMENTS, 3 * features[0].numel()):  # the last part is smaller than the others
        monkeypatch.setattr(dropout, "PART_ELEMENTS", elements)
        torch.manual_seed(7)
        whole = features * dropout_mask(shape, p, torch.device("cpu"))
        following = torch.rand(())
        for asked in (False, True):  # with a gradient, as behind a backbone that is trained, nothing is in parts
            given = features.clone().requires_grad_(asked)
            with deterministic(threads=1):
                torch.manual_seed(7)
                assert bits(head.dropout(given)) == bits(whole)
                assert torch.rand(()) == following
                torch.manual_seed(7)
                assert bits(head(given)) == bits(head.linear(whole.mean(dim=(2, 3))))


def bits(values: Tensor) -> bytes:
    return values.detach().numpy().tobytes()

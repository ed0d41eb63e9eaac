"""Weights files as people have them: whole in the network, or refused in one line that says why."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.models.backbone import Backbone, load_backbone
from harness.study.settings import Settings

State = dict[str, Tensor]
FIRST, VARIANCE = "conv1.0.weight", "layer1.0.bn1.running_var"


def state_of(name: str, seed: int = 5) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = timm.create_model(name).state_dict()
    kept: dict[int, str] = {}  # a tensor of two names stands in a file once
    return {k: v.clone() for k, v in state.items() if kept.setdefault(v.data_ptr() if v.numel() else id(v), k) == k}


def load(name: str, state: State, folder: Path, size: int = 64) -> Backbone:
    safetensors.torch.save_file(state, folder / "w.safetensors")
    return load_backbone(Settings(backbone=name, weights=str(folder / "w.safetensors"), image_size=size), seed=0)


def named(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


TAKEN: dict[str, Callable[[State], State]] = {
    "plain": lambda s: s,
    "DataParallel": lambda s: named("module.", s),
    "Lightning": lambda s: named("model.backbone.", s),
    "an unusual prefix": lambda s: named("a.b.c.", s),
    "beside other parts": lambda s: (
        named("net.", s) | {"criterion.weight": torch.ones(2), "head.0.weight": torch.ones(2, 2)}
    ),
    "no classifier": lambda s: {k: v for k, v in s.items() if not k.startswith("fc.")},
    "no counts of batches": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
    "half": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_file_that_holds_the_network_is_loaded_whole(tmp_path: Path, kind: str) -> None:
    plain = state_of("test_resnet")
    found = load("test_resnet", TAKEN[kind](plain), tmp_path).network.state_dict()
    tolerance = 1e-3 if kind == "half" else 0
    counts = {name for name in found if "num_batches" in name}
    assert len(found) > len(counts) > 10
    for name in found.keys() - counts:
        torch.testing.assert_close(found[name], plain[name], rtol=tolerance, atol=tolerance)


REFUSED: dict[str, tuple[Callable[[State], State], str]] = {
    "a part": (
        lambda s: {k: v for k, v in s.items() if not k.startswith("layer4")},
        r"60 of the 75 tensors .* missing: layer4\.0\.conv1\.weight, .* and 12 more$",
    ),
    "a part under a prefix": (
        lambda s: named("net.", {k: v for k, v in s.items() if not k.startswith("layer4")}),
        r"60 of the 75 tensors .*; all names in the file begin with net\.$",
    ),
    "unrelated": (lambda _: {"x": torch.zeros(3)}, "0 of the 75 tensors"),
    "unrelated under a prefix": (
        lambda _: {"vit.encoder.x": torch.zeros(3), "vit.encoder.y": torch.zeros(3)},
        r"0 of the 75 tensors .*; all names in the file begin with vit\.encoder\.$",
    ),
    "nothing": (lambda _: {}, "it is empty"),
    "no statistics": (lambda s: {k: v for k, v in s.items() if "running" not in k}, "45 of the 75 .*running_mean"),
    "NaN": (lambda s: s | {FIRST: s[FIRST] * torch.nan}, rf"NaN or infinite values: in {re.escape(FIRST)}$"),
    "infinite": (lambda s: s | {VARIANCE: s[VARIANCE] / 0}, rf"NaN or infinite values: in {re.escape(VARIANCE)}$"),
    "one channel": (lambda s: s | {FIRST: s[FIRST].sum(1, keepdim=True)}, r"weight shape \(16, 1, 3, 3\)"),
    "other widths": (lambda s: {k: torch.cat([v, v]) if v.ndim else v for k, v in s.items()}, "size mismatch"),
    "a teacher and a student": (
        lambda s: named("teacher.", s) | named("student.", {k: v.clone() for k, v in s.items()}),
        r"contains the network 2 times, as student\. and teacher\.; keep one",
    ),
    "a deeper one": (
        lambda s: s | {"layer1.7.conv1.weight": torch.zeros(4, 4, 3, 3)},
        r"of another network: it has weights for layer1\.7\.conv1\.weight$",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_does_not_hold_the_network_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    change, reason = REFUSED[kind]
    with pytest.raises(HarnessError, match=reason) as error:
        load("test_resnet", change(state_of("test_resnet")), tmp_path)
    assert re.match(r"the weights \S+w\.safetensors cannot be loaded into test_resnet: .", str(error.value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "network"),
    [("resnet34", "resnet18"), ("resnet18", "resnet34"), ("seresnet50", "resnet50"), ("resnet18", "resnet18d"),
     ("convnextv2_atto", "convnext_atto"), ("resnetv2_18", "resnet18"), ("test_efficientnet", "test_resnet")],
)  # fmt: skip
def test_the_file_of_a_sibling_is_refused(tmp_path: Path, file: str, network: str) -> None:
    with pytest.raises(HarnessError, match=f"cannot be loaded into {network}: "):
        load(network, state_of(file), tmp_path)


@pytest.mark.parametrize("prefix", ["", "encoder."])
@pytest.mark.parametrize(
    "name",
    ["test_vit2", "test_vit3", "test_convnext", "mobilenetv4_conv_small", "coat_lite_tiny", "pit_ti_224",
     "eva02_tiny_patch14_224"],
)  # fmt: skip
def test_timms_own_files_of_every_kind_load_whole(tmp_path: Path, name: str, prefix: str) -> None:
    """A trained norm or pooling behind the tokens, a layer of two names, what nothing reads."""
    plain = state_of(name)
    network = load(name, named(prefix, plain), tmp_path, size=224).network
    parameters = dict(network.named_parameters())
    same = [torch.equal(value, plain[key]) for key, value in parameters.items() if "pos_embed" not in key]
    assert len(same) > 30
    assert all(same)


def test_two_loads_of_one_file_agree_whatever_was_drawn_before(tmp_path: Path) -> None:
    state = state_of("test_vit2")
    torch.manual_seed(1)
    first = load("test_vit2", state, tmp_path).state_dict()
    before = torch.get_rng_state()
    second = load("test_vit2", state, tmp_path).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)

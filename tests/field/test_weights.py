"""Weights files as people have them, by the command line: in the network whole, or refused before anything is done."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from tests.field.conftest import Harness, four, write_study

ARGUMENTS = ("s.yaml", "--set", "base.weights=w.safetensors")


def write_weights(prefix: str = "", without: str = "-", network: str = "test_resnet") -> None:
    """The file `w.safetensors` of a network, each name with a prefix, less what begins with `without`."""
    state: dict[str, Tensor] = timm.create_model(network).state_dict()
    kept = {prefix + name: value.clone() for name, value in state.items() if not name.startswith(without)}
    safetensors.torch.save_file(kept, "w.safetensors")


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"without": "layer4"}, "60 of the 75 tensors that its features depend on are in the file; missing: layer4.0."),
        ({"prefix": "a.", "without": "layer4"}, "all names in the file begin with a."),
        ({"network": "test_efficientnet"}, "cannot be loaded into test_resnet"),
    ],
)
def test_a_file_that_does_not_hold_the_network_leaves_nothing_behind(
    harness: Harness, command: str, change: dict[str, str], words: str
) -> None:
    four()
    write_study()
    write_weights(**change)
    line = harness.refused(command, *ARGUMENTS)
    assert line.startswith("error: --set base.weights=w.safetensors: base.weights: the weights ")
    assert words in line
    assert not Path("mlruns").exists()


@pytest.mark.long
def test_a_prefix_is_taken_off_and_said(harness: Harness) -> None:
    four()
    write_study()
    write_weights("model.backbone.")
    said = "w.safetensors: the prefix model.backbone. is taken off the names in it"
    assert said in " ".join(harness("plan", *ARGUMENTS).out.split())
    plan = json.loads(harness("plan", *ARGUMENTS, "--json").out)
    assert [network["prefix"] for network in plan["networks"]] == ["model.backbone."]
    ended = harness("run", *ARGUMENTS, "--executor", "inline")
    assert ended.code == 0
    assert said in " ".join(ended.err.split()) + " ".join(ended.out.split())


@pytest.mark.long
def test_two_stores_give_the_same_numbers_from_a_file(harness: Harness) -> None:
    four()
    write_study(test="")
    write_weights("teacher.")
    found: list[dict[str, object]] = []
    for store in ("one", "two"):
        torch.manual_seed(len(found))
        assert harness("run", *ARGUMENTS, "--executor", "inline", "--store", store).code == 0
        results = sorted(Path(store, "jobs").glob("*/result.json"))
        found.append({path.parent.name: json.loads(path.read_text())["metrics"] for path in results})
    assert len(found[0]) == 2
    assert found[0] == found[1]

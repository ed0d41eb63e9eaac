"""Backbones of the user's own, classes of a file beside the study: planned, trained, served, published."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from harness.errors import HarnessError
from harness.models.backbone import load_backbone
from harness.models.networks import native_size
from harness.models.repositories import content_digest, require_source
from harness.study.allowed import Pool
from harness.study.origin import origin_of, own_name
from harness.study.settings import Settings
from tests.field.conftest import Harness, four, write_study

SOURCE = """\
import torch
from torch import nn


class Maps(nn.Module):
    image_size = 40
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def __init__(self, image_size):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=4)
        self.blocks = nn.ModuleList([nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)])
        self.unread = nn.Linear(5, 5)

    def forward(self, images):
        features = self.stem(images)
        for block in self.blocks:
            features = features + block(features).relu()
        return features


class Tokens(Maps):
    num_prefix_tokens = 1

    def __init__(self, image_size):
        super().__init__(image_size)
        self.first = nn.Parameter(torch.zeros(1, 1, 6))

    def forward(self, images):
        patches = super().forward(images).flatten(2).transpose(1, 2)
        return torch.cat([self.first + patches.mean(dim=1, keepdim=True), patches], dim=1)


class Vectors(Maps):
    def forward(self, images):
        return super().forward(images).amax(dim=(2, 3))


class Tuples(Maps):
    def forward(self, images):
        return (super().forward(images),)


class Alone(Maps):
    def __init__(self):
        super().__init__(0)


class Eager(Maps):  # computes what the meta device cannot
    def __init__(self, image_size):
        super().__init__(image_size)
        self.scale = float(torch.linspace(0, 1, 3).sum())
"""
SIDE = 32


def jobs(harness: Harness) -> set[str]:
    """The ids of the jobs of the plan."""
    ended = harness("plan", "s.yaml", "--json")
    assert ended.code == 0, ended.err
    stages = json.loads(ended.out)["stages"]
    return {job["id"] for stage in stages for scenario in stage["scenarios"] for job in scenario["jobs"]}


def own(name: str) -> str:
    """A class of `nets.py` in this folder, as a study names it once the file is found."""
    Path("nets.py").write_text(SOURCE)
    return own_name(Path("nets.py").absolute(), name)


def outputs(name: str, pool: Pool, weights: str = "none", seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """The features of two images, and what the class itself returns for them."""
    settings = Settings(backbone=own(name), weights=weights, pool=pool, image_size=SIDE)
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    backbone = load_backbone(settings, seed).eval()
    assert isinstance(backbone.network.model, torch.nn.Module)
    with torch.inference_mode():
        return backbone(images), backbone.network.model(images)


def state_of(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """The weights of a class as it is made from a seed."""
    model = load_backbone(Settings(backbone=own(name), weights="none", image_size=SIDE), seed).network.model
    assert isinstance(model, torch.nn.Module)
    return model.state_dict()


@pytest.mark.long
def test_a_study_of_own_backbones_runs_to_its_model_card(harness: Harness) -> None:
    four()
    Path("nets.py").write_text(SOURCE)
    write_study(grid="{backbone: [nets:Maps, nets:Tokens, nets:Vectors], trainable: [head, last-1, all]}")
    ran = harness("run", "s.yaml")
    assert ran.code == 0, ran.err
    assert all(f"nets:{name}" in ran.out for name in ("Maps", "Tokens", "Vectors"))
    assert str(Path.cwd()) not in ran.out.replace(str(Path("mlruns").absolute()), "")
    before = jobs(harness)
    verified = harness("verify", "mlruns")
    assert verified.code == 0, verified.out
    assert harness("publish", "s.yaml", "--out", "out").code == 0
    here = str(Path.cwd()).encode()
    assert [str(path) for path in Path("out").rglob("*.*") if path.is_file() and here in path.read_bytes()] == []
    predicted = harness("predict", "s.yaml", "d/test/ILL/img000.png")
    assert predicted.code == 0, predicted.err
    Path("nets.py").write_text(SOURCE.replace("relu", "tanh"))
    assert not before & jobs(harness)
    again = harness("predict", "s.yaml", "d/test/ILL/img000.png")
    assert again.out == predicted.out, "the saved classifier has the source that was trained"


@pytest.mark.parametrize(
    ("name", "pool", "expected"),
    [
        ("Maps", "map", lambda found: found),
        ("Maps", "native", lambda found: found.mean(dim=(2, 3))),
        ("Maps", "max", lambda found: found.amax(dim=(2, 3))),
        ("Tokens", "map", lambda found: found[:, 1:].transpose(1, 2).reshape(2, 6, 8, 8)),
        ("Tokens", "native", lambda found: found[:, 0]),
        ("Tokens", "avg", lambda found: found[:, 1:].mean(dim=1)),
        ("Vectors", "map", lambda found: found),
        ("Vectors", "native", lambda found: found),
        ("Eager", "map", lambda found: found),
    ],
)
@pytest.mark.usefixtures("harness")
def test_the_pools_are_of_what_the_class_returns(
    name: str, pool: Pool, expected: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    features, found = outputs(name, pool)
    torch.testing.assert_close(features.flatten(1), expected(found).flatten(1))
    assert not torch.equal(outputs(name, pool, seed=1)[0], features)


@pytest.mark.usefixtures("harness")
def test_what_the_class_says_of_its_images_is_used() -> None:
    assert native_size(own("Maps")) == 40
    backbone = load_backbone(Settings(backbone=own("Maps"), weights="none", image_size=SIDE), 0)
    assert (backbone.mean, backbone.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_a_weights_file_of_the_class_is_loaded_whole_or_refused(harness: Harness) -> None:
    state = state_of("Maps", seed=3)
    safetensors.torch.save_file({f"module.{name}": value for name, value in state.items()}, "w.safetensors")
    torch.testing.assert_close(outputs("Maps", "map", "w.safetensors"), outputs("Maps", "map", seed=3))
    del state["blocks.1.bias"]
    safetensors.torch.save_file(state, "w.safetensors")
    four(4)
    write_study(backbone="nets:Maps")
    line = harness.refused("plan", "s.yaml", "--set", "base.weights=w.safetensors")
    assert "5 of the 6 tensors that its features depend on are in the file; missing: model.blocks.1.bias" in line


def test_the_hash_of_a_weights_file_and_of_the_source_are_in_the_ids(harness: Harness) -> None:
    four(4)
    write_study(backbone="nets:Maps")
    file = Path("s.yaml")
    file.write_text(file.read_text().replace("weights: none", "weights: w.safetensors"))
    state = state_of("Maps")
    safetensors.torch.save_file(state, "w.safetensors")
    seen = [jobs(harness)]
    safetensors.torch.save_file({name: value + 1 for name, value in state.items()}, "w.safetensors")
    seen.append(jobs(harness))
    Path("nets.py").write_text(f"{SOURCE}\n# changed\n")
    seen.append(jobs(harness))
    Path("there").mkdir()
    for path in (Path("nets.py"), Path("w.safetensors"), file):
        path.rename(Path("there", path.name))
    moved = json.loads(harness("plan", "there/s.yaml", "--data", "d", "--json").out)["stages"]
    assert {job["id"] for each in moved for one in each["scenarios"] for job in one["jobs"]} == seen[-1]
    assert len(frozenset.union(*map(frozenset, seen))) == sum(map(len, seen))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nets:Maps_", "nets.py has no class Maps_; it has: Maps, Tokens, Vectors, Tuples, Alone, Eager"),
        ("nowhere:Maps", "or on PYTHONPATH; a custom backbone is module:Class"),
        ("nets:", "'nets:' is given; a custom backbone is module:Class"),
        ("nets:Tuples", "for 2 images it returns tuple; expected: a torch.nn.Module made by Tuples(image_size)"),
        ("nets:Alone", "nets.py cannot be used: TypeError: "),
        ("own:nets:Maps", "allowed behind own: FILE.py:Class; or write module:Class"),
        ("broken:Maps", "broken.py is not valid Python"),
        ("raising:Maps", "raising.py cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_plan(harness: Harness, name: str, words: str) -> None:
    four(4)
    Path("nets.py").write_text(SOURCE)
    Path("broken.py").write_text("class Maps(:\n")
    Path("raising.py").write_text("1 / 0\nclass Maps:\n    pass\n")
    write_study(backbone=f"'{name}'")
    line = harness.refused("plan", "s.yaml")
    assert line.startswith("error: s.yaml:") or f"{Path.cwd()}/s.yaml:" in line
    assert words in line


def test_pretrained_weights_are_refused(harness: Harness) -> None:
    four(4)
    Path("nets.py").write_text(SOURCE)
    write_study(backbone="nets:Maps")
    line = harness.refused("plan", "s.yaml", "--set", "base.weights=pretrained")
    assert "weights pretrained with backbone nets:Maps, a class of your own; write weights: none, or the path" in line


@pytest.mark.usefixtures("harness")
def test_a_source_that_changes_while_the_study_runs_ends_the_fit() -> None:
    file = Path("nets.py").absolute()
    file.write_text(SOURCE)
    name = own_name(file, "Maps")
    origin = origin_of(name)
    assert origin is not None
    known = content_digest(origin, pretrained=False)
    require_source(name, known)
    file.write_text(SOURCE.replace("relu", "tanh"))
    with pytest.raises(HarnessError, match="was changed while the study ran"):
        require_source(name, known)

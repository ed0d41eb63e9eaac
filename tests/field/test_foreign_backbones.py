"""Studies on backbones of timm's hub, open_clip and transformers, from folders beside the study file."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.field.conftest import Harness, four, write_study
from tests.foreign_models import save_open_clip, save_timm, save_transformers


def study_of(*backbones: str, head: str = "linear", weights: str = "pretrained") -> None:
    """A study of these backbones, frozen, at their own sizes."""
    four(8)
    write_study(grid=f"{{head: [{head}], backbone: {json.dumps(backbones)}}}", backbone=json.dumps(backbones[0]))
    file = Path("s.yaml")
    file.write_text(file.read_text().replace("weights: none", f"weights: {weights}, image_size: native"))


def networks(harness: Harness) -> list[dict[str, Any]]:
    """The networks of the plan. Raises AssertionError where there is no plan."""
    ended = harness("plan", "s.yaml", "--json")
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)["networks"]
    return found


def job_ids(harness: Harness) -> set[str]:
    """The ids of the jobs of the plan."""
    stages = json.loads(harness("plan", "s.yaml", "--json").out)["stages"]
    return {job["id"] for stage in stages for scenario in stage["scenarios"] for job in scenario["jobs"]}


@pytest.mark.long
@pytest.mark.long
def test_a_study_of_three_libraries_runs_to_the_model_card(harness: Harness) -> None:
    save_timm(Path("timm"))
    save_open_clip("transformer", Path("clip"))
    save_transformers("Dinov2Model", Path("dino"))
    names = ("local-dir:timm", "open_clip:./clip", "transformers:./dino")
    study_of(*names, head="linear, logistic")
    ran = harness("run", "s.yaml")
    assert ran.code == 0, ran.err
    assert all(name in ran.out for name in names)
    predicted = harness("predict", "s.yaml", "d/test/ILL/img000.png")
    assert predicted.code == 0, predicted.err
    assert harness("publish", "s.yaml", "--out", "out").code == 0
    card = Path("out/model-card.md").read_text()
    assert re.search(
        r"- weights of the backbone: (timm|open\\?_clip|transformers), the folder \w+; licence: [a-z]", card
    )
    here = str(Path.cwd()).encode()
    assert [str(path) for path in Path("out").rglob("*.*") if path.is_file() and here in path.read_bytes()] == []
    Path("there").mkdir()
    for path in (Path("s.yaml"), Path("timm"), Path("clip"), Path("dino")):
        path.rename(Path("there", path.name))
    moved = harness("plan", "there/s.yaml", "--data", "d")
    assert "jobs: 12 known, 12 done" in " ".join(moved.out.split()), moved
    about = json.loads(Path("there/dino/preprocessor_config.json").read_text())
    Path("there/dino/preprocessor_config.json").write_text(json.dumps(about | {"image_std": [0.3, 0.3, 0.3]}))
    changed = harness("plan", "there/s.yaml", "--data", "d")
    assert "jobs: 12 known, 8 done" in " ".join(changed.out.split()), "what normalises images is part of the ids"


def test_what_is_no_backbone_is_refused_where_it_is_written(harness: Harness) -> None:
    four(4)
    write_study()
    for given, words in (
        ("transformers:./nowhere", "there is no folder"),
        ("hf-hub:resnet50", "allowed behind hf-hub: hf-hub:ORG/NAME"),
        ("local-dir:", "allowed behind local-dir: "),
        ("open_clip:org/name/more", "a folder begins with ./"),
    ):
        line = harness.refused("plan", "s.yaml", "--set", f'base.backbone="{given}"')
        assert line.startswith("error: --set base.backbone=")
        assert words in line


def test_a_weights_file_for_a_backbone_with_its_own_is_refused(harness: Harness) -> None:
    study_of(f"local-dir:{save_timm(Path('timm'))}", weights="timm/model.safetensors")
    line = harness.refused("plan", "s.yaml")
    assert "s.yaml:" in line
    assert "which brings its own weights; write weights: pretrained, or none" in line


def test_a_folder_without_weights_serves_for_its_architecture(harness: Harness) -> None:
    (save_timm(Path("timm")) / "model.safetensors").unlink()
    study_of("local-dir:./timm", weights="none")
    (network,) = networks(harness)
    assert network["image_size"] == 64
    line = harness.refused("plan", "s.yaml", "--set", "base.weights=pretrained")
    assert line.endswith("has no weights, such as model.safetensors; write weights: none for random ones")


class Gate(BaseHTTPRequestHandler):
    """A hub all of whose repositories are gated."""

    def do_HEAD(self) -> None:
        """Answer as the hub does."""
        if self.path == "/":
            self.send_response(200)
        else:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", "Access to model org/name is restricted.")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An empty cache of the hub, and a gated hub on this machine."""
    server = HTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", place)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{place}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield monkeypatch
    server.shutdown()
    server.server_close()


def test_a_gated_repository_is_refused_with_its_page(harness: Harness, hub: pytest.MonkeyPatch) -> None:
    study_of("transformers:google/medsiglip-448")
    line = harness.refused("plan", "s.yaml")
    page = "visit https://huggingface.co/google/medsiglip-448, accept its terms, then `hf auth login`"
    assert line.endswith(f"google/medsiglip-448 is gated: {page}")
    hub.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is not on this machine and the hub cannot be reached" in harness.refused("plan", "s.yaml")


@pytest.mark.parametrize("scheme", ["transformers", "hf-hub"])
def test_a_repository_in_the_cache_needs_no_network_and_its_commit_is_in_the_id(
    harness: Harness, hub: pytest.MonkeyPatch, scheme: str
) -> None:
    hub.setattr(constants, "HF_HUB_OFFLINE", True)
    repo = Path(constants.HF_HUB_CACHE, "models--org--name")
    commit = repo / "snapshots/0123abcd"
    commit.mkdir(parents=True)
    (save_timm if scheme == "hf-hub" else lambda folder: save_transformers("ViTModel", folder))(commit)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(commit.name)
    study_of(f"{scheme}:org/name")
    (network,) = networks(harness)
    assert (network["backbone"], network["image_size"]) == (f"{scheme}:org/name", 64)
    first = job_ids(harness)
    commit.rename(commit.with_name("9876fedc"))
    (repo / "refs/main").write_text("9876fedc")
    assert first.isdisjoint(job_ids(harness))

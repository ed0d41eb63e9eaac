"""Paths of a study: in its file they start at its folder, on the command line at the current one."""

import json
import os
import shutil
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from harness.store import Store
from harness.study import load_study
from tests.conftest import runs_of
from tests.field.conftest import Harness, draw, four, write_study


@pytest.fixture
def project(harness: Harness) -> Path:  # noqa: ARG001 - it makes the current folder
    """The folder proj below the current one, with a study, its images and its weights."""
    four(root=Path("proj/images"))
    Path("proj/w").mkdir()
    weights = timm.create_model("test_resnet").state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, "proj/w/r.safetensors")
    write_study("proj/s.yaml", path="images")
    text = Path("proj/s.yaml").read_text(encoding="utf-8")
    Path("proj/t.yaml").write_text(text.replace("weights: none", "weights: w/r.safetensors"), encoding="utf-8")
    return Path("proj")


def planned(harness: Harness, *arguments: str) -> dict[str, object]:
    ended = harness("plan", *arguments, "--json")
    assert ended.code == 0, ended
    found: dict[str, object] = json.loads(ended.out)
    return found


def test_a_study_means_the_same_from_every_folder(
    harness: Harness, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [planned(harness, "proj/t.yaml", "--store", "st")]
    draw(Path("images/train/A"), 6)
    draw(Path("images/train/B"), 6)
    plans.append(planned(harness, "proj/t.yaml", "--store", "st"))
    monkeypatch.chdir(project)
    plans.append(planned(harness, "t.yaml", "--store", "../st"))
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    plans.append(planned(harness, "../t.yaml", "--store", "../../st"))
    ids = [[s["id"] for s in plan["stages"][0]["scenarios"]] for plan in plans]  # type: ignore[index]
    assert all(plan["manifest"] == plans[0]["manifest"] for plan in plans)
    assert all(one == ids[0] for one in ids)


@pytest.mark.usefixtures("project")
def test_an_option_starts_at_the_current_folder(harness: Harness) -> None:
    four(root=Path("images"), count=5)
    shutil.copy("proj/w/r.safetensors", "own.safetensors")
    own = planned(harness, "proj/s.yaml", "--data", "images", "--set", "base.weights=own.safetensors")
    assert {row["images"] for row in own["data"] if row["split"] == "train"} == {5}  # type: ignore[attr-defined]
    same = planned(harness, "proj/s.yaml", "--set", "data.path=images", "--set", "base={backbone: test_resnet, weights: own.safetensors, trainable: head, epochs: 2, batch_size: 8, learning_rate: 1.0e-2}")  # fmt: skip # noqa: E501
    assert own["stages"] == same["stages"]
    line = harness.refused("plan", "proj/s.yaml", "--set", "base.weights=w/r.safetensors")
    assert f"{Path('w/r.safetensors').absolute()} is not there" in line


@pytest.mark.parametrize(
    ("old", "field", "there", "write"),
    [
        ("path: images", "data.path", "pictures", "../pictures"),
        ("weights: none", "base.weights", "x.safetensors", "../x.safetensors"),
        ("head: [dropout-gap]", "stages[0].grid.weights[1]", "x.safetensors", "../x.safetensors"),
    ],
)
def test_a_path_that_is_there_from_the_current_folder_only_is_refused_with_what_to_write(
    harness: Harness, project: Path, old: str, field: str, there: str, write: str
) -> None:
    four(root=Path("pictures"))
    Path("x.safetensors").touch()
    text = Path("proj/s.yaml").read_text(encoding="utf-8")
    new = f"weights: [none, {there}]" if "head" in old else f"{old.partition(':')[0]}: {there}"
    Path("proj/s.yaml").write_text(text.replace(old, new), encoding="utf-8")
    for command in ("plan", "run", "audit", "status"):
        line = harness.refused(command, "proj/s.yaml")
        assert line.startswith("error: proj/s.yaml:") and f" {field}: there is no {project.absolute() / there};" in line
        assert f"write {write}, or give it on the command line" in line


def test_a_path_of_the_home_folder_and_an_absolute_one_hold(
    harness: Harness, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.absolute()))
    write_study("a.yaml", path="~/images")
    write_study("b.yaml", path=project.absolute() / "images")
    assert planned(harness, "a.yaml")["manifest"] == planned(harness, "b.yaml")["manifest"]


def test_a_search_has_its_paths_beside_the_study(project: Path) -> None:
    text = Path("proj/s.yaml").read_text(encoding="utf-8")
    space = "{weights: {choices: [none, w/r.safetensors]}}"
    search = f"search: {{space: {space}, enqueue: [{{weights: w/r.safetensors}}], trials: 2}}\n"
    Path("proj/s.yaml").write_text(text + search, encoding="utf-8")
    study = load_study(Path("proj/s.yaml"))
    assert study.search is not None
    file = str(project.absolute() / "w/r.safetensors")
    assert (study.search.space["weights"].choices, study.search.enqueue) == (["none", file], [{"weights": file}])


def test_a_level_is_shown_as_it_was_written_and_two_files_of_one_name_differ(harness: Harness, project: Path) -> None:
    (project / "v").mkdir()
    shutil.copy("proj/w/r.safetensors", "proj/v/r.safetensors")
    write_study("proj/s.yaml", path="images", grid="{weights: [w/r.safetensors, v/r.safetensors, none]}")
    with Path("proj/v/r.safetensors").open("ab"):
        pass
    stage = planned(harness, "proj/s.yaml")["stages"][0]  # type: ignore[index]
    names = [scenario["name"] for scenario in stage["scenarios"]]
    assert names[0] == "w/r.safetensors" and "none" in names[-1]


@pytest.mark.usefixtures("project")
def test_a_head_of_the_current_folder_is_not_taken_unless_it_is_named(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = (
        "class Pool(Linear):\n    def __init__(self, shape, classes, _):\n        super().__init__(shape[0], classes)\n"
    )
    forward = "    def forward(self, maps):\n        return super().forward(maps.mean((2, 3)))\n"
    Path("pool.py").write_text(f"from torch.nn import Linear\n{head}{forward}", encoding="utf-8")
    monkeypatch.syspath_prepend(str(Path.cwd()))  # as `python -m` does
    line = harness.refused("plan", "proj/s.yaml", "--set", "base.head=pool:Pool", "--set", "stages.0.grid={}")
    assert "no pool.py in proj or on PYTHONPATH (the current folder has one: move it)" in line
    monkeypatch.setenv("PYTHONPATH", os.curdir)
    assert harness("plan", "proj/s.yaml", "--set", "base.head=pool:Pool", "--set", "stages.0.grid={}").code == 0


@pytest.mark.long
def test_a_fit_is_reproduced_from_any_folder(
    harness: Harness, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert harness("run", "proj/t.yaml", "--store", "st").code == 0
    (run, *_) = runs_of(Store(Path("st")), "fold")
    for folder in (project / "w", Path("/")):
        monkeypatch.chdir(folder)
        again = harness("reproduce", run.info.run_id, "--store", str(tmp_path / "st"))
        assert (again.code, "NOT identical" in again.out) == (0, False), again
        monkeypatch.chdir(tmp_path)

"""One name, one meaning: class names are unique, and a file name stands twice only for one subject."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "harness"

# file name -> what the files of this name have in common
SHARED_STEMS = {
    "audit": "the audit of the images: the command, and the audit itself",
    "cache": "the cache of a store: the command, and its entries",
    "doctor": "the checks of machine and store: the command, and the checks",
    "plan": "the plan of a study: the plan itself, the command, and what it prints",
    "run": "a run: the command, that of a search, and that of a batch of jobs in a worker",
    "status": "the status of the jobs of a study: the command, and how it is found",
    "subgroups": "groups of images: in the study file, in the data, and their section of the report",
    "suite": "a suite: the command, and its run",
    "verify": "the verification of a store: the command, and the checks",
    "ui": "the MLflow UI: the command, and how the server is started",
}


def test_every_public_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for name in _class_names(ast.parse(file.read_text(encoding="utf-8"))):
            places[name].append(str(file.relative_to(PACKAGE)))
    assert {"Study", "Store", "Ledger"} <= set(places), "the classes are found"
    assert "Shape" in places, "a type alias counts as a class"
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def _class_names(module: ast.Module) -> list[str]:
    """The public classes of a module, and its type aliases: `Shape = tuple[int, int, int]`."""
    names = [node.name for node in module.body if isinstance(node, ast.ClassDef)]
    for node in module.body:
        if isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in names if name[0].isupper() and not name.isupper()]


def test_a_file_name_stands_twice_only_for_one_subject() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if not file.stem.startswith("__")]
    stems = [file.stem for file in files]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    assert twice == set(SHARED_STEMS)


def test_no_link_is_tracked() -> None:
    """A tracked link, such as a checkout's own `.venv`, takes the place of what has that name in another checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert [line for line in listed.stdout.splitlines() if line.startswith("120000")] == []

"""The package as it is built and installed: everything is in it, and it works outside the repository."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


def _declared() -> dict[str, list[str]]:
    found: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return found


def test_every_folder_with_code_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "harness").rglob("*.py")}
    rooms = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert {*_declared()["packages"]} == rooms | {"harness.studies", "harness.studies.published"}


def test_no_file_names_the_host_of_a_package_index() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org"]
    patterns = [part for host in hosts for part in ("-e", host)]
    found = subprocess.run(["git", "grep", "-lIF", *patterns], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1, found.stdout


@pytest.mark.slow
def test_the_wheel_plans_a_shipped_study_from_an_empty_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("harness", "studies"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(built, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    files = {"harness/py.typed", "harness/report/page.html", "harness/studies/published/pneumonia-paper.yaml"}
    assert files < {*names}
    assert not [name for name in names if name.startswith(("tests/", "studies/", "harness/studies/results"))]
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "harness.cli", "plan", "quickstart", "--set", "data.phantom.train=48"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "study quickstart" in done.stdout
    where = [sys.executable, "-c", "import harness; print(harness.__file__)"]
    found = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == tmp_path / "site" / "harness" / "__init__.py", "not that of the repository"


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    linter = shutil.which("hadolint", path=places)
    if linter is None:
        pytest.skip("needs hadolint")
    done = subprocess.run([linter, str(ROOT / ".docker" / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

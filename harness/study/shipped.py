"""The studies that come with the harness: a command takes their names, `harness run quickstart`, wherever it is run."""

from pathlib import Path

from harness.study.provenance import PACKAGE

FOLDERS = (PACKAGE / "studies", PACKAGE.parent / "studies")  # of an installed package, and of a checkout


def shipped_studies() -> dict[str, Path]:
    """The study files that come with the harness, by their names."""
    folder = next((folder for folder in FOLDERS if (folder / "quickstart.yaml").is_file()), None)
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))} if folder else {}


def study_path(given: Path) -> Path:
    """The path of a study file: as it is given, or that of a study that comes with the harness by its bare name."""
    if given.suffix or given.name != str(given) or given.exists():
        return given
    return shipped_studies().get(given.name, given)

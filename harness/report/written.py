"""How a report was written: what decides its words and the last digits of its numbers, besides the results."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import time

from harness import __version__
from harness.data.inputs import Workspace
from harness.study.identity import digest
from harness.study.provenance import PACKAGE, code_digest
from harness.study.state import StudyState

PACKAGES = ("matplotlib", "numpy", "pandas", "Pillow", "scikit-learn", "scipy", "statsmodels")
FILE = "written.json"


@dataclass(frozen=True)
class Written:
    """The time, the code and the packages that wrote a report, and its links into MLflow."""

    time: float  # seconds since 1970
    harness: str  # its version
    code: str  # the digest of all its files
    packages: Mapping[str, str]
    links: Mapping[str, str]
    results: str = ""  # the digest of what was finished
    looks: int = 0  # the number of the last entry in the ledger of looks; later ones are not counted in the report

    def save(self, folder: Path) -> None:
        """Write the file into the folder of a report."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> "Written | None":
        """Read the file of a report; None where an older version wrote the report."""
        if not (folder / FILE).is_file():
            return None
        return Written(**json.loads((folder / FILE).read_text(encoding="utf-8")))


def written_now(results: str, looks: int = 0, links: Mapping[str, str] | None = None) -> Written:
    """What a report of these results is written with now. looks: the last entry in the ledger of looks."""
    return Written(time(), __version__, report_code(), package_versions(), dict(links or {}), results, looks)


def finished_results(workspace: Workspace, state: StudyState) -> str:
    """The digest of the fits that are done and of the commands that made them."""
    done = sorted({job_id for fit in state.fits for job_id in fit.records})
    return digest([done, [command.time for command in workspace.commands]])


def report_code() -> str:
    """The digest of all code that could decide the words of a report."""
    return code_digest(
        [path.relative_to(PACKAGE).as_posix() for kind in ("*.py", "*.html") for path in PACKAGE.rglob(kind)]
    )


def package_versions() -> dict[str, str]:
    """The versions of the packages that a report is computed and drawn with."""
    return {package: version(package) for package in PACKAGES}

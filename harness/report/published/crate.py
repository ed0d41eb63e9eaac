"""`ro-crate-metadata.json`: what is in a published folder, and which commands made it, for programs to read.

It follows the profile Workflow Run Crate 0.5 of RO-Crate 1.1: the study file is the workflow, and each command that
fitted something is an execution of it by the harness.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.report.sections.checklist import AUTHOR
from harness.study.history import CommandEntry

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
RO_CRATE = "1.1"  # the version that the profiles are written for
FORMATS = {
    ".csv": "text/csv", ".html": "text/html", ".json": "application/json", ".md": "text/markdown", ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet", ".yaml": "application/yaml", ".cff": "application/yaml",
    ".py": "text/x-python", ".jsonl": "application/jsonl",
}  # fmt: skip


@dataclass(frozen=True)
class CrateParts:
    """What a crate describes. The paths are relative to its folder; a folder's ends with a slash.

    described: every other file or folder -> what it is.
    """

    name: str
    description: str
    published: datetime
    workflow: str
    inputs: Sequence[str]
    results: Sequence[str]
    described: dict[str, str]
    commands: Sequence[CommandEntry]


def write_crate(folder: Path, parts: CrateParts) -> Path:
    """Write the metadata file into the folder, and return its path."""
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version=RO_CRATE)
    crate.metadata.extra_contexts.append(TERMS)
    crate.metadata["conformsTo"] = [{"@id": crate.metadata.profile}, {"@id": WORKFLOW_CRATE}]
    author = _entity(crate, "#author", "Person", name=AUTHOR)
    files = {path: _data(crate, path, words, path == parts.workflow) for path, words in parts.described.items()}
    harness = _entity(
        crate, "#harness", "SoftwareApplication", name="harness", version=__version__, softwareVersion=__version__
    )
    language = _entity(crate, "#study-file", "ComputerLanguage", name="study file of the harness", version=__version__)
    files[parts.workflow]["programmingLanguage"] = language
    root = crate.root_dataset
    crate.name, crate.description, crate.datePublished = parts.name, parts.description, parts.published
    root["author"] = author
    root["license"] = _entity(crate, "#licence", "CreativeWork", name=AUTHOR)
    root["mainEntity"] = files[parts.workflow]
    root["conformsTo"] = [
        _entity(crate, url, "CreativeWork", name=name, version=version) for url, (name, version) in PROFILES.items()
    ]
    actions = [_action(crate, command, number, parts, files) for number, command in enumerate(parts.commands, start=1)]
    for action in actions:
        action["agent"] = author
    organised = _entity(crate, "#runs", "OrganizeAction", name="runs of the study by the harness", instrument=harness)
    organised["result"] = actions
    root["mentions"] = [*actions, organised]
    crate.metadata.write(folder)
    return folder / "ro-crate-metadata.json"


def _entity(crate: "ROCrate", identity: str, kind: str, **properties: Any) -> "Entity":
    from rocrate.model.contextentity import ContextEntity

    found = ContextEntity(crate, identity, properties={"@type": kind})
    for name, value in properties.items():
        found[name] = value
    return crate.add(found)


def _data(crate: "ROCrate", path: str, words: str, is_workflow: bool) -> "Entity":
    """The entity of a file or folder."""
    if path.endswith("/"):
        return crate.add_dataset(dest_path=path, properties={"name": words})
    about: dict[str, Any] = {"name": words}
    if Path(path).suffix in FORMATS:
        about["encodingFormat"] = FORMATS[Path(path).suffix]
    if is_workflow:
        about["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    return crate.add_file(dest_path=path, properties=about)


def _action(
    crate: "ROCrate", command: CommandEntry, number: int, parts: CrateParts, files: dict[str, "Entity"]
) -> "Entity":
    """An execution of the study by one command."""
    action = _entity(
        crate, f"#command-{number}", "CreateAction", name=command.command, startTime=_time(command.time),
        description=f"on {command.device}, {command.machine}; Python {command.python}, {command.versions}; code"
        f" {command.git_commit}{' (modified)' if command.git_dirty == 'true' else ''}",
    )  # fmt: skip
    if command.seconds is not None:
        action["endTime"] = _time(command.time + command.seconds)
    if command.fits is not None:
        state = "FailedActionStatus" if command.failed else "CompletedActionStatus"
        action["actionStatus"] = f"http://schema.org/{state}"
    action["instrument"] = files[parts.workflow]
    action["object"] = _all(files, parts.inputs)
    action["result"] = _all(files, parts.results)
    return action


def _all(files: dict[str, "Entity"], paths: Iterable[str]) -> list["Entity"]:
    return [files[path] for path in paths]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

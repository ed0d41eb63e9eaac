"""Take the paths of the author's machine out of what is published: they tell of people and help nobody."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.data.inputs import Workspace
from harness.data.record import ABOUT_FILE, GIVEN_FILE, PAPER_FILE
from harness.store.seals import resealed
from harness.study.history import ENVIRONMENT_FILE, HISTORY_FILE
from harness.study.origin import origin_of
from harness.study.strict_yaml import dump_yaml, read_yaml

PLACE = "/author"  # stands for the folders of the author's machine
FOLDER = r"[^\s/'\"=,]+/"
ABSOLUTE = re.compile(rf"(?<![\w:/.])(?:~\w*/(?:{FOLDER})*|/(?:{FOLDER})+)")  # the folders of an absolute path
SERVER = re.compile(r"\b(https?|postgresql|mysql)(\S*?)://[^\s'\"/]+")


class Anonymiser:
    """Replaces known paths everywhere in the same way, so that what refers to one another still does.

    paths: folders and files; each keeps its own name. home: of the user, which has the user's name.
    """

    def __init__(self, paths: Iterable[Path], home: Path) -> None:
        self._names = {str(home): PLACE}
        for path in sorted({path for path in paths if path.is_absolute() and path.name} - {home}):
            names = [f"{PLACE}/{path.name}", *(f"{PLACE}/{path.stem}-{n}{path.suffix}" for n in range(2, 1000))]
            self._names[str(path)] = next(name for name in names if name not in self._names.values())

    def text(self, text: str) -> str:
        """The text without the known paths, the longest replaced first."""
        for path in sorted(self._names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(path)}(?![\w-])", lambda match: self._names[match[0]], text)
        return text

    def command(self, line: str) -> str:
        """A command line without any absolute path, known or not, and without the names of servers."""
        hidden = SERVER.sub(r"\1\2://server", self.text(line))
        return ABSOLUTE.sub(lambda match: match[0] if match[0].startswith(f"{PLACE}/") else f"{PLACE}/", hidden)

    def value(self, value: Any) -> Any:
        """Plain data without the known paths, in keys and values."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(each) for key, each in value.items()}
        return [self.value(each) for each in value] if isinstance(value, list | tuple) else value


def anonymiser_of(workspace: Workspace) -> Anonymiser:
    """The anonymiser that knows the paths of a study."""
    study, dataset = workspace.study, workspace.inputs.dataset
    used = workspace.inputs.digests.weights
    weights = [Path(name) for _, name in used]
    weights += [origin.folder for name, _ in used if (origin := origin_of(name)) and origin.folder]
    of_sets = [path for each in study.data.sets.values() for path in (each.path, each.root)]
    named = [
        Path(path) for path in (study.data.path, study.data.corrections, study.paper_file, *of_sets) if path is not None
    ]
    roots = [dataset.root, *dataset.set_roots.values()]
    return Anonymiser([*weights, *named, *roots, workspace.store.root, study.folder, Path.cwd()], Path.home())


def anonymise_record(folder: Path, anonymiser: Anonymiser) -> None:
    """Replace the paths in the record of a study, and seal it again. The sources of custom heads stay as they are."""
    with resealed(folder):
        for name in (ABOUT_FILE, "audit.json"):
            _rewrite(folder / name, lambda text: json.dumps(anonymiser.value(json.loads(text)), indent=1))
        (folder / "study.yaml").write_text(
            dump_yaml(anonymiser.value(read_yaml(folder / "study.yaml")[0])), encoding="utf-8"
        )
        for name in (GIVEN_FILE, PAPER_FILE):
            _rewrite(folder / name, anonymiser.text)
        _rewrite(
            folder / HISTORY_FILE, lambda text: "".join(f"{_command(line, anonymiser)}\n" for line in text.splitlines())
        )
        _rewrite(folder / ENVIRONMENT_FILE, lambda text: _environment(text, anonymiser))


def _rewrite(path: Path, change: Any) -> None:
    if path.exists():
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def _command(line: str, anonymiser: Anonymiser) -> str:
    """A line of the history of commands."""
    entry = anonymiser.value(json.loads(line))
    return json.dumps(entry | {"command": anonymiser.command(entry["command"])})


def _environment(text: str, anonymiser: Anonymiser) -> str:
    """The content of `environment.txt`, whose line `command` is a command line."""
    lines = [
        anonymiser.command(line) if line.startswith("command ") else anonymiser.text(line) for line in text.split("\n")
    ]
    return "\n".join(lines)


def private_places(folder: Path, places: Iterable[str]) -> dict[str, str]:
    """The files below a folder that still contain one of these places, such as the home of a user: file -> place."""
    wanted = {place: place.encode() for place in places if len(place) > 1}
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found |= {path.relative_to(folder).as_posix(): name for name, raw in wanted.items() if raw in content}
    return found

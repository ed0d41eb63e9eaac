"""Take the paths of the author's machine out of what is published: they tell of people and help nobody."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PLACE = "/author"  # stands for the folders of the author's machine
ABSOLUTE = re.compile(r"(?<![\w:/.])(?:~\w*)?/(?:[^\s/'\"=,]+/)+")  # the folders of an absolute path
SERVER = re.compile(r"\b(https?|postgresql|mysql)://[^\s'\"/]+")


class Anonymiser:
    """Replaces known paths, everywhere and in the same way: what refers to one another still does.

    paths: folders and files of the author's machine; each keeps its own name.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._names: dict[str, str] = {}
        for path in sorted({str(path) for path in paths if path.is_absolute() and path.name}, key=len):
            base, taken = Path(path), set(self._names.values())
            names = [f"{PLACE}/{base.name}", *(f"{PLACE}/{base.stem}-{n}{base.suffix}" for n in range(2, 1000))]
            self._names[path] = next(name for name in names if name not in taken)

    def text(self, text: str) -> str:
        """The text without the known paths; the longest are replaced first."""
        for path in sorted(self._names, key=len, reverse=True):
            name = self._names[path].replace("\\", r"\\")
            text = re.sub(rf"{re.escape(path)}(?![\w.-])", name, text)
        return text

    def command(self, line: str) -> str:
        """A command line without any absolute path, known or not, and without the names of servers."""
        hidden = SERVER.sub(r"\1://server", self.text(line))
        return ABSOLUTE.sub(lambda match: match[0] if match[0].startswith(f"{PLACE}/") else f"{PLACE}/", hidden)

    def value(self, value: Any) -> Any:
        """Plain data without the known paths, in keys and values."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(key): self.value(each) for key, each in value.items()}
        return [self.value(each) for each in value] if isinstance(value, list | tuple) else value


def private_places(folder: Path, places: Iterable[str]) -> dict[str, str]:
    """The files below a folder that still contain one of these places, such as the home of a user: file -> place."""
    wanted = {place: place.encode() for place in places if len(place) > 1}
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found |= {path.relative_to(folder).as_posix(): name for name, raw in wanted.items() if raw in content}
    return found

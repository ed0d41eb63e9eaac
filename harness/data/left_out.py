"""What lies in an image folder and is not read: counted by kind, and named."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import printable

NO_IMAGES = {  # endings of files that nobody takes for images
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".rst", ".html", ".htm", ".log", ".ini",
    ".cfg", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".odt", ".py", ".ipynb", ".sh", ".lnk", ".url", ".md5", ".sha256",
}  # fmt: skip
NAMED = 5  # paths of a kind that are kept
LISTED = 6  # endings or folders that a line lists

Kind = Literal["endings", "beside", "folders", "no-images", "hidden-files", "hidden-folders"]
WORDS: dict[Kind, tuple[str, str]] = {  # one, several; those that may hold images which somebody counts on come first
    "endings": ("file with an ending that is not read", "files with endings that are not read"),
    "beside": ("file beside the class folders", "files beside the class folders"),
    "folders": ("folder beside train/ and test/", "folders beside train/ and test/"),
    "no-images": ("other file in a class folder", "other files in class folders"),
    "hidden-files": ("hidden file", "hidden files"),
    "hidden-folders": ("hidden or system folder", "hidden or system folders"),
}


@dataclass(frozen=True)
class LeftOut:
    """All that is left out for one reason. first: the paths of some. parts: of how many endings, or which folders."""

    kind: Kind
    count: int
    first: tuple[str, ...]
    parts: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether these may be images that somebody counts on."""
        return self.kind in ("endings", "beside", "folders")

    def __str__(self) -> str:
        more = f" and {len(self.parts) - LISTED} more" if len(self.parts) > LISTED else ""
        parts = ", ".join(self.parts[:LISTED]) + more
        if self.kind == "folders":
            return f"not read: {parts}; only train/, test/ and, with `val: train`, val/ are"
        named = f"such as {self.first[0]}" if self.count > 1 else self.first[0]
        return f"not read: {self.count:,} {WORDS[self.kind][self.count > 1]}{f' ({parts})' if parts else ''}, {named}"


@dataclass
class Tally:
    """Takes in what is met in the folder `root` and is not read."""

    root: Path
    met: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))
    endings: Counter[str] = field(default_factory=Counter)
    folders: list[str] = field(default_factory=list)

    def add(self, kind: Kind, path: str, words: str = "") -> None:
        """Takes in one file or folder. words: more about a folder beside train/ and test/."""
        name = printable(os.path.relpath(path, self.root)) + ("/" if "folders" in kind else "")
        self.met[kind].append(name)
        if kind == "endings":
            self.endings[printable(ending(path))[:16] or "without an ending"] += 1
        if kind == "folders":
            self.folders.append(name + words)

    def add_file(self, path: str, kind: Kind) -> None:
        """Takes in a file: as a hidden one, as none of an image, or else as one of this kind."""
        name = os.path.basename(path)  # noqa: PTH119 - it may hold bytes that are no text
        self.add("hidden-files" if name.startswith(".") else "no-images" if ending(name) in NO_IMAGES else kind, path)

    def join(self, other: "Tally") -> None:
        """Takes in all that another tally of the same folder met."""
        for kind, names in other.met.items():
            self.met[kind] += names
        self.endings += other.endings
        self.folders += other.folders

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """All of it, what may be images first."""
        parts = {
            "endings": tuple(f"{count:,} {name}" for name, count in self.endings.most_common()),
            "folders": tuple(self.folders),
        }
        kinds = [kind for kind in WORDS if kind in self.met]
        return tuple(LeftOut(k, len(self.met[k]), tuple(self.met[k][:NAMED]), parts.get(k, ())) for k in kinds)


def ending(path: str) -> str:
    """The ending of a file's name as endings are compared: `.png`."""
    return Path(path).suffix.lower()

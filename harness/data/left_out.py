"""The files in an image folder that are not read: counted by kind, with examples."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.data.dicom import EXTENSIONS, INSTALL, is_dicom_file
from harness.errors import printable

OTHER_EXTENSIONS = {  # of files that nobody expects to be images
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".rst", ".html", ".htm", ".log", ".ini",
    ".cfg", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".odt", ".py", ".ipynb", ".sh", ".lnk", ".url", ".md5", ".sha256",
}  # fmt: skip
DICOM = "DICOM"  # such a file without an ending
MAX_EXAMPLES = 5  # paths per kind
MAX_LISTED = 6  # extensions or folders in a line

Kind = Literal[
    "endings", "beside", "folders", "labels", "splits", "val", "copies", "no-images", "hidden-files", "hidden-folders"
]
WORDS: dict[Kind, tuple[str, str]] = {  # singular, plural; first those that may contain images that the user expects
    "endings": ("file with an extension that is not read", "files with extensions that are not read"),
    "beside": ("file next to the class folders", "files next to the class folders"),
    "folders": ("folder next to train/ and test/", "folders next to train/ and test/"),
    "labels": ("row with a label that `labels` does not name", "rows with labels that `labels` does not name"),
    "splits": ("row of no split of this study", "rows of no split of this study"),
    "val": ("row of the split val: `val: train` adds it", "rows of the split val: `val: train` adds them"),
    "copies": ("row that repeats another one", "rows that repeat another one"),
    "no-images": ("other file in a class folder", "other files in class folders"),
    "hidden-files": ("hidden file", "hidden files"),
    "hidden-folders": ("hidden or system folder", "hidden or system folders"),
}


@dataclass(frozen=True)
class LeftOut:
    """The files that are left out for one reason. first: some paths. parts: counts by extension, or the folders."""

    kind: Kind
    count: int
    first: tuple[str, ...]
    parts: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether these may be images that the user expects to be read."""
        return self.kind in ("endings", "beside", "folders")

    def __str__(self) -> str:
        more = f" and {len(self.parts) - MAX_LISTED} more" if len(self.parts) > MAX_LISTED else ""
        parts = ", ".join(self.parts[:MAX_LISTED]) + more
        if self.kind == "folders":
            return f"not read: {parts}; only train/, test/ and, with `val: train`, val/ are"
        named = f"such as {self.first[0]}" if self.count > 1 else self.first[0]
        hint = f"; {INSTALL} reads DICOM" if any(part.endswith((DICOM, *EXTENSIONS)) for part in self.parts) else ""
        words = WORDS[self.kind][self.count > 1]
        return f"not read: {self.count:,} {words}{f' ({parts})' if parts else ''}, {named}{hint}"


@dataclass
class Tally:
    """Counts the files and folders below `root` that are not read."""

    root: Path
    names: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))
    extensions: Counter[str] = field(default_factory=Counter)
    folders: list[str] = field(default_factory=list)

    def add(self, kind: Kind, path: str, words: str = "") -> None:
        """Count one file or folder. words: more about a folder next to train/ and test/."""
        name = printable(os.path.relpath(path, self.root)) + ("/" if "folders" in kind else "")
        self.names[kind].append(name)
        if kind == "endings":
            self.extensions[_ending(path)] += 1
        if kind == "folders":
            self.folders.append(name + words)

    def add_file(self, path: str, kind: Kind) -> None:
        """Count one file as hidden, as not an image, or else as this kind."""
        name = os.path.basename(path)  # noqa: PTH119 - it may contain bytes that are not UTF-8
        other = extension(name) in OTHER_EXTENSIONS
        self.add("hidden-files" if name.startswith(".") else "no-images" if other else kind, path)

    def join(self, other: "Tally") -> None:
        """Add the counts of another tally of the same folder."""
        for kind, names in other.names.items():
            self.names[kind] += names
        self.extensions += other.extensions
        self.folders += other.folders

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What was counted, by kind; possible images first."""
        parts = {
            "endings": tuple(f"{count:,} {name}" for name, count in self.extensions.most_common()),
            "folders": tuple(self.folders),
        }
        found = [(kind, self.names[kind]) for kind in WORDS if kind in self.names]
        return tuple(LeftOut(kind, len(all_), tuple(all_[:MAX_EXAMPLES]), parts.get(kind, ())) for kind, all_ in found)


def _ending(path: str) -> str:
    """The ending of a file name, in a form that can be printed; DICOM where it has none and is such a file."""
    dicom = not extension(path) and is_dicom_file(path)
    return DICOM if dicom else printable(extension(path))[:16] or "without an extension"


def extension(path: str) -> str:
    """The extension of a file name in lower case: `.png`."""
    return Path(path).suffix.lower()

"""The files in an image folder that are not read: counted by kind, with examples."""

import os
import re
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.data.dicom import EXTENSIONS, INSTALL, is_dicom_file
from harness.errors import printable
from harness.study.number_words import first_of

OTHER_EXTENSIONS = {  # of files that nobody expects to be images
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".rst", ".html", ".htm", ".log", ".ini",
    ".cfg", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".odt", ".py", ".ipynb", ".sh", ".lnk", ".url", ".md5", ".sha256",
}  # fmt: skip
DICOM = "DICOM"  # such a file without an ending
MAX_EXAMPLES = 5  # paths per kind
MAX_LISTED = 6  # extensions or folders in a line

USUAL_ENDING = re.compile(r"\.(?=.*[a-z])[a-z0-9_]{1,8}")
MAGIC = (  # the format, where its bytes stand in a file, and the bytes
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"), ("JPEG", 0, b"\xff\xd8\xff"), ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"), ("GIF", 0, b"GIF8"), ("BMP", 14, b"(\0\0\0"), ("WebP", 8, b"WEBP"),
    ("JPEG 2000", 4, b"jP  \r\n"),
)  # fmt: skip
MAGIC_BYTES = 32  # the longest of these with its place

Kind = Literal[
    "endings", "beside", "folders", "empty-folders", "links", "labels", "splits", "val", "no-set", "copies",
    "no-images", "hidden-files", "hidden-folders",
]  # fmt: skip
WORDS: dict[Kind, tuple[str, str]] = {  # singular, plural; first those that may contain images that the user expects
    "endings": ("file with an extension that is not read", "files with extensions that are not read"),
    "beside": ("file next to the class folders", "files next to the class folders"),
    "folders": ("folder next to train/ and test/", "folders next to train/ and test/"),
    "empty-folders": ("folder without images", "folders without images"),
    "links": ("link to a folder that is read already", "links to folders that are read already"),
    "labels": ("image with a label that `labels` does not name", "images with labels that `labels` does not name"),
    "splits": ("row of no split of this study", "rows of no split of this study"),
    "val": ("row of the split val: `val: train` adds it", "rows of the split val: `val: train` adds them"),
    "no-set": ("image of a test split that no set takes", "images of test splits that no set takes"),
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
        parts = first_of(self.parts, MAX_LISTED)
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
    """The extension of a file, to be printed; where it is none or no usual one, what the file is by its first bytes."""
    ending = extension(path)
    if ending not in EXTENSIONS and is_dicom_file(path):
        return DICOM
    if not USUAL_ENDING.fullmatch(ending) and os.path.isfile(path):  # noqa: PTH113 - not UTF-8, it may be
        with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123
            start = file.read(MAGIC_BYTES)
            kind = next((kind for kind, at, magic in MAGIC if start[at:].startswith(magic)), None)
            if kind is not None:
                return f"{kind} without its extension"
    return printable(ending)[:16] or "without an extension"


def extension(path: str) -> str:
    """The extension of a file name in lower case: `.png`."""
    return Path(path).suffix.lower()

"""Backbones from elsewhere, by a scheme before their name: `transformers:ORG/NAME`, or `transformers:./FOLDER`.

A class of the user's own, `module:Class` in the study file, is `own:FILE:Class` once its file is found.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Library = Literal["timm", "open_clip", "transformers", "own"]
HUB, LOCAL = "hf-hub", "local-dir"  # timm's two words, for a repository of the hub and for a folder
OWN: Literal["own"] = "own"  # a class of the user's own
SCHEMES: dict[str, Library] = {
    HUB: "timm", LOCAL: "timm", "open_clip": "open_clip", "transformers": "transformers", OWN: "own",
}  # fmt: skip
PACKAGES: dict[Library, str] = {"open_clip": "open_clip_torch", "transformers": "transformers"}
EXTRAS: dict[Library, str] = {"open_clip": "open-clip", "transformers": "transformers"}
REPOSITORY = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
FOLDER = re.compile(r"[./~]|[A-Za-z]:[\\/]")  # the beginning of a path, which no repository's name has
FORMS = (
    "hf-hub:ORG/NAME or local-dir:FOLDER (timm), open_clip:ORG/NAME or open_clip:./FOLDER, transformers:ORG/NAME or"
    " transformers:./FOLDER"
)


@dataclass(frozen=True)
class Origin:
    """Where a backbone comes from: a repository of the Hugging Face hub, a folder in the library's format, a file."""

    library: Library
    repo: str = ""  # ORG/NAME; empty of a folder
    revision: str = ""  # as in ORG/NAME@REVISION; empty: that on this machine, or the newest
    folder: Path | None = None  # of a class of the user's own: its file
    class_name: str = ""  # of the user's own

    @property
    def is_own(self) -> bool:
        """Whether it is a class of the user's own."""
        return self.library == OWN

    @property
    def portable(self) -> str:
        """The name without the path of a folder, for identities: what is in the folder is hashed beside it."""
        if self.is_own and self.folder:
            return f"{self.folder.stem}:{self.class_name}"
        at = f"@{self.revision}" if self.revision else ""
        return f"{self.library}:{self.repo}{at}" if self.repo else self.library

    def moved_to(self, folder: Path) -> str:
        """The name of a backbone in this folder, of the same library."""
        at = folder if folder.is_absolute() else f"./{folder}"
        if self.is_own and self.folder:
            return own_name(f"{at}/{self.folder.name}", self.class_name)
        return f"{LOCAL if self.library == 'timm' else self.library}:{at}"


def origin_of(backbone: str) -> Origin | None:
    """Where a backbone comes from; None for a model of timm itself, or a built-in one.

    Raises ValueError, with what is allowed, for a scheme without a repository or folder.
    """
    if not has_scheme(backbone):
        return None
    scheme, _, rest = backbone.partition(":")
    if scheme == OWN:
        file, _, class_name = rest.rpartition(":")
        if not file.endswith(".py") or not class_name.isidentifier():
            raise ValueError(f"allowed behind {OWN}: FILE.py:Class; or write module:Class")
        return Origin(OWN, folder=_expanded(file), class_name=class_name)
    if path := _path(scheme, rest):
        return Origin(SCHEMES[scheme], folder=_expanded(path))
    found = None if scheme == LOCAL else REPOSITORY.fullmatch(rest)
    if found is None:
        raise ValueError(f"allowed behind {scheme}: {FORMS}; a folder begins with ./, ../, / or ~")
    return Origin(SCHEMES[scheme], found["repo"], found["revision"] or "")


def has_scheme(backbone: str) -> bool:
    """Whether a name begins with the scheme of a library."""
    scheme, colon, _ = backbone.partition(":")
    return bool(colon) and scheme in SCHEMES


def _expanded(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib raises for ~nobody


def own_name(file: Path | str, class_name: str) -> str:
    """The name of a class of the user's own, by its file."""
    return f"{OWN}:{file}:{class_name}"


def is_own(backbone: str) -> bool:
    """Whether this is a class of the user's own, whose file was found."""
    return backbone.startswith(f"{OWN}:")


def is_folder(backbone: str) -> bool:
    """Whether this names a folder, or a file: a path that may be relative."""
    scheme, _, rest = backbone.partition(":")
    return has_scheme(backbone) and bool(_path(scheme, rest))


def _path(scheme: str, rest: str) -> str:
    """The path behind a scheme; empty where there is a repository, or nothing."""
    return rest if scheme in (LOCAL, OWN) or (scheme != HUB and FOLDER.match(rest)) else ""


def portable_name(backbone: str) -> str:
    """The name of a backbone in identities: without the path of a folder."""
    origin = origin_of(backbone)
    return backbone if origin is None or origin.repo else origin.portable


def package_of(backbone: str) -> str | None:
    """The package beside timm that the backbone needs."""
    origin = origin_of(backbone)
    return None if origin is None else PACKAGES.get(origin.library)


def short_name(backbone: str) -> str:
    """The name of a backbone for a table or a message: of a folder its own name alone."""
    origin = origin_of(backbone)
    if origin is None or origin.folder is None:
        return backbone
    if origin.is_own:
        return origin.portable
    return f"{backbone.partition(':')[0]}:{origin.folder.name}"

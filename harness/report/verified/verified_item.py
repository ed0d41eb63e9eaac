"""One line of a verification."""

from dataclasses import dataclass
from typing import Literal

Verdicts = Literal["holds", "differs", "cannot be checked", "not covered"]
VerifiedPart = Literal[
    "whole folder", "study records", "images", "fits", "reports", "explanations", "looks", "registrations",
    "other files",
]  # fmt: skip


@dataclass(frozen=True)
class VerifiedItem:
    """What was found about one thing in a store. what: mostly a file or folder, relative to the store."""

    part: VerifiedPart
    what: str
    verdict: Verdicts
    words: str = ""

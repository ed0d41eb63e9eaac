"""What a check of a store's files has found, item by item."""

from dataclasses import dataclass
from typing import Final, Literal

HOLDS: Final = "holds"
DIFFERS: Final = "differs"
UNCHECKED: Final = "cannot be checked"


@dataclass(frozen=True)
class Checked:
    """One thing that was checked, the verdict on it, and the reason in words."""

    what: str
    verdict: Literal["holds", "differs", "cannot be checked"]
    words: str

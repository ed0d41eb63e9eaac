"""How often the same images were tried with other seeds: a number that was chosen among them is better than it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.study.number_words import first_of

FIELD = "tried"  # in the record of a study


@dataclass(frozen=True)
class TriedSeeds:
    """The different seeds, and seeds of folds, that were tried in one store, in order; as of the start of a run."""

    seeds: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()

    @property
    def several(self) -> bool:
        """Whether any were tried but the study's own."""
        return max(len(self.seeds), len(self.folds)) > 1

    @property
    def marks(self) -> list[str]:
        """The marks of every number of the study."""
        counts = (("SEEDS", self.seeds), ("SEEDS OF FOLDS", self.folds))
        return [f"{len(tried)} {what} TRIED ON THESE IMAGES" for what, tried in counts if len(tried) > 1]

    @property
    def words(self) -> list[str]:
        """What was tried, in sentences without a full stop."""
        counts = (("seeds", self.seeds), ("seeds of folds", self.folds))
        return [
            f"{len(tried)} {what} tried on these training images with the same settings, in this store"
            f" (in this order: {_listed(tried)})"
            for what, tried in counts
            if len(tried) > 1
        ]

    @property
    def content(self) -> dict[str, Any]:
        """The part of `record.json`; empty where only the study's own were tried."""
        return {FIELD: {"seeds": list(self.seeds), "folds": list(self.folds)}} if self.several else {}

    @staticmethod
    def of(about: Mapping[str, Any]) -> "TriedSeeds":
        """What the content of a `record.json` says."""
        found = about.get(FIELD, {})
        return TriedSeeds(tuple(found.get("seeds", ())), tuple(found.get("folds", ())))


def _listed(tried: Sequence[int], most: int = 10) -> str:
    return first_of([*map(str, tried)], most)

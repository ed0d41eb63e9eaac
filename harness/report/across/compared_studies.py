"""Finished studies beside each other: paired where their images are the same, else by the ranks of their scenarios."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.report.across.across_tables import model_table
from harness.report.across.paired_studies import paired_comparisons
from harness.report.across.ranked_models import RankedModels, listed, ranked_models
from harness.report.across.shared_images import SharedImages, shared_images
from harness.report.across.sides import Opened, StudySide, margin_of, sides_of
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.records import Comparison
from harness.report.tables.tidy import comparison_rows, html_table
from harness.study.number_words import number_of


@dataclass(frozen=True)
class ComparedStudies:
    """What a comparison of studies found. ranked: where their images are others; else comparisons are of each pair."""

    sides: tuple[StudySide, ...]
    shared: SharedImages
    comparisons: tuple[Comparison, ...] = ()
    ranked: RankedModels | None = None

    @property
    def title(self) -> str:
        """The names of the studies."""
        return listed([side.label for side in self.sides])

    @property
    def metric(self) -> str:
        """The metric that they are compared by."""
        return self.sides[0].select.metric.removeprefix("val/")

    @property
    def margin(self) -> float:
        """The region of practical equivalence."""
        return margin_of(self.sides)

    def table(self) -> pd.DataFrame:
        """The comparisons, a row each, first minus second; of ranked studies the models, with ranks and means."""
        return comparison_rows(self.comparisons) if self.ranked is None else model_table(self.ranked)

    def __str__(self) -> str:
        return "\n".join([pairing_sentence(self), *(pair_sentence(c, self.margin) for c in self.comparisons)])

    def _repr_html_(self) -> str:
        """The comparison for a notebook."""
        return html_table(str(self), self.table())

    @property
    def validated(self) -> list[Comparison]:
        """The comparisons on validation images."""
        return [c for c in self.comparisons if c.on != TEST]

    @property
    def tested(self) -> list[Comparison]:
        """The comparisons on the test set."""
        return [c for c in self.comparisons if c.on == TEST]


def compare_studies(
    opened: Sequence[Opened], wanted: Mapping[str, str] | None = None, metric: str | None = None
) -> ComparedStudies:
    """Compare finished studies.

    wanted: the label of a study -> the name or id of the scenario to compare, in place of the selected one. metric: in
    place of the one that the studies select by.
    Raises StudyError, saying why, where they cannot be compared.
    """
    wanted = wanted or {}
    sides = sides_of(opened, wanted, metric)
    shared = shared_images(sides)
    if shared.of == "nothing":
        return ComparedStudies(tuple(sides), shared, ranked=ranked_models(sides))
    return ComparedStudies(tuple(sides), shared, tuple(paired_comparisons(sides, shared)))


def pair_sentence(c: Comparison, margin: float) -> str:
    """One comparison in a sentence."""
    if c.verdict is None:
        return f"{c.first} minus {c.second}, {c.metric} {c.on}: {_difference(c)}; no verdict about recipes."
    better = c.first if c.verdict == "first is better" else c.second
    verdict = f"{better} is better" if c.verdict != "cannot resolve" else "cannot resolve"
    practical = {"equivalent": f"equivalent within {margin:g}", "not known": "practically not known"}
    return (
        f"{c.first} against {c.second}, {c.metric} over the folds: **{verdict}** ({_difference(c)},"
        f" {practical.get(c.practical or 'not known', f'practically {c.practical}')})."
    )


def _difference(c: Comparison) -> str:
    interval = "no interval" if c.low is None or c.high is None else f"{c.low:+.3f} to {c.high:+.3f}"
    return f"{c.difference:+.3f}, {interval}"


def pairing_sentence(found: ComparedStudies) -> str:
    """How the studies were compared, and why not otherwise."""
    shared, plural = found.shared, found.sides[0].workspace.unit.plural
    if shared.of == "folds":
        family = found.validated[0].comparisons
        return (
            "The same images in the same folds: recipes are compared by the corrected resampled t-test over the folds,"
            f" p adjusted for the {number_of(family, 'pair of scenarios')} that these were chosen from."
        )
    if shared.of == "images":
        return (
            f"{shared.reason}: no test over folds is made. The models of the folds are compared on each of the {plural}"
            " out of fold, with errors over patients. That is about these fitted models: it gives no verdict about"
            " recipes."
        )
    return (
        f"{shared.reason}: no paired test is made, as that needs predictions of the same {plural}. The scenarios with"
        " the same settings are ranked, each study a data set."
    )

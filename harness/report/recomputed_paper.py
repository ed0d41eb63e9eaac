"""A paper's numbers recomputed from its own counts: what follows, what does not, and what can be concluded."""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path

from harness.report.figures.drawing import with_holes
from harness.report.figures.intervals import interval_figure
from harness.report.numbers.estimates import from_confusion
from harness.report.numbers.records import (
    Comparison,
    Estimate,
    Finding,
    Statistics,
    Verdict,
    verdict_of,
    write_statistics,
)
from harness.report.tables.estimate_table import comparison_table, estimate_table
from harness.report.tables.export import export_table
from harness.stats import ALPHA
from harness.stats.paired import mcnemar_range
from harness.stats.proportions import newcombe, two_proportions
from harness.store.files import new_folder
from harness.study.paper import Claim, CrossValidation, PrintedValue, Published, PublishedModel, exact

TEST = "test set"
FITTED_ONCE_NOTE = (
    "A verdict is about two models as they were fitted once, on these images; another fit of the same recipe differs."
)
FIGURE_METRICS = ("accuracy", "recall", "specificity", "balanced_accuracy", "mcc")


def published_statistics(published: Published) -> Statistics:
    """Everything that follows from the paper's counts."""
    estimates = [estimate for model in published.models for estimate in model_estimates(published, model)]
    comparisons = [_comparison(published, claim) for claim in published.comparisons]
    gaps = [_gap(published, claim) for claim in published.cross_validation]
    findings = [
        *_count_findings(published),
        *(f for model in published.models for value in model.printed if (f := _printed(published, model, value))),
        *(_claim_finding(c) for c in comparisons),
        *(_gap_finding(gap) for gap in gaps),
    ]
    return Statistics(
        kind="published",
        name=published.paper,
        estimates=estimates,
        comparisons=[*comparisons, *gaps],
        findings=findings,
    )


def model_estimates(published: Published, model: PublishedModel) -> list[Estimate]:
    """The estimates from the confusion matrix of one published model."""
    return from_confusion(published.matrix(model), published.classes, model.name, TEST)


def _printed(published: Published, model: PublishedModel, value: PrintedValue) -> Finding | None:
    """The finding that a printed value does not follow from the model's counts, to its printed digits; else None."""
    found = next(
        e for e in model_estimates(published, model) if (e.metric, e.of_class) == (value.metric, value.of_class)
    )
    printed = Decimal(value.value)
    recomputed = Decimal(found.hits) / Decimal(found.n) if found.hits is not None and found.n else Decimal(found.value)
    if recomputed.quantize(printed, ROUND_HALF_UP) == printed:
        return None
    cut = " (cut off, not rounded)" if recomputed.quantize(printed, ROUND_DOWN) == printed else ""
    counts = f"{found.hits}/{found.n} = " if found.hits is not None else ""
    return Finding(
        kind="does not follow",
        text=f"{model.name}: {value.metric} is printed as {value.value}{cut}; its counts give {counts}{recomputed:.3f}",
        where=value.where,
        printed=float(printed),
        recomputed=float(recomputed),
    )


def _count_findings(published: Published) -> list[Finding]:
    found = []
    for count in published.counts:
        total = sum(count.parts.values())
        if total != count.printed:
            parts = " + ".join(f"{n:,} {name}" for name, n in count.parts.items())
            text = f"{count.what}: {count.printed:,} is printed; {count.parts_from} has {total:,} ({parts})"
            found.append(
                Finding(kind="does not follow", text=text, where=count.where, printed=count.printed, recomputed=total)
            )
    return found


def _comparison(published: Published, claim: Claim) -> Comparison:
    """Compare the accuracies of two published models: as independent counts, and paired under every overlap."""
    models = [published.model_named(claim.better), published.model_named(claim.worse)]
    matrices = [published.matrix(model) for model in models]
    right = [dict(zip(published.classes, matrix.diagonal().tolist(), strict=True)) for matrix in matrices]
    total = sum(published.test.values())
    hits, n = (sum(right[0].values()), sum(right[1].values())), (total, total)
    z, p = two_proportions(hits, n)
    low, high = newcombe(hits, n)
    paired = mcnemar_range(right[0], right[1], published.test)
    verdict: Verdict = "cannot resolve"
    if paired.p_high < ALPHA:  # whatever the overlap
        verdict = "first is better" if hits[0] > hits[1] else "second is better"
    return Comparison(
        first=claim.better, second=claim.worse, on=TEST, metric="accuracy", compares="fitted models",
        test="two proportions; exact McNemar over all overlaps that the class totals allow (p_low, p_high)",
        difference=(hits[0] - hits[1]) / total, low=low, high=high, statistic=z, p=p,
        only_first=paired.fewest[0], only_second=paired.fewest[1],
        only_first_most=paired.most[0], only_second_most=paired.most[1],
        p_low=paired.p_low, p_high=paired.p_high, verdict=verdict,
    )  # fmt: skip


def _claim_finding(c: Comparison) -> Finding:
    assert c.verdict is not None and c.low is not None and c.high is not None
    assert c.p_low is not None and c.p_high is not None
    if c.p_low >= ALPHA:
        paired = "no overlap of their errors makes exact McNemar significant"
    elif c.p_high < ALPHA:
        paired = "exact McNemar is significant under every overlap of their errors"
    else:
        paired = "whether exact McNemar is significant depends on the overlap of their errors, which is not printed"
    return Finding(
        kind=c.verdict,
        text=f"{c.first} against {c.second}: {100 * c.difference:+.2f} points, Newcombe {100 * c.low:+.1f} to"
        f" {100 * c.high:+.1f}, two-proportion p = {c.p:.2f}; {paired} (p from {c.p_low:.2f}"
        f" to {c.p_high:.2f}; {c.only_first} v {c.only_second} to {c.only_first_most} v {c.only_second_most})",
    )


def _gap(published: Published, claim: CrossValidation) -> Comparison:
    """Compare cross-validated with test accuracy, as counts on different images."""
    matrix = published.matrix(published.model_named(claim.model))
    images = int(matrix.sum())
    hits = (round(exact(claim.value) * claim.images), int(matrix.trace()))
    z, p = two_proportions(hits, (claim.images, images))
    low, high = newcombe(hits, (claim.images, images))
    difference = float(exact(claim.value)) - hits[1] / images
    return Comparison(
        first=f"{claim.model}, cross-validation", second=f"{claim.model}, test", on="different images",
        metric=claim.metric, test="two proportions", compares="fitted models",
        difference=difference, low=low, high=high, statistic=z, p=p,
        verdict=verdict_of(z, p),
    )  # fmt: skip


def _gap_finding(c: Comparison) -> Finding:
    noise = "sampling noise could explain it" if c.verdict == "cannot resolve" else "no sampling noise"
    return Finding(
        kind="gap", text=f"{c.first} against test: {100 * c.difference:.1f} points, z = {c.statistic:.1f}, {noise}"
    )


def write_published(published: Published, out: Path) -> Path:
    """Write `published.md`, its statistics, tables (CSV, LaTeX) and figure to the folder `out`; return its path."""
    statistics = published_statistics(published)
    with new_folder(out.absolute().parent) as folder:
        text = with_holes(_page(published, statistics, folder), folder)
        (folder / "published.md").write_text("\n".join(text) + "\n", encoding="utf-8")
        write_statistics(statistics, folder)
        out.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir()):
            path.replace(out / path.name)
    return out / "published.md"


def _page(published: Published, statistics: Statistics, folder: Path) -> list[str]:
    rows = [e for e in statistics.estimates if e.metric in FIGURE_METRICS]
    interval_figure([e for e in rows if e.low is not None], published.title, folder / "intervals.png")
    comparisons = comparison_table(statistics.comparisons)
    return [
        f"# {published.title}", "",
        f"{published.authors}. {published.source}", "",
        "Recomputed from the printed counts; 95 % intervals by Wilson.", "",
        "## What does not follow, and what cannot be concluded", "",
        *(f"- **{f.kind}**: {f.text}{f' ({f.where})' if f.where else ''}." for f in statistics.findings), "",
        "## What follows", "",
        *export_table(estimate_table(statistics.estimates), folder, "estimates"),
        "![intervals](intervals.png)", "",
        *(["## Comparisons", "", *export_table(comparisons, folder, "comparisons")] if len(comparisons) else []),
        *([FITTED_ONCE_NOTE, ""] if len(comparisons) else []),
        "Every number is in `statistics.json`, whose fields `statistics.schema.json` explains.",
    ]  # fmt: skip

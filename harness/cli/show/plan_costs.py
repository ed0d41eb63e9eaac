"""Print what the fits of a plan will cost, by the last probe."""

from rich.console import Console

from harness.cli.show.console import rows_table
from harness.execution.costs import Costs
from harness.store.clock import duration
from harness.study.number_words import number_of, verb


def show_costs(console: Console, costs: Costs) -> None:
    """Print the extrapolated cost of the fits that are left, and the machines of the probes."""
    rows = [
        [
            cost.probe.network,
            cost.fits,
            f"{cost.seconds / cost.epochs:.3g} s",
            duration(cost.seconds / cost.fits),
            duration(cost.extraction) if cost.extraction else "-",
            f"{cost.probe.memory / 2**30:.1f} GiB",
        ]
        for cost in costs.networks
    ]
    columns = ["network", "fits left", "an epoch", "a fit", "features, once", "memory"]
    console.print()
    console.print(rows_table("cost of the fits left, EXTRAPOLATED from a probe", columns, rows))
    for where, images in sorted(
        {((p := c.probe).machine + ", " + p.device + ", " + p.day, p.images) for c in costs.networks}
    ):
        console.print(
            f"probe: an epoch, or a fit in one go, of {images:,} random images; {where}; memory is the peak of the"
            " process or GPU"
        )
    _show_ahead(console, costs)
    unprobed = costs.unknown + sum(cost.unknown for cost in costs.ahead)
    was = verb(unprobed, "was", "were")
    unknown = f", and {number_of(unprobed, 'fit')} that {was} not probed" if unprobed else ""
    most = f" for the fits that are known, at most {duration(costs.most_seconds)} for all" if costs.ahead else ""
    console.print(
        f"total: {duration(costs.seconds)}{most}, one fit at a time{unknown}; disk {costs.disk / 1e9:.2g} GB for pixels"
        " (gray; three times that if coloured) and cached features"
    )


def _show_ahead(console: Console, costs: Costs) -> None:
    """Print the cost of stages that wait, and of the test set: the most that they can be."""
    rows = [
        [
            cost.name,
            "" if cost.choices == 1 else f"the most expensive of {cost.choices}",
            cost.fits,
            duration(cost.seconds),
        ]
        for cost in costs.ahead
    ]
    if rows:
        columns = ["what comes then", "possible winners", "fits", "at most"]
        console.print(rows_table("cost of what comes then, EXTRAPOLATED from a probe", columns, rows))

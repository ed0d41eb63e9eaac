"""Whether a fit costs more the more there are."""

from itertools import pairwise
from statistics import median

from tests.bench.figure import Bench, Clock, Goal, Row, quiet_run


def measure(bench: Bench) -> list[Row]:
    """The wall time per added fit near the end of a study of 240 fits, over that near its 24th."""
    fits, images = (48, 200) if bench.quick else (240, 400)
    rates = [1e-5 * 1.05**step for step in range(fits // 3)]
    stages = [{"name": "rates", "grid": {"learning_rate": rates}}]
    study = bench.study("growth", images, stages, epochs=3, head="batchnorm-gap")
    clock = Clock()
    quiet_run(study, bench.store("growth"), "inline", clock)
    early, late = _slope(clock.ended, 24), _slope(clock.ended, fits)
    return [
        Row(
            f"seconds per added fit, at {fits} fits / at 24", late / early,
            f"{bench.backbone}, {images} images, batchnorm-gap, 3 epochs: one run of {fits} fits in this process, each"
            " stored and published. The median over the scenarios, of 3 fits and 5 figures each, in the 24 fits before"
            " the one named; the very first is left out, as is the report at the end.",
            Goal("<=", 1.1), parts={"early_s": early, "late_s": late},
        )
    ]  # fmt: skip


def _slope(ended: list[float], at: int) -> float:
    """Seconds per fit in the 8 scenarios, of three fits each, before fit number `at`."""
    ends = ended[at - 25 if at > 24 else 2 : at : 3]
    return median(after - before for before, after in pairwise(ends)) / 3

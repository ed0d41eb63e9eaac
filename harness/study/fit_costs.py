"""What a scenario costs, from the records of its fits: size, arithmetic, time, memory and energy."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Literal

from harness.errors import HarnessError
from harness.store.results import FoldRecord, Metrics

CostName = Literal["parameters", "flops", "seconds"]


@dataclass(frozen=True)
class ScenarioCost:
    """The means over the fits of a scenario. None: not recorded by an older version, or not applicable."""

    parameters: float  # of the whole network that the predictions depend on
    trained_parameters: float  # by gradients or without
    flops: float | None  # of one image, 2 for a multiply-add
    extraction_seconds: float | None  # for the features of a frozen backbone, once for all its fits
    fit_seconds: float  # of one fit, without extraction
    images_per_second: float | None  # training images times epochs by the seconds of the fit
    peak_memory_mib: float | None  # of the GPU
    energy_wh: float | None  # of the GPU, for one fit

    @property
    def metrics(self) -> Metrics:
        """What is known, under its names in MLflow."""
        return {f"cost/{name}": value for name, value in asdict(self).items() if value is not None}

    def of(self, name: CostName) -> float | None:
        """One of the costs that a scenario can be selected by. Seconds: of a fit with the extraction of its features.

        The extraction counts also where another scenario's fit has made it.
        """
        if name == "seconds":
            return self.fit_seconds + (self.extraction_seconds or 0.0)
        return self.parameters if name == "parameters" else self.flops


def mean_cost(name: CostName, records: Collection[FoldRecord], whose: str) -> float:
    """The mean of a cost over fits. Raises HarnessError, naming whose they are, where one did not record it."""
    value = scenario_cost(records).of(name)
    if value is None:
        unknown = sum(record.facts.flops is None for record in records)
        raise HarnessError(
            f"{whose}: the {name} of {unknown} of its fits are not recorded, as an older version made them or a custom"
            " head takes no single image; allowed instead: parameters, seconds; `harness rerun` makes older fits again"
        )
    return value


def scenario_cost(records: Collection[FoldRecord]) -> ScenarioCost:
    """The cost of a scenario with these fits, of which there is at least one."""
    facts = [record.facts for record in records]
    memory = _mean(fact.peak_memory for fact in facts)
    return ScenarioCost(
        parameters=mean(float(fact.parameters) for fact in facts),
        trained_parameters=mean(float(fact.trained_parameters) for fact in facts),
        flops=_mean(fact.flops for fact in facts),
        extraction_seconds=_mean(fact.extraction_seconds for fact in facts),
        fit_seconds=mean(fact.seconds for fact in facts),
        images_per_second=_mean(map(_images_per_second, records)),
        peak_memory_mib=None if memory is None else memory / 2**20,
        energy_wh=_mean(fact.energy_wh for fact in facts),
    )


def _images_per_second(record: FoldRecord) -> float | None:
    """The training images that went through the network, or the head, in a second of the fit."""
    images = sum(record.class_counts.get("after", {}).values()) * len(record.history)
    return images / record.facts.seconds if images and record.facts.seconds else None


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean; None where a value is not known."""
    known = list(values)
    return None if None in known or not known else mean(float(value) for value in known if value is not None)

"""Fits of one study that other versions of packages made, or other devices: what no table keeps from its reader."""

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.errors import HarnessError
from harness.store.results import FoldRecord
from harness.study.settings import CLASSIFIERS, Settings
from harness.study.state import ScenarioState, StageState


def require_one_version(states: Iterable[ScenarioState], allowed: bool, coming: str | None = None) -> None:
    """Raises HarnessError where fits that stand in one table were made by different versions, unless that is allowed.

    coming: the versions that the fits still to be made will have.
    """
    if not allowed and (found := mixed_versions(_records(states), coming)):
        raise HarnessError(
            f"packages that decide numbers have changed since fits of this study were made ({found}), and no table"
            " mixes versions unasked: go on with the versions that made them, start anew in another --store, or say"
            " --mixed-versions, and every table and figure is marked"
        )


def fit_marks(states: Iterable[ScenarioState]) -> list[str]:
    """The marks of everything that these fits stand in: MIXED VERSIONS, MIXED DEVICES; none where they are alike."""
    states = list(states)
    versions = mixed_versions(_records(states))
    places = [f"{_number(count)} on {device}" for device, count in _devices(states).most_common()]
    return [
        *([f"MIXED VERSIONS: {versions}"] if versions else []),
        *([f"MIXED DEVICES: {', '.join(places)}"] if len(places) > 1 else []),
    ]


def every_state(states: Iterable[StageState], tests: Iterable[ScenarioState]) -> list[ScenarioState]:
    """The scenarios of all stages and those scored on the test set."""
    return [*(scenario for state in states for scenario in state.scenarios), *tests]


def changed_versions(then: FoldRecord, now: FoldRecord) -> str:
    """The packages whose versions differ between two fits, as far as both are known; empty where none does."""
    before, after = (dict(_read(record.facts.versions or "")) for record in (then, now))
    return ", ".join(
        f"{name} {number}, now {after[name]}"
        for name, number in before.items()
        if after.get(name, number) != number
    )  # fmt: skip


def mixed_versions(records: Iterable[FoldRecord], coming: str | None = None) -> str:
    """The packages of several versions: `timm 1.0.20 (12 fits), 1.0.31 (3 fits)`; empty where there is none.

    coming: the versions of fits to come.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        for package, number in _read(record.facts.versions or ""):  # an old fit does not say
            counts.setdefault(package, Counter())[number] += 1
    now = dict(_read(coming or ""))
    found = []
    for package, numbers in counts.items():
        new = now.get(package, next(iter(numbers)))
        if len({*numbers, new}) > 1:
            made = ", ".join(f"{number} ({_number(count)})" for number, count in numbers.most_common())
            found.append(f"{package} {made}{'' if new in numbers else f', now {new}'}")
    return " and ".join(found)


def _devices(states: Iterable[ScenarioState]) -> Counter[str]:
    """How many fits were made on each device; with the precision where `auto` came to more than one."""
    fits = [(settings, record.facts) for settings, record in _fits(states)]
    several = len({facts.precision for settings, facts in fits if _is_auto(settings)}) > 1
    told = [f" in {facts.precision}" if several and _is_auto(settings) else "" for settings, facts in fits]
    return Counter(f"{facts.device}{precision}" for (_, facts), precision in zip(fits, told, strict=True))


def _is_auto(settings: Settings) -> bool:
    return settings.precision == "auto" and settings.backbone not in CLASSIFIERS


def _fits(states: Iterable[ScenarioState]) -> Iterator[tuple[Settings, FoldRecord]]:
    """Every fit once, though its scenario may stand in several stages."""
    found = {job: (s.scenario.settings, record) for s in states for job, record in s.records.items()}
    yield from found.values()


def _records(states: Iterable[ScenarioState]) -> Iterator[FoldRecord]:
    return (record for _, record in _fits(states))


def _number(count: int) -> str:
    return f"{count} fit{'s' * (count != 1)}"


def _read(text: str) -> Iterator[tuple[str, str]]:
    """The pairs of `torch 2.10.0, timm 1.0.31`."""
    for part in text.split(", ") if text else ():
        package, _, number = part.rpartition(" ")
        yield package, number

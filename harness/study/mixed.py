"""Detect fits of one study by other code, other versions of packages or on other devices; refuse or mark them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.errors import HarnessError
from harness.store.results import FoldRecord
from harness.study.allowed import CLASSIFIERS
from harness.study.number_words import number_of
from harness.study.provenance import decisive_code
from harness.study.scenario_state import ScenarioState
from harness.study.settings import Settings


def require_one_version(states: Iterable[ScenarioState], allowed: bool, coming: str | None = None) -> None:
    """Raise HarnessError where different versions made fits of one table, unless that is allowed.

    coming: the versions of the fits that are still missing.
    """
    if not allowed and (found := mixed_versions(_records(states), coming)):
        raise HarnessError(
            f"packages that affect the numbers have changed since fits of this study were made ({found}), and no table"
            " mixes versions by default: continue with the versions that made them, start again in another --store, or"
            " give --mixed-versions, which marks every table and figure"
        )


def require_one_code(states: Iterable[ScenarioState], coming: str | None = None) -> None:
    """Raise HarnessError if fits of one table were made by different code: a table never mixes code.

    coming: the code of the fits that are still to be made.
    """
    codes = Counter(r.facts.code for state in states for r in state.records.values() if r.facts.code is not None)
    if len({*codes, *([coming] if coming else [])}) > 1:
        found = ", ".join(f"{count} by {code}" for code, count in codes.items())
        raise HarnessError(
            f"code that decides numbers has changed since fits of this study were made"
            f" ({found}{f'; now it is {coming}' if coming else ''}), and one table never mixes code: continue with the"
            f" code that made them, or start again in another --store. The code is {decisive_code()}"
        )


def fit_marks(states: Iterable[ScenarioState]) -> list[str]:
    """The marks of tables and figures with these fits: MIXED VERSIONS, MIXED DEVICES; empty where they agree."""
    states = list(states)
    versions = mixed_versions(_records(states))
    places = [f"{_number(count)} on {device}" for device, count in _devices(states).most_common()]
    return [
        *([f"MIXED VERSIONS: {versions}"] if versions else []),
        *([f"MIXED DEVICES: {', '.join(places)}"] if len(places) > 1 else []),
    ]


def changed_versions(then: FoldRecord, now: FoldRecord) -> str:
    """The packages whose versions differ between two fits, as far as both are known; empty where none differ."""
    before, after = (dict(_read(record.facts.versions or "")) for record in (then, now))
    return ", ".join(
        f"{name} {number}, now {after[name]}"
        for name, number in before.items()
        if after.get(name, number) != number
    )  # fmt: skip


def mixed_versions(records: Iterable[FoldRecord], coming: str | None = None) -> str:
    """The packages of several versions: `timm 1.0.20 (12 fits), 1.0.31 (3 fits)`; empty where there is none.

    coming: the versions of the fits that are still missing.
    """
    counts: dict[str, Counter[str]] = {}
    for record in records:
        for package, number in _read(record.facts.versions or ""):  # None in old records
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
    """The number of fits by device; with the precision where `auto` resolved to several."""
    fits = [(settings, record.facts) for settings, record in _fits(states)]
    several = len({facts.precision for settings, facts in fits if _is_auto(settings)}) > 1
    precisions = [f" in {facts.precision}" if several and _is_auto(settings) else "" for settings, facts in fits]
    return Counter(f"{facts.device}{precision}" for (_, facts), precision in zip(fits, precisions, strict=True))


def _is_auto(settings: Settings) -> bool:
    return settings.precision == "auto" and settings.backbone not in CLASSIFIERS


def _fits(states: Iterable[ScenarioState]) -> Iterator[tuple[Settings, FoldRecord]]:
    """Every fit once, even if its scenario is in several stages."""
    found = {job: (s.settings, record) for s in states for job, record in s.records.items()}
    yield from found.values()


def _records(states: Iterable[ScenarioState]) -> Iterator[FoldRecord]:
    return (record for _, record in _fits(states))


def _number(count: int) -> str:
    return number_of(count, "fit")


def _read(text: str) -> Iterator[tuple[str, str]]:
    """Parse `torch 2.10.0, timm 1.0.31` into pairs."""
    for part in text.split(", ") if text else ():
        package, _, number = part.rpartition(" ")
        yield package, number

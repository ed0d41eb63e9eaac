"""What is known of looks at a study's test images, and of fits that were made again: words for beside the numbers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar

from harness.data.inputs import Workspace
from harness.report.numbers.records import Finding, Statistics
from harness.store.check_looks import check_entries
from harness.store.checked import DIFFERS
from harness.store.looks import FittedAgain, Look, Seen
from harness.study.scenario_state import ScenarioState
from harness.study.state import look_key, study_version

LOOKS = "looks at the test set"  # the kind of these findings
MAX_NAMES = 3
TIMES = {1: "once", 2: "twice"}
Value = TypeVar("Value")


@dataclass(frozen=True)
class LookHistory:
    """The looks at the test images of a study, with its scenarios and those of them that were scored."""

    workspace: Workspace
    scenarios: Sequence[ScenarioState]
    tests: Sequence[ScenarioState]

    @cached_property
    def findings(self) -> list[Finding]:
        """The count of looks and the warnings; empty where nothing was scored."""
        if not any(test.finished for test in self.tests):
            return []
        return [Finding(kind=LOOKS, text=text) for text in (self.count, *self.warnings)]

    @property
    def line(self) -> str:
        """The findings as one line; empty where nothing was scored."""
        return "; ".join(finding.text for finding in self.findings)

    @cached_property
    def seen(self) -> Seen:
        """The looks that are known on this machine."""
        return self.workspace.ledger.looks.seen(self.workspace.inputs.dataset)

    @property
    def count(self) -> str:
        """The number of looks on this machine, or that only those of this store are known."""
        if self.seen.machine is None:
            return "counted in this store only"
        same = [look for look in self.seen.machine if look.same]
        part = len(self.seen.machine) - len(same)
        by = f"by {_number(len({look.study for look in same}), 'study', 'studies')}"
        stores = f"in {_number(self.seen.stores, 'store', 'stores')} on this machine"
        more = f", and {part} more at some of them" if part else ""
        day = datetime.fromtimestamp(self.seen.counted, UTC).date()
        return f"{_number(len(same), 'look', 'looks')} at these test images {by} {stores}{more} (counted on {day})"

    @property
    def warnings(self) -> list[str]:
        """What makes the numbers on the test set less than they seem."""
        return [*self._seeds(), *self._versions(), *self._fitted_again(), *self._changed()]

    @cached_property
    def _version(self) -> str:
        return study_version(self.workspace.study, self.workspace.inputs.digests)

    def _seeds(self) -> Iterable[str]:
        seed = self.workspace.study.seed
        tried = _in_order(self.seen.all, lambda look: look.seed if look.version == self._version else None, seed)
        if len(tried) > 1:
            listed = ", ".join(map(str, tried))
            yield f"seed {tried.index(seed) + 1} of {len(tried)} tried on this test set (in this order: {listed})"

    def _versions(self) -> Iterable[str]:
        name = self.workspace.study.study
        tried = _in_order(self.seen.all, lambda look: look.version if look.study == name else None, self._version)
        if len(tried) > 1:
            nth = _ordinal(tried.index(self._version) + 1)
            yield f"{nth} version of this study that was scored on these images, of {len(tried)}"

    def _fitted_again(self) -> Iterable[str]:
        names = {job.id: f"{s.name}, {job.name}" for s in (*self.scenarios, *self.tests) for job in s.scored_jobs}
        again = self.workspace.ledger.looks.again(names)
        keys = {look_key(test) for test in self.tests}
        scored = min((_place(look) for look in self.seen.here if look.key in keys), default=None)
        late = [fit for fit in again if scored is not None and _place(fit) > scored]
        for when, fits in (("after", late), ("before", [fit for fit in again if fit not in late])):
            if fits:
                listed = list(dict.fromkeys(names[fit.job] for fit in fits))
                more = f", and {len(listed) - MAX_NAMES} more" if len(listed) > MAX_NAMES else ""
                times = TIMES.get(len(fits), f"{len(fits)} times")
                yield f"fitted again {times} {when} it was scored ({'; '.join(listed[:MAX_NAMES])}{more})"

    def _changed(self) -> Iterable[str]:
        wrong = [found for found in check_entries(self.workspace.ledger.looks) if found.verdict == DIFFERS]
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            yield f"THE LEDGER OF LOOKS WAS CHANGED ({wrong[0].what}: {wrong[0].words}{more})"


def look_words(statistics: Statistics) -> str:
    """The findings on looks in Markdown: the count, and each warning in bold; empty where nothing was scored."""
    found = [finding.text[:1].upper() + finding.text[1:] for finding in statistics.findings if finding.kind == LOOKS]
    return " ".join([*(f"{text}." for text in found[:1]), *(f"**{text}.**" for text in found[1:])])


def _in_order(looks: Iterable[Look], value: Callable[[Look], Value | None], own: Value) -> list[Value]:
    """The different values of looks in the order of their first ones, and the study's own."""
    found = dict.fromkeys(each for look in looks if (each := value(look)) is not None)
    return list(dict.fromkeys([*found, own]))


def _place(entry: Look | FittedAgain) -> int:
    """The number of an entry in its ledger; 0 where an older version recorded it, before all others."""
    return entry.number or 0


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 22nd."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"

"""The studies that are compared: of each the scenario that it stands for, and the metric that all are compared by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.data.inputs import Workspace
from harness.errors import StudyError
from harness.report.numbers.marks import Marks, marks_of
from harness.store.reports import ID_DIGITS
from harness.study.messages import unknown
from harness.study.number_words import number_of
from harness.study.scenario_state import ScenarioState
from harness.study.stage import DEFAULT_MARGIN, Select
from harness.study.state import StageState, StudyState

Opened = tuple[Workspace, StudyState]


@dataclass(frozen=True)
class StudySide:
    """A study with fits that are done, and the scenario that stands for it.

    chosen_from: the number of scenarios whose numbers were seen when it was chosen.
    """

    label: str
    workspace: Workspace
    state: StudyState
    chosen: ScenarioState
    chosen_from: int
    select: Select

    @cached_property
    def marks(self) -> Marks:
        """Why its numbers are less than they seem."""
        return marks_of(self.workspace.study, self.state, self.workspace.inputs.dataset.synthetic)

    @property
    def mark(self) -> str | None:
        """The mark of the numbers of its scenario on the folds."""
        return self.marks.scenario(self.chosen.settings)


def sides_of(opened: Sequence[Opened], wanted: Mapping[str, str], metric: str | None = None) -> list[StudySide]:
    """The sides of a comparison. wanted: the label of a study -> the name or id of its scenario, not the selected one.

    metric: instead of the one that the studies select by. Raises StudyError where they cannot be compared at all.
    """
    if len(opened) < 2:
        raise StudyError("compare takes two studies or more; the scenarios of one are compared in its report")
    labels = _labels([workspace for workspace, _ in opened])
    for name in wanted:
        if name not in labels:
            raise StudyError(f"--scenario {name}=...: {unknown('study', name, labels)}")
    sides = [_side(label, *one, wanted.get(label)) for label, one in zip(labels, opened, strict=True)]
    _require_one_unit(sides)
    return [_with_metric(side, metric or _one_metric(sides)) for side in sides]


def ranking_side(label: str, workspace: Workspace, state: StudyState) -> StudySide | None:
    """A study whose finished scenarios are ranked, whichever it selects; None where none is finished."""
    finished = [scenario for scenario in state.scenarios if scenario.finished]
    if not finished:
        return None
    best = [stage.best for stage in state.stages if stage.best is not None and stage.best.finished]
    return StudySide(label, workspace, state, best[-1] if best else finished[0], len(finished), _select_of(state))


def _labels(workspaces: Sequence[Workspace]) -> list[str]:
    """The names of the studies, with their ids where two have the same name."""
    ids = Counter(workspace.identity for workspace in workspaces)
    names = Counter(workspace.study.study for workspace in workspaces)
    for workspace in workspaces:
        if ids[workspace.identity] > 1:
            name = workspace.study.study
            raise StudyError(f"{name} is given twice; the scenarios of one study are compared in its report")
    return [
        w.study.study if names[w.study.study] == 1 else f"{w.study.study}-{w.identity[:ID_DIGITS]}" for w in workspaces
    ]


def _side(label: str, workspace: Workspace, state: StudyState, wanted: str | None) -> StudySide:
    if wanted is not None:
        finished = [scenario for scenario in state.scenarios if scenario.finished]
        chosen = next((each for each in finished if wanted in (each.id, each.name)), None)
        if not finished:
            raise StudyError(f"--scenario {label}={wanted}: {label} has no finished scenario yet; {_FIRST}")
        if chosen is None:
            words = unknown("finished scenario", wanted, [each.name for each in finished])
            raise StudyError(f"--scenario {label}={wanted}: {words}")
        stage = next(s for s in reversed(state.stages) if chosen.id in {each.id for each in s.scenarios})
        return StudySide(label, workspace, state, chosen, len(finished), stage.stage.select or _select_of(state))
    stage = _selecting(label, state)
    best, select = stage.best, stage.stage.select
    if best is None or select is None:
        raise StudyError(f"{label}: stage {stage.stage.name} has no scenario that can be selected; name one by {_FORM}")
    return StudySide(label, workspace, state, best, len(stage.competing), select)


_FORM = "--scenario STUDY=NAME"
_FIRST = "first run: harness run STUDY"


def _selecting(label: str, state: StudyState) -> StageState:
    """The last stage that selects. Raises StudyError where it is not finished, or none selects."""
    selecting = [stage for stage in state.stages if stage.stage.select]
    if not selecting:
        raise StudyError(f"{label}: no stage selects a scenario; name one by {_FORM}")
    if not selecting[-1].finished:
        missing, name = len(selecting[-1].missing), selecting[-1].stage.name
        what = f"stage {name} lacks {number_of(missing, 'fit')}" if missing else f"stage {name} was not begun"
        raise StudyError(f"{label}: {what}; {_FIRST}, or name a finished scenario by {_FORM}")
    return selecting[-1]


def _select_of(state: StudyState) -> Select:
    """How the study selects; by accuracy where no stage of it does."""
    found = [stage.stage.select for stage in state.stages if stage.stage.select]
    return found[-1] if found else Select()


def _require_one_unit(sides: Sequence[StudySide]) -> None:
    words = {side.label: side.workspace.unit.words for side in sides}
    if len(set(words.values())) > 1:
        each = "; ".join(f"{label}: {word}" for label, word in words.items())
        raise StudyError(
            f"the numbers are about other units ({each}); numbers about the same are compared: run again with"
            " the same unit and combine in both study files"
        )


def _one_metric(sides: Sequence[StudySide]) -> str:
    metrics = {side.label: side.select.metric for side in sides}
    if len(set(metrics.values())) > 1:
        each = ", ".join(f"{label} by {metric}" for label, metric in metrics.items())
        raise StudyError(f"the studies select by other metrics ({each}); name one for all: --metric val/accuracy")
    return sides[0].select.metric


def _with_metric(side: StudySide, metric: str) -> StudySide:
    """The side with the metric of the comparison. Raises StudyError where its fits do not have it."""
    if f"{metric}_mean" not in side.chosen.summary:
        known = [name.removesuffix("_mean") for name in side.chosen.summary if name.endswith("_mean")]
        raise StudyError(f"{side.label}: {unknown('metric', metric, known)}")
    if metric == side.select.metric:
        return side
    select = Select.model_construct(metric=metric, rule="best", cost=side.select.cost, margin=side.select.margin)
    return StudySide(side.label, side.workspace, side.state, side.chosen, side.chosen_from, select)


def margin_of(sides: Sequence[StudySide]) -> float:
    """The region of equivalence of a comparison: the smallest of the studies'."""
    return min((side.select.margin for side in sides), default=DEFAULT_MARGIN)

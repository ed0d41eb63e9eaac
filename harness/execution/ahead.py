"""What is not planned yet: the scenarios of stages that wait for a winner, and the fits for the test set."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.data.inputs import Inputs, Workspace
from harness.data.nested_folds import NestedFolds
from harness.study.identity import Digests
from harness.study.nested import NestedDigests
from harness.study.plan import Job, Scenario, fold_jobs, further_refits, test_jobs
from harness.study.settings import ResolvedSettings
from harness.study.stage import Stage
from harness.study.state import StageState, StudyState

# of a winner: what the cost of the scenarios depends on that start from it
DEAR = (
    "backbone", "trainable", "image_size", "batch_size", "precision", "augment", "head", "dropout", "epochs",
    "oversampling", "oversampling_ratio", "undersampling", "train_share", "tta",
)  # fmt: skip


@dataclass(frozen=True)
class Ahead:
    """Fits that the study will come to, as they may turn out: one choice for each winner that may be selected."""

    name: str  # a stage's, or `test set`
    choices: Sequence[list[Job]]  # those that are not done
    inputs: Inputs  # with the folds that these fits are of


def stages_ahead(workspace: Workspace, state: StudyState) -> Iterator[tuple[Stage, list[StageState]]]:
    """Every stage with the states that it may have: one where it does not wait, else one for each possible winner.

    Winners of equal cost, as far as DEAR goes, stand for each other.
    """
    starts: list[Scenario | None] = [None]
    for stage in state.stages:
        states = [stage] if not stage.waits_for else [workspace.reader.stage(stage.stage, start) for start in starts]
        yield stage.stage, states
        if stage.stage.select:
            winners = [stage.best] if stage.finished and stage.best else [s for each in states for s in each.competing]
            starts = [*{_dear(winner.settings): winner.scenario for winner in winners}.values()]


def fits_ahead(workspace: Workspace, state: StudyState) -> list[Ahead]:
    """The fits of stages that wait, and of the test set, in the order of the study; empty where there are none."""
    study, done, tests = workspace.study, workspace.ledger.done, list[Ahead]()
    found: list[Ahead] = []
    every = [*stages_ahead(workspace, state)]
    for stage, states in every:
        if len(states) > 1 or states[0] not in state.stages:
            found.append(Ahead(stage.name, [each.missing for each in states], workspace.inputs))
        if study.test and stage.name in study.test.stages and workspace.has_test:
            choices = [jobs for each in states for jobs in _tested(workspace, each)]
            missing = [[j for j in jobs if not done(j.id)] for jobs in choices]
            tests.append(Ahead(f"test set, {stage.name}", missing, workspace.inputs))
    for digests, nested in zip(workspace.reading(workspace.unit).nested, workspace.inputs.nested, strict=True):
        found += _nested(workspace, every, digests, nested)
    return [ahead for ahead in (*found, *tests) if any(ahead.choices)]


def _nested(
    workspace: Workspace, every: Sequence[tuple[Stage, list[StageState]]], of: NestedDigests, nested: NestedFolds
) -> Iterator[Ahead]:
    """The fits of a nested selection: of each stage up to it on the inner folds, and of what is selected by them.

    As if the same scenarios went on without an outer fold as in the study; what one takes is much the same whichever.
    """
    study, digests, done = workspace.study, workspace.inputs.digests, workspace.ledger.done
    inner = [replace(digests, folds=outer.inner) for outer in of.outer]
    outer = replace(digests, folds={(0, number): fold.outer for number, fold in enumerate(of.outer)})
    of_inner, of_outer = (replace(workspace.inputs, folds=folds) for folds in (nested.folds[0].inner, nested.outer))

    def missing(scenarios: Iterable[Scenario], each: Iterable[Digests]) -> list[Job]:
        jobs = (job for found in each for scenario in scenarios for job in fold_jobs(study, scenario, found))
        return [job for job in jobs if not done(job.id)]

    for stage, states in every[: [stage.name for stage, _ in every].index(of.stage) + 1]:
        choices = [missing([s.scenario for s in state.scenarios], inner) for state in states]
        yield Ahead(f"nested in stage {of.stage}, {stage.name}", choices, of_inner)
        if stage.name == of.stage:
            winners = [s for state in states for s in state.competing]
            dear = {_dear(s.settings): s.scenario for s in winners}.values()
            yield Ahead(f"nested in stage {of.stage}, refits", [missing([s], [outer]) for s in dear], of_outer)


def _tested(workspace: Workspace, state: StageState) -> Iterator[list[Job]]:
    """The jobs for the test set by each choice: of the winner, or of each scenario that may be it; or of all."""
    study = workspace.study
    if study.test and study.test.scenarios == "all":
        scenarios = [[each.scenario for each in state.scenarios]]
    elif state.finished and state.best:
        scenarios = [[state.best.scenario]]
    else:
        scenarios = [[each.scenario] for each in {_dear(each.settings): each for each in state.competing}.values()]
    for chosen in scenarios:
        make = (test_jobs, further_refits)
        yield [job for scenario in chosen for jobs in make for job in jobs(study, scenario, workspace.inputs.digests)]


def _dear(settings: ResolvedSettings) -> tuple[object, ...]:
    return tuple(getattr(settings, name) for name in DEAR)

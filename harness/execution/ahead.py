"""What is not planned yet: the scenarios of stages that wait for a winner, and the fits for the test set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.data.inputs import Workspace
from harness.study.plan import Job, Scenario, further_refits, test_jobs
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
    for stage, states in stages_ahead(workspace, state):
        if len(states) > 1 or states[0] not in state.stages:
            found.append(Ahead(stage.name, [each.missing for each in states]))
        if study.test and stage.name in study.test.stages and workspace.has_test:
            choices = [jobs for each in states for jobs in _tested(workspace, each)]
            tests.append(Ahead(f"test set, {stage.name}", [[j for j in jobs if not done(j.id)] for jobs in choices]))
    return [ahead for ahead in (*found, *tests) if any(ahead.choices)]


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

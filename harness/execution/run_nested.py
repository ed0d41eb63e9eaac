"""Fits what nested selections lack: outer fold after outer fold, each as the study itself goes, from stage to stage."""

from collections.abc import Callable, Collection, Sequence

from harness.data.folds import Fold
from harness.data.inputs import Workspace
from harness.data.nested_folds import OuterFold
from harness.study.nested import NestedDigests, NestedState
from harness.study.plan import Job

FitOn = Callable[[str, Collection[Job], Sequence[Fold]], None]  # fits jobs of these folds, under a name


def run_nested(workspace: Workspace, fit: FitOn, say: Callable[[str], None]) -> tuple[NestedState, ...]:
    """Fit what the nested selections lack, and return their states. The test set takes no part."""
    for of, nested in zip(workspace.reading(workspace.unit).nested, workspace.inputs.nested, strict=True):
        for number, fold in enumerate(nested.folds):
            _run_outer(workspace, of, fold, fit)
            refit = workspace.reader.outer(of, number).refit
            if refit is not None:
                say(f"stage {of.stage}, without outer fold {number}: {refit.name} is selected")
    return workspace.reader.nested()


def _run_outer(workspace: Workspace, of: NestedDigests, fold: OuterFold, fit: FitOn) -> None:
    """Fit what one outer fold lacks: each winner brings new jobs. A job that fails is tried once."""
    number, tried = fold.outer.fold, set[str]()
    while True:
        state = workspace.reader.outer(of, number)
        jobs = [job for job in state.missing if job.id not in tried]
        if not jobs:
            return
        # nothing is refitted before all inner fits are done
        where, folds = ("without", fold.inner) if state.refit is None else ("scored on", [fold.outer])
        fit(f"stage {of.stage}, {where} outer fold {number}", jobs, folds)
        tried |= {job.id for job in jobs}

"""The best scenario of a search as a separate study, on fresh folds with fresh seeds, and its score there."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import yaml

from harness.data.inputs import Workspace
from harness.search.trials import TrialResult
from harness.store.files import write_atomic
from harness.store.reports import ID_DIGITS
from harness.study import Study, load_study
from harness.study.identity import derive_seed, search_id
from harness.study.rehearsal import rehearsal
from harness.study.search_block import Confirm

BEST_STUDY_HEADER = """\
# Written by `harness search`: the best scenario of study {study}, on folds and with seeds that the
# search did not see. Confirm it: harness run {name} (with the --data and --store of the search)
"""


@dataclass(frozen=True)
class Confirmed:
    """The score of the best scenario on fresh folds."""

    mean: float
    fold_sd: float
    repeat_means: tuple[float, ...]
    folds: int


def write_best_study(workspace: Workspace, best: TrialResult) -> tuple[Path, Study]:
    """Write the study of the best scenario, and return its file and the study.

    That of a variant by `--set` has a name of its own, so that it never takes the place of another search's.
    """
    study, store = workspace.study, workspace.store
    repeats = (study.searched.confirm or Confirm()).repeats
    objective, less = study.searched.objective, rehearsal(study)
    words = f"Trial {best.slot} of the search of {study.study}: {objective.metric} {best.value:.4f} there."
    own = f"-{search_id(study, workspace.inputs.digests)[:ID_DIGITS]}" if study.is_variant else ""
    path = store.root / "searches" / f"{study.study}-best{own}.yaml"
    content = {
        "study": f"{study.study[: 59 - len(own)]}-best{own}",
        "description": f"{words} That search was a rehearsal: {', '.join(less)}." if less else words,
        "seed": derive_seed("confirm", study.seed),
        "data": study.data.model_dump(exclude_defaults=True),
        "folds": {**study.folds.model_dump(), "repeats": repeats, "seed": derive_seed("confirm", study.folds.seed)},
        "base": best.scenario.settings.model_dump(),
        "stages": [{"name": "confirm"}],
    }
    text = BEST_STUDY_HEADER.format(study=study.study, name=path.name) + yaml.safe_dump(
        content, sort_keys=False, width=100
    )
    write_atomic(path, text.encode())
    return path, load_study(path)


def confirmed(best: Workspace, metric: str) -> Confirmed | None:
    """The score of the best scenario on fresh folds, from the ledger; None until all of its fits are done."""
    (state,) = best.reader.read().stages
    if not state.finished:
        return None
    (scenario,) = state.scenarios
    repeats: dict[int, list[float]] = {}
    for job in scenario.jobs:
        repeats.setdefault(job.repeat, []).append(scenario.records[job.id].metrics[metric])
    folds = [value for values in repeats.values() for value in values]
    return Confirmed(mean(folds), stdev(folds), tuple(mean(values) for values in repeats.values()), len(folds))

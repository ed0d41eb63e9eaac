"""The earlier searches of a study in Optuna's database, and what they searched otherwise than this one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from harness.data.inputs import Workspace
from harness.data.variants import field_differences
from harness.search.queue import REUSED, Queue, has_ended
from harness.study import Study
from harness.study.identity import Digests
from harness.study.types import OWN_METRICS, own_names

ASKED = "harness.search"  # user attribute of an Optuna study: what is searched, on which inputs
DECISIVE = {"study", "seed", "data", "folds", "base", "search", "metrics"}
PATHS = {"data": {"path"}, "base": {"weights"}}  # of one machine; their content is in the digests


@dataclass(frozen=True)
class EarlierSearch:
    """Another search of a study of this name. asked: None where an earlier version of the harness did not record it."""

    id: str
    asked: Study | None
    inputs: Mapping[str, str]
    trials: list[FrozenTrial]  # without the waiting ones, and those that it reuses from another one here

    def differences(self, workspace: Workspace) -> str:
        """What was searched otherwise than this study asks, dotted."""
        if self.asked is None:
            return "what it searched was not recorded"
        if words := field_differences(_content(workspace.study), _content(self.asked)):
            return words
        now = _inputs(workspace.inputs.digests)
        return f"other {' and '.join(name for name, value in now.items() if self.inputs.get(name) != value)}"

    def shares_inputs(self, workspace: Workspace) -> bool:
        """Whether its trials were fitted on the same pixels and folds, and with the same seed."""
        now, study = _inputs(workspace.inputs.digests), workspace.study
        if self.asked is None or any(self.inputs.get(name) != now[name] for name in ("images", "folds")):
            return False
        asked = self.asked
        return (asked.seed, asked.data.pixel_rules) == (study.seed, study.data.pixel_rules)


def describe(workspace: Workspace, queue: Queue) -> None:
    """Record in Optuna's database what this search searches, for a later one of another space."""
    inputs = _inputs(workspace.inputs.digests)
    queue.describe(ASKED, {"study": _content(workspace.study), "inputs": inputs})


def earlier_searches(study: str, queue: Queue) -> list[EarlierSearch]:
    """The other searches of a study of this name that have trials, the oldest first."""
    ids = {other: other.study_name.rpartition("-")[2] for other in queue.others(study)}
    found = []
    for other, search_id in ids.items():
        trials = [t for t in other.get_trials(deepcopy=False) if _counts(t) and origin(t) not in ids.values()]
        asked = other.user_attrs.get(ASKED, {})
        found.append(EarlierSearch(search_id, _study(asked.get("study")), asked.get("inputs", {}), trials))
    return [search for search in found if search.trials]


def origin(trial: FrozenTrial) -> str | None:
    """The id of the search from which a trial was reused; None where it was not."""
    found: str | None = trial.user_attrs.get(REUSED)
    return found and found.partition(":")[0]


def _counts(trial: FrozenTrial) -> bool:
    return has_ended(trial) or trial.state == TrialState.RUNNING


def _content(study: Study) -> dict[str, Any]:
    return study.model_dump(mode="json", include=DECISIVE, exclude=PATHS)


def _inputs(digests: Digests) -> dict[str, str]:
    """The digests of what a search reads, by words for the user."""
    weights = ", ".join(sorted(set(digests.weights.values())))
    heads = ", ".join(f"{name} {value}" for name, value in sorted(digests.heads.items()))
    return {"images": digests.manifest, "folds": digests.all_folds, "weights": weights, "heads": heads}


def _study(content: object) -> Study | None:
    """The recorded study; None where another version of the harness wrote what this one cannot read."""
    if not isinstance(content, dict):
        return None
    try:
        known = {OWN_METRICS: own_names(content.get("metrics"))}
        return Study.model_validate({**content, "stages": [{"name": "base"}]}, context=known)
    except ValueError:  # of pydantic
        return None

"""The plan of a study as JSON, for scripts."""

from dataclasses import asdict
from typing import Any

from harness.data.inputs import Workspace
from harness.data.patient_counts import class_counts
from harness.data.subgroups import group_counts
from harness.execution.costs import Costs
from harness.report.numbers.marks import study_marks
from harness.study.nested import NestedState
from harness.study.state import StageState, StudyState
from harness.training.preflight import Networks


def outline(workspace: Workspace, state: StudyState, networks: Networks, costs: Costs | None) -> dict[str, Any]:
    """The content of `plan`: data, folds, networks, stages with scenarios and jobs, and the cost of what is left."""
    study, inputs = workspace.study, workspace.inputs
    dataset, shared = inputs.dataset, inputs.separation
    return {
        "study": study.study,
        "synthetic": dataset.synthetic,
        "marks": study_marks(study, dataset.synthetic),
        "data": [
            {"split": split, "class": label, "images": images, "patients": patients if patients != "unknown" else None}
            for split, label, images, patients in class_counts(dataset).to_numpy().tolist()
        ],
        **({"subgroups": group_counts(workspace.groups, dataset).to_dict("records")} if study.subgroups else {}),
        **({"unit": study.unit, "combine": study.combine} if study.unit == "patient" else {}),
        "left_out": [asdict(left) | {"lost": left.lost, "text": str(left)} for left in dataset.left_out],
        "manifest": inputs.digests.manifest,
        "folds": {"digest": inputs.digests.all_folds, "count": len(inputs.folds), "grouped": shared.facts()["grouped"]},
        "separation": shared.facts(),
        "networks": [
            asdict(network)
            | {key: value for key, value in asdict(verdict).items() if key not in ("problem", "setting")}
            for network, verdict in networks.found.items()
        ],
        "stages": [_stage(stage) for stage in state.stages],
        **({"nested": [_nested(nested) for nested in state.nested]} if state.nested else {}),
        "cost": None
        if costs is None
        else asdict(costs) | {"seconds": costs.seconds, "most_seconds": costs.most_seconds, "disk_bytes": costs.disk},
    }


def _nested(state: NestedState) -> dict[str, Any]:
    outer = [
        {"fold": number, "finished": fold.finished, "selected": fold.refit.scenario.id if fold.refit else None}
        for number, fold in enumerate(state.outer)
    ]
    return {"stage": state.stage.name, "fits": state.planned, "done": state.done, "outer": outer}


def _stage(state: StageState) -> dict[str, Any]:
    return {
        "name": state.stage.name,
        "waits_for": state.waits_for,
        "winner": state.best.id if state.finished and state.best else None,
        "scenarios": [
            {
                "name": s.name,
                "id": s.id,
                "settings": s.settings.model_dump(mode="json"),
                "jobs": [{"id": job.id, "name": job.name, "done": job.id in s.records} for job in s.jobs],
            }
            for s in state.scenarios
        ],
    }

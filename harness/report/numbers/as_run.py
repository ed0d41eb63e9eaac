"""The settings of scenarios as they were run: each value as the study gives it, and what it was resolved to."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.inputs import Inputs
from harness.data.patient_counts import PATIENTS_UNKNOWN, UNKNOWN
from harness.data.separation import Separation
from harness.study import Study
from harness.study.allowed import VIEWS
from harness.study.identity import PIXEL_FIELDS
from harness.study.number_words import number_of
from harness.study.scenario_state import ScenarioState
from harness.study.settings import RECIPE, SCORING, Settings, level_text
from harness.study.subgroups import subgroup_words

NOT_IN_OLDER_REPORTS = (  # where all have the default
    "loss", "preprocessing", "prior_correction", "recipe", "train_share", "undersampling", *RECIPE, *SCORING,
)  # fmt: skip
NOT_SETTINGS = {"study", "description", "base", "stages", "search", "paper", "checkpoint_every"}


@dataclass(frozen=True)
class Used:
    """A setting of one scenario. as_run: what its value was resolved to; empty where the value says it all."""

    value: str
    as_run: str = ""


def scenario_settings(study: Study, inputs: Inputs, state: ScenarioState) -> dict[str, Used]:
    """Every field of the settings of a scenario, by name."""
    settings = state.settings
    resolved = {
        "weights": inputs.digests.weights[settings.backbone, settings.weights],
        "epochs": _epochs(state),
        "batch_size": _batches(state),
        "precision": _counted(record.facts.precision for record in state.records.values()),
        "select_epoch": _selected(state),
        "oversampling": inputs.digests.heads.get(settings.oversampling, ""),
        "head": inputs.digests.heads.get(settings.head, "") or chosen_words(state),
        "loss": inputs.digests.heads.get(settings.loss, ""),
        "optimizer": inputs.digests.heads.get(settings.optimizer, ""),
    }
    return {
        name: _used(_text(name, study.as_written(getattr(settings, name))), resolved.get(name, ""))
        if settings.uses(name)
        else Used("-")
        for name in Settings.model_fields
        if name not in NOT_IN_OLDER_REPORTS or _is_used(study, name)
    }


def _is_used(study: Study, name: str) -> bool:
    """Whether a setting is not at its default somewhere in the study."""
    return any(getattr(settings, name) != Settings.model_fields[name].default for _, settings in study.settings())


def study_settings(study: Study, inputs: Inputs) -> dict[str, Used]:
    """The settings of the whole study: data, folds, test, seed; named as in the study file."""
    dataset, shared = inputs.dataset, inputs.separation
    train, test = (len(dataset.rows(split)) for split in ("train", "test"))
    resolved = {
        "data.source": "synthetic images" if dataset.synthetic else "",
        "data.positive": dataset.positive or "none: means over the classes",
        "data.patient": _patients(study, shared),
        "folds.grouped": "" if shared.known else UNKNOWN,
        "data.limit": f"{train:,} training and {test:,} test images" if study.data.limit else "",
        "data.on_bad_image": f"{len(dataset.skipped.reasons):,} left out" if dataset.skipped else "",
    }
    content = study.model_dump(mode="json", exclude=NOT_SETTINGS)
    del content["data"]["image_size"]  # that of the scenarios says it
    if study.unit == "patient":
        content["combine"] = study.combine  # also where it is the default
    if study.subgroups:
        content["subgroups"] = list(map(subgroup_words, study.subgroups))
    if study.data.source != "phantom":
        del content["data"]["phantom"]
    if study.data.source != "table":
        del content["data"]["columns"]
    for block, name, default in (("data", "links", "refuse"), ("folds", "by", "random")):
        if content[block][name] == default:  # as older reports have it
            del content[block][name]
    for name in PIXEL_FIELDS - study.data.pixel_rules.changed.keys():
        del content["data"][name]  # the default, as older reports have it
    return {
        name: _used(_text(name, study.as_written(value)), resolved.get(name, ""))
        for name, value in _flat(content)
        if value is not None or resolved.get(name)
    }


def _patients(study: Study, shared: Separation) -> str:
    """How many patients the rule finds, and why it is doubtful."""
    if shared.counts is None:
        return PATIENTS_UNKNOWN
    whose = " by the phantoms' own rule" if study.data.source == "phantom" and study.data.patient is None else ""
    return "; ".join([f"{shared.counts.patients:,} patients of the training images{whose}", *shared.doubts])


def _used(value: str, as_run: str) -> Used:
    return Used(value, "" if as_run == value else as_run)


def _flat(content: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value != []:
            yield f"{prefix}{name}", value


def _text(name: str, value: Any) -> str:
    if name == "weights":
        return Path(value).name  # the rest of the path is of one machine; the digest says which file it was
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else ", ".join(map(level_text, value)) if isinstance(value, list) else level_text(value)


def _counted(values: Iterable[str]) -> str:
    """The different values, each with its number of fits where there are several."""
    counts = Counter(values).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{value} ({number_of(n, 'fit')})" for value, n in counts)


def _span(numbers: Sequence[int]) -> str:
    """The numbers as `3` or `2 to 5`; empty where there are none."""
    low, high = (min(numbers), max(numbers)) if numbers else (0, 0)
    return "" if not numbers else f"{low:,}" if low == high else f"{low:,} to {high:,}"


def trained_parameters(state: ScenarioState) -> str:
    """The parameters that were trained, of those that a prediction depends on."""
    facts = [record.facts for record in state.records.values()]
    if not facts:
        return ""
    return f"{_span([f.trained_parameters for f in facts])} of {_span([f.parameters for f in facts])}"


def chosen_words(state: ScenarioState) -> str:
    """What the probes of a scenario chose, such as `C 0.01 (2 fits), 0.0316 (1 fit)`; empty for other heads."""
    chosen = [record.facts.chosen for record in state.records.values()]
    names = dict.fromkeys(name for each in chosen for name in each)
    return "; ".join(f"{name} {_counted(f'{each[name]:.3g}' for each in chosen if name in each)}" for name in names)


def _epochs(state: ScenarioState) -> str:
    """The epochs that were recorded, where they are not those of the settings: a baseline is fitted in one go."""
    found = [len(record.history) for record in state.records.values()]
    return _span(found) if any(number != state.settings.epochs for number in found) else ""


def _batches(state: ScenarioState) -> str:
    """The fits that had no room for a whole batch."""
    small = [f.micro_batch for r in state.records.values() if (f := r.facts).micro_batch is not None]
    return (
        f"{_span(small)} image{'s' * (max(small) > 1)} at a time in {len(small)} of {len(state.records)} fits"
        if small
        else ""
    )


def _selected(state: ScenarioState) -> str:
    if state.settings.select_epoch == "last" and not state.settings.stop_patience:
        return ""
    return f"epoch {_span([record.selected_epoch for record in state.records.values()])}" if state.records else ""


def averaged_words(settings: Settings) -> str:
    """What a prediction is the mean of, such as `, the mean over 2 views of each image`; empty where it is one."""
    networks = f"the networks of the last {settings.snapshots} epochs" if settings.snapshots > 1 else ""
    views = f"{VIEWS[settings.tta]} views of each image" if settings.tta != "none" else ""
    averaged = " and ".join(filter(None, [networks, views]))
    return f", the mean over {averaged}" if averaged else ""


def training_images(state: ScenarioState) -> str:
    """The images that a fit was trained on, with the copies of oversampling."""
    return _span([sum(r.class_counts["after"].values()) for r in state.records.values() if "after" in r.class_counts])

"""The model card of a study: what its model is for, how good it is, and what only the author can say."""

from collections.abc import Iterable, Iterator

import pandas as pd

from harness.data.patient_counts import class_counts
from harness.data.separation import oversampling_words
from harness.report.draft import Draft
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.predictions import averaged
from harness.report.numbers.records import Estimate
from harness.report.numbers.set_numbers import TEST_SETS, on_set
from harness.report.numbers.threshold_numbers import OPERATING, POINT, SWEEP, point_words
from harness.report.sections.checklist import AUTHOR
from harness.report.sections.subgroups import subgroup_findings
from harness.report.tables.estimate_table import estimate_table
from harness.report.tables.export import escaped, markdown, rounded
from harness.study.scenario_state import ScenarioState
from harness.study.state import final_test

SHOWN = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "roc_auc",
    "pr_auc",
    "brier",
    "ece",
)

_COMBINED = "; those of a patient's images are combined by {combine}, and every number below is of patients"


def model_card(draft: Draft) -> str:
    """The card in Markdown."""
    chosen = described_scenario(draft)
    parts = [
        [f"# Model card: {draft.study.study}", ""],
        [line for mark in _warnings(draft) for line in (f"**{mark}**", "")],
        _details(draft, chosen),
        _use(draft),
        _data(draft),
        _training(draft, chosen) if chosen else [],
        _metrics(draft, chosen) if chosen else [],
        _limits(draft, chosen),
        _checking(),
    ]
    return "\n".join(line for part in parts for line in part)


def described_scenario(draft: Draft) -> ScenarioState | None:
    """The scenario of the study's model; else the last one that a stage selects; None where no stage selects one."""
    final = final_test(draft.study, draft.state)
    if isinstance(final, ScenarioState):
        return final
    selected = [stage.best for stage in draft.state.stages if stage.finished and stage.stage.select and stage.best]
    return selected[-1] if selected else None


def _warnings(draft: Draft) -> Iterator[str]:
    if draft.dataset.synthetic:
        yield "SYNTHETIC DATA. The images are drawn by a procedure; this model is of no use for patients."
    if not draft.state.finished:
        yield "UNFINISHED. Fits of this study are missing; numbers may change."
    yield from (f"{mark}." for mark in draft.marks.fits)


def _details(draft: Draft, chosen: ScenarioState | None) -> list[str]:
    final = final_test(draft.study, draft.state)
    model = "none: no stage of the study selects a scenario"
    if chosen:
        settings = chosen.settings
        pixels = draft.dataset.framed(settings.preprocessing).pixel_rules
        read = f" ({pixels})" if pixels.changed else ""
        network = f"{escaped(draft.study.as_written(settings.backbone))}, head {settings.head}"
        model = f"{escaped(chosen.name)}: {network}, images of {settings.image_size} px{read}"
    combined = _COMBINED.format(combine=draft.unit.combine) if draft.unit.patients else ""
    rows = {
        "model": model,
        **({"weights of the backbone": _weights(draft, chosen)} if chosen else {}),
        "file": _model_file(final),
        "task": f"one of the classes {', '.join(map(escaped, draft.dataset.classes))} for each image{combined}",
        "positive class": escaped(draft.dataset.positive or "none"),
        "study": f"`{draft.study.study}`, id `{draft.workspace.identity}`, seed {draft.study.seed}",
        "developed by": AUTHOR,
        "version, date, licence, contact": AUTHOR,
    }
    return ["## Model", "", *(f"- {name}: {value}" for name, value in rows.items()), ""]


def _weights(draft: Draft, chosen: ScenarioState) -> str:
    """The source and the licence of the weights that the training began with."""
    settings = chosen.settings
    if settings.weights == "none":
        return "none: drawn at random"
    facts = next((record.facts for record in chosen.records.values()), None)
    if facts is None or facts.source is None:
        return f"{escaped(str(draft.study.as_written(settings.weights)))}; source and licence: {AUTHOR}"
    licence = escaped(facts.licence) if facts.licence else f"not stated with them; {AUTHOR}"
    return f"{escaped(facts.source)}; licence: {licence}"


def _model_file(final: ScenarioState | str | None) -> str:
    """Where the weights are, or why the study has no model of its own."""
    if isinstance(final, ScenarioState):
        return f"`jobs/{final.jobs[0].id}/model.safetensors` (where it was published)"
    return final or "none: no model was scored on a test set"


def _use(draft: Draft) -> list[str]:
    description = [escaped(draft.study.description), ""] if draft.study.description else []
    return [
        "## Intended use",
        "",
        *description,
        "Research: to compare ways of training image classifiers on these images, and to repeat that comparison.",
        "",
        f"- users and setting: {AUTHOR}",
        f"- clinical question and role in the pathway: {AUTHOR}",
        "",
        "## Out-of-scope use",
        "",
        "- decisions about patients: nothing here was validated for that",
        "- images from other sites, devices or populations than those below, and classes other than these",
        "- images that were prepared in another way than in training",
        f"- more: {AUTHOR}",
        "",
    ]


def _data(draft: Draft) -> list[str]:
    shared = draft.inputs.separation
    return [
        "## Data",
        "",
        *markdown(class_counts(draft.dataset)),
        "",
        f"- source: {draft.study.data.source}, manifest `{draft.dataset.digest}`; the images are not in this folder",
        f"- folds: {escaped(shared.of_folds)}" if shared.sound else f"- folds: **{escaped(shared.of_folds)}**",
        f"- training and test: {shared.of_splits}",
        f"- origin, dates, eligibility, reference standard, consent and ethics: {AUTHOR}",
        "",
    ]


def _training(draft: Draft, chosen: ScenarioState) -> list[str]:
    named = {name: draft.study.as_written(getattr(chosen.settings, name)) for name in ("backbone", "weights")}
    settings = chosen.settings.model_dump() | named
    table = pd.DataFrame({"setting": list(settings), "value": [str(value) for value in settings.values()]})
    return ["## Training", "", *markdown(table), "", f"{_sentence(oversampling_words([chosen.settings]))}.", ""]


def _metrics(draft: Draft, chosen: ScenarioState) -> list[str]:
    """The metrics with their intervals, on the test set and out of fold, and the threshold."""
    found = [e for e in draft.statistics.estimates if e.subject == chosen.name and e.metric in SHOWN]
    tested = [e for e in found if e.on == TEST]
    validated = [e for e in found if e.on == OUT_OF_FOLD]
    test = next((test for test in draft.state.tests if test.id == chosen.id), None)
    lines = ["## Performance", ""]
    if tested and test:
        lines += [f"On the test set, {escaped(draft.unit.titled(averaged(test)))}:", "", *_table(tested)]
    else:
        lines += ["No test set was scored.", ""]
    for name in draft.dataset.further_sets if tested else ():
        of_set = [e for e in found if e.on == on_set(name)]
        lines += [f"On the test set {escaped(name)}:", "", *_table(of_set)]
    if means := [e for e in found if e.on == TEST_SETS.mean]:
        lines += [f"Mean over {means[0].n} test sets, by a random-effects model:", "", *_table(means)]
    if validated:
        lines += [
            f"Out of fold, each {draft.unit.name} predicted by models that were not trained on it:",
            "",
            *_table(validated),
        ]
    return lines + _threshold(draft, chosen.name)


def _table(estimates: Iterable[Estimate]) -> list[str]:
    note = "Intervals: 95 %, by the method of each estimate in `statistics.json`."
    return [*markdown(rounded(estimate_table(list(estimates))).fillna("")), "", note, ""]


def _threshold(draft: Draft, name: str) -> list[str]:
    estimates = draft.statistics.estimates
    point = next((e for e in estimates if (e.subject, e.on, e.metric) == (name, SWEEP, POINT)), None)
    if point is None:
        return []
    applied = [e for e in estimates if (e.subject, e.on) == (name, OPERATING)]
    return [
        "### Threshold",
        "",
        f"A probability{' of a patient' * draft.unit.patients} of {point.value:.3f} for {escaped(point.of_class)} is"
        f" the {point_words(point.method)} out of fold; the test set was not used to choose it. Whether it"
        f" suits a use depends on the costs of both errors: {AUTHOR}.",
        "",
        *(_table(applied) if applied else []),
    ]


def _limits(draft: Draft, chosen: ScenarioState | None) -> list[str]:
    marks = [draft.marks.scenario(chosen.settings)] if chosen else []
    if chosen and draft.state.tests:
        marks.append(draft.marks.test(draft.dataset, chosen.settings, draft.ledger))
    warned = [f for f in draft.workspace.audit.findings if f.severity in ("error", "warning")]
    return [
        "## Limits",
        "",
        *(f"- {mark}" for mark in dict.fromkeys(mark for mark in marks if mark)),
        *(f"- audit: {escaped(finding.text)}" for finding in warned),
        *([] if draft.dataset.sets else ["- one dataset: how the model does at another site is unknown"]),
        *(f"- {escaped(text)}" for text in subgroup_findings(draft.statistics)),
        *([] if draft.study.subgroups else ["- subgroups such as age, sex and site were not compared"]),
        f"- known failures, bias and their consequences: {AUTHOR}",
        "",
    ]


def _checking() -> list[str]:
    return [
        "## Check it",
        "",
        "Every number comes from `jobs/*/predictions.parquet`. `harness verify .` computes all of them again;"
        " `sha256sum -c SHA256SUMS` shows whether a file has changed.",
        "",
    ]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]

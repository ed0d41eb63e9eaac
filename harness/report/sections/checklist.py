"""The checklists of a paper, filled in where the harness knows the answer; the rest is left to the author."""

from pathlib import Path

import pandas as pd

from harness.data.data_lines import test_split_words
from harness.data.folds import folds_words
from harness.data.patient_counts import PATIENTS_UNKNOWN
from harness.data.separation import oversampling_words
from harness.data.subgroups import group_counts
from harness.report.draft import Draft
from harness.report.numbers.comparisons import OUT_OF_FOLD, TEST
from harness.report.numbers.detectable import resolution
from harness.report.numbers.look_history import LOOKS
from harness.report.numbers.marks import declared_looks, marked
from harness.report.numbers.set_numbers import SET_LOOKS, SITES, TEST_SETS, on_set
from harness.report.numbers.statistics import MAJORITY
from harness.report.numbers.threshold_numbers import POINT, SWEEP, point_words
from harness.report.sections.checklist_items import CHECKLISTS, ITEMS
from harness.report.sections.clinical_words import clinical_words
from harness.report.sections.scenario_settings import AllUsed, used_settings
from harness.report.sections.subgroups import subgroup_findings
from harness.report.tables.estimate_table import interval_cell, interval_note
from harness.report.tables.export import export_table
from harness.study.number_words import number_of
from harness.study.preprocessing import OF_STUDY
from harness.study.settings import RECIPE, SCORING, TREATMENTS
from harness.study.subgroups import subgroup_words

AUTHOR = "author must state"
MEASURED_ON = ("folds", OUT_OF_FOLD, TEST)
OF_TRAINING = (  # the settings that say how a network was trained, as far as a study uses them
    "augment", "trainable", "oversampling", "undersampling", "prior_correction", "epochs", "batch_size", "loss",
    "optimizer", "learning_rate", "weight_decay", "train_share", *RECIPE,
)  # fmt: skip


def write_checklist(draft: Draft) -> Path:
    """Write `checklist.md`, with CSV and LaTeX next to it, and return its path."""
    found, folder = answers(draft), draft.folder
    rows = [(kind, item, subject, (found[key] if key else "") or AUTHOR) for kind, item, subject, key in ITEMS]
    table = marked(pd.DataFrame(rows, columns=["checklist", "item", "subject", "answer"]), draft.marks.every)
    note = "Subjects in our words; the wording is in the checklists."
    lines = [f"# {draft.study.study}: {', '.join(CHECKLISTS)}", "", note, ""]
    (folder / "checklist.md").write_text(
        "\n".join([*lines, *export_table(table, folder, "checklist")]) + "\n", encoding="utf-8"
    )
    return folder / "checklist.md"


def answers(draft: Draft) -> dict[str, str]:
    """The answers by name; empty where this study has none."""
    return _data_answers(draft) | _model_answers(draft) | _result_answers(draft) | _stored_answers(draft)


def _data_answers(draft: Draft) -> dict[str, str]:
    study, dataset, folds, shared = draft.study, draft.inputs.dataset, draft.study.folds, draft.inputs.separation
    synthetic = " (SYNTHETIC, drawn by a procedure)" if dataset.synthetic else ""
    whole = " of whole patients" if shared.known else ""
    sizes = " and ".join(f"{len(dataset.rows(split)):,} {split}" for split in dataset.splits)
    limit = f"a class-stratified subset{whole}: {sizes} images (data.limit {study.data.limit})"
    framings = dict.fromkeys(s.settings.framing for s in draft.state.scenarios)
    if all(framing.preprocessing == OF_STUDY for framing in framings):
        resized = f"{', '.join(str(framing.size) for framing in framings)} px"
    else:
        resized = "; ".join(map(str, framings))
    pixels = f" ({dataset.pixel_rules})" if dataset.pixel_rules.changed else ""
    bad = f", without {len(dataset.skipped.reasons):,} that cannot be read" if dataset.skipped else ""
    unknown = "" if shared.known else f"; {PATIENTS_UNKNOWN}"
    drawn = f"{folds.k} folds x {folds.repeats}, stratified by class"
    protocol = drawn if folds.is_drawn else folds_words(dataset, folds, draft.inputs.folds)
    test = f"the test split is {test_split_words(study)}" if shared.splits else "no test split"
    return {
        "data": f"source {study.data.source}{synthetic}, manifest {dataset.digest}",
        "preprocessing": f"decoded once, resized to {resized}{pixels}, normalised as the weights were trained",
        "subset": limit if study.data.limit else f"all images of the split{bad}",
        "partitions": f"{protocol}, seed {folds.seed}, digest {draft.inputs.digests.all_folds}; {test}{unknown}",
        "disjoint": f"folds: {shared.of_folds}; training and test: {shared.of_splits}"
        + (f"; {shared.of_rule}" if shared.known else ""),
        "counts": "; ".join(f.text for f in draft.workspace.audit.named("counts")) + unknown,
        "shift": "; ".join(f.text for name in ("prior", "shift", "resplit") for f in draft.workspace.audit.named(name)),
        "resolution": resolution(draft.study, draft.inputs),
        "demographics": _demographics(draft),
    }


def _demographics(draft: Draft) -> str:
    """The images of each subgroup by split; empty for a study without `subgroups`."""
    counts = group_counts(draft.workspace.groups, draft.dataset)
    of_split = {
        split: counts[["group", split]].to_numpy().tolist() for split in draft.dataset.splits if split in counts
    }
    return "; ".join(
        f"{split} images: {', '.join(f'{group} {images:,}' for group, images in found)}"
        for split, found in of_split.items()
    )


def _external(draft: Draft) -> str:
    """Whose the images of the leading test set are."""
    spec, words = draft.study.data.test, test_split_words(draft.study)
    if draft.study.data.sets:
        return f"test sets: {words.removeprefix('in sets: ')}"
    return "the data's own test split" if spec is None else f"none: the test split is {words}"


def _other_sets(draft: Draft) -> str:
    """The numbers on the further test sets, and the means over them and over left-out sites; or that there are none."""
    parts = []
    for on in (*map(on_set, draft.dataset.further_sets), TEST_SETS.mean, SITES.mean):
        name = on.removeprefix(f"{TEST} ")
        found = [e for e in draft.statistics.estimates if e.on == on and e.metric in ("accuracy", "roc_auc")]
        words = [f"{e.subject} {e.metric} {interval_cell(e)}" for e in found if e.subject != MAJORITY]
        parts += [f"{name}: {', '.join(words)}"] if words else []
    looks = (f.text for f in draft.statistics.findings if f.kind == SET_LOOKS)
    return "".join(f"; {part}" for part in (*parts, *looks)) or ("" if draft.dataset.sets else "; no other site")


def _fairness(draft: Draft) -> str:
    """What was found by subgroup; empty where nothing was."""
    found = subgroup_findings(draft.statistics)
    columns = ", ".join(map(subgroup_words, draft.study.subgroups))
    return f"subgroups by {columns}, with intervals and differences (Holm): {'; '.join(found)}" if found else ""


def _levels(used: AllUsed, name: str) -> str:
    """The values of a setting in the scenarios of the study, with what they were resolved to."""
    found = dict.fromkeys(f"{each.value}{f' ({each.as_run})' if each.as_run else ''}" for each in used.get(name, ()))
    return f"{name} {', '.join(found)}"


def _model_answers(draft: Draft) -> dict[str, str]:
    study, used = draft.study, used_settings(draft.study, draft.inputs, draft.state.scenarios)
    facts = [record.facts for record in draft.state.records.values()]
    scenarios = [s.settings for s in draft.state.scenarios]
    torch = ", ".join(sorted({f"torch {f.torch} ({f.device}, {f.precision})" for f in facts}))
    of = " of patients" if draft.unit.patients else ""
    rules = [f"{s.name}: {s.select.rule_words} by {s.select.metric}{of}" for s in study.stages if s.select]
    tested = study.test is not None and any(test.finished for test in draft.state.tests)
    refit = study.test is not None and study.test.model == "refit"
    learnt_from = ", ".join(dict.fromkeys(test.settings.trained_on for test in draft.state.tests))
    alone, mean = f"none: one model refitted on {learnt_from}", "the mean of the fold models' probabilities"
    refits = study.test.refits if study.test else 1
    alone += f"; {refits} such models, each with a seed of its own, and the numbers are their means" * (refits > 1)
    averaged = [_levels(used, name) for name in SCORING if name in used]
    treated = "; ".join(_levels(used, name) for name in TREATMENTS if name in used)
    return {
        "model": f"{_levels(used, 'backbone')}; {_levels(used, 'head')}; output: a probability for each of"
        f" {', '.join(draft.inputs.dataset.classes)}",
        "software": torch and f"{torch}; all packages in environment.txt of the study run",
        "initialisation": _levels(used, "weights"),
        "training": "; ".join(
            [*(_levels(used, name) for name in OF_TRAINING if name in used), number_of(len(facts), "fit")]
        ),
        "selection": f"{'; '.join(rules)}; the epoch: {_levels(used, 'select_epoch')}" if rules else "",
        "ensemble": "; ".join([alone if refit else mean, *averaged]) if tested else "",
        "imbalance": f"{treated}; {oversampling_words(scenarios)}",
        "reproduction": "harness reproduce RUN_ID fits any fold again"
        + ("; the test model is stored as safetensors" if tested else ""),
    }


def _result_answers(draft: Draft) -> dict[str, str]:
    tested = [e for e in draft.statistics.estimates if e.on == TEST and e.subject != MAJORITY]
    looks = declared_looks(draft.study)
    counted = "".join(f"; {finding.text}" for finding in draft.statistics.findings if finding.kind == LOOKS)
    shown = [e for e in tested if e.metric in ("accuracy", "recall", "roc_auc") and e.low is not None]
    unit = f"each of a {draft.unit.words}: " if draft.unit.patients else ""
    of = " of patients" if draft.unit.patients else ""
    values = [f"{e.metric} ({e.of_class or 'all'}) {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in shown]
    clinic = [
        f"{test.name}: {words}"
        for test in draft.state.tests
        for words in clinical_words(draft.statistics.estimates, test)
    ]
    return {
        "metrics": unit + ", ".join(dict.fromkeys(e.metric for e in draft.statistics.estimates if e.on in MEASURED_ON)),
        "uncertainty": f"{interval_note(draft.inputs.separation.unit)} Between recipes"
        " the corrected resampled t over folds, and the Bayesian correlated t with a region of equivalence; between"
        f" fitted models on the test set accuracy and DeLong's test over {draft.inputs.separation.unit}, without a"
        " verdict; Holm over each family",
        "test": f"{_external(draft)}, {number_of(looks, 'declared look')}{counted}{_other_sets(draft)}"
        if tested
        else "",
        "fairness": _fairness(draft),
        "performance": ", ".join(values) and f"test set{of}: {', '.join([*values, *clinic])}; all in statistics.json",
    }


def _cut_off(draft: Draft) -> str:
    """The threshold of each tested scenario, and how it was chosen; of more than two classes the most probable one."""
    points = {e.subject: e for e in draft.statistics.estimates if (e.on, e.metric) == (SWEEP, POINT)}
    tests = [test.name for test in draft.state.tests if test.finished]
    found = [
        f"{name}: {point.of_class} from {point.value:.3f} on, the {point_words(point.method)}, chosen out of fold"
        for name in tests
        if (point := points.get(name))
    ]
    classes = f"the most probable of {len(draft.dataset.classes)} classes"
    return "; ".join([classes, *found]) if tests else ""


def _stored_answers(draft: Draft) -> dict[str, str]:
    """Where a reader finds more than the checklist says."""
    one = draft.unit.name
    tested = any(test.finished for test in draft.state.tests)
    return {
        "cut-off": _cut_off(draft),
        "failures": f"confusion matrix of the test set and its surest errors, {one} by {one}: in the report" * tested,
        "details": "the study file, whole, in the report",
        "stored": "the probabilities of each image of each fit, with SHA-256; harness verify computes the numbers from"
        " them again",
    }

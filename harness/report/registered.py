"""The registration of a study: its content before any fit, and in what a run deviates from it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any

from harness import __version__
from harness.data.inputs import Workspace
from harness.report.numbers.marks import declared_looks, taken_looks
from harness.report.numbers.records import Finding, Statistics
from harness.report.tables.export import escaped, sentence
from harness.store.looks import Look
from harness.store.registrations import Registration, registrations
from harness.study import Study
from harness.study.number_words import number_of
from harness.study.provenance import code_and_machine, code_digest
from harness.study.scenario_state import ScenarioState
from harness.study.settings import todays_word
from harness.study.state import StudyState, look_key, study_version

REGISTRATION = "registration"  # the kind of these findings
TESTS = (
    "scenarios of a stage: corrected resampled t-test over the folds, Holm over all pairs of the stage; in"
    " practice the Bayesian correlated t-test, within the margin of the stage",
    "fitted models on the test set, without a verdict: accuracy and ROC AUC over patients (Obuchowski 1998, 1997)",
    "95 % intervals over patients (over images where patients are unknown): of rates Wilson on their number over the"
    " design effect, of areas DeLong on the logit scale, of other numbers the percentile bootstrap",
)
TEST_OF_SUBGROUPS = (
    "subgroups: permutation of patients within a class (bootstrap where patients are in several groups), Holm over all"
    " differences of a scenario; 95 % intervals by bootstrap over patients"
)
NO_DEVIATION = ("description", "paper", "checkpoint_every")  # fields that decide no number
TEST_OF_REFITS = (
    "numbers on the test set: the mean over the refits, each with a seed of its own; 95 % intervals for one more model"
    " by the recipe, of the images and of the seeds"
)
PARTS = {"images": "other images", "folds": "other folds", "weights": "other weights", "heads": "other custom heads"}


def plan_of(workspace: Workspace) -> dict[str, Any]:
    """What a study plans, by its file and its inputs: the part of a registration that a run is compared with."""
    study, inputs = workspace.study, workspace.inputs
    dataset = inputs.dataset
    settings = study.model_dump(mode="json", exclude={"data": {"path"}, **dict.fromkeys(NO_DEVIATION, True)})
    counts = {split: dataset.counts(dataset.rows(split)) for split in dataset.splits}
    more = {"sets": dataset.sets_digest} if dataset.further_sets else {}
    return {
        "study": study.study,
        "study_id": workspace.identity,
        "version": study_version(study, inputs.digests),
        "seed": study.seed,
        "settings": _as_written(study, settings),
        "images": {"manifest": dataset.digest, **counts, **more},
        "folds": {"digest": inputs.digests.all_folds, "k": inputs.k, "repeats": study.folds.repeats},
        "weights": sorted({*inputs.digests.weights.values()}),
        "heads": dict(inputs.digests.heads),
        "compared": [_stage(study, index) for index in range(len(study.stages))],
        "tests": planned_tests(study, inputs.separation.unit),
        "looks": declared_looks(study),
    }


def planned_tests(study: Study, unit: str = "patients") -> list[str]:
    """The tests of a study's report, each in words. unit: what is independent, patients or images."""
    of_patients = [f"all of patients, whose images are combined by {study.combine}; by image, too, but not leading"]
    found = [
        *TESTS,
        *([TEST_OF_SUBGROUPS] if study.subgroups else []),
        *([TEST_OF_REFITS] if study.test and study.test.refits > 1 else []),
        *(of_patients if study.unit == "patient" else []),
    ]
    return _over(unit, found)


def _over(unit: str, tests: Sequence[str]) -> list[str]:
    """The words of tests, in which images are independent where no patient is known."""
    if unit == "patients":
        return list(tests)
    found = list(tests)
    for words in (" (over images where patients are unknown)", " (bootstrap where patients are in several groups)"):
        found = [text.replace(words, "") for text in found]
    return [text.replace("over patients", f"over {unit}").replace("n of patients", f"n of {unit}") for text in found]


def registration_content(workspace: Workspace, note: str) -> dict[str, Any]:
    """The content of a registration that is made now."""
    study = workspace.study
    about = code_and_machine()
    code = {name: about[name] for name in ("git_commit", "git_dirty", "versions", "python")}
    return plan_of(workspace) | {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "note": note,
        "file": study.text,
        "changed": {name: list(values) for name, values in study.changed.items()},
        "looks_before": workspace.ledger.looks.known(workspace.inputs.dataset),
        "code": {"harness": __version__, "decisive code": code_digest(), **code},
    }


def _as_written(study: Study, value: Any) -> Any:
    """The value with paths as they were given, not as they are on this machine."""
    if isinstance(value, Mapping):
        return {key: _as_written(study, each) for key, each in value.items()}
    return [_as_written(study, each) for each in value] if isinstance(value, list) else study.as_written(value)


def _stage(study: Study, index: int) -> dict[str, Any]:
    """What a stage compares, and how it selects."""
    stage = study.stages[index]
    select = stage.select
    start = next((earlier.name for earlier in reversed(study.stages[:index]) if earlier.select), None)
    return {
        "stage": stage.name,
        "scenarios": stage.size,
        "of": _as_written(study, stage.grid | stage.zip),
        **_as_written(study, stage.model_dump(include={"zip", "when", "exclude"})),
        "from": f"the winner of stage {start}" if start else "base",
        "selects": f"{select.rule_words} {select.metric}" if select else "nothing",
    }


@dataclass(frozen=True)
class Registered:
    """The registration that a study is compared with, and every deviation from it."""

    registration: Registration
    deviations: tuple[str, ...]

    @property
    def words(self) -> str:
        """`as registered on DATE (sha256 ...)`, or the number of deviations."""
        of = f"registered on {self.registration.day} (sha256 {self.registration.sha256})"
        count = len(self.deviations)
        return f"{of}; NOT as registered, {number_of(count, 'deviation')}" if count else f"as {of}"


def registration_findings(workspace: Workspace, state: StudyState) -> list[Finding]:
    """Whether the study was run as registered, and every deviation; empty where it was not registered."""
    found = registered(workspace, state)
    texts = (found.words, *(f"deviation: {text}" for text in found.deviations)) if found else ()
    return [Finding(kind=REGISTRATION, text=text) for text in texts]


def registration_lines(statistics: Statistics) -> list[str]:
    """The same in Markdown, for the head of a report."""
    texts = [escaped(finding.text) for finding in statistics.findings if finding.kind == REGISTRATION]
    if not texts:
        return []
    return [f"**{sentence(texts[0])}**", "", *(f"- {text}" for text in texts[1:]), *([""] if len(texts) > 1 else [])]


def registered(workspace: Workspace, state: StudyState) -> Registered | None:
    """The nearest registration of a study's name, or else of the study under another name; None where there is none.

    One that was made after the study had been scored counts for that very study only.
    """
    plan, store, study = plan_of(workspace), workspace.store, workspace.study
    given = _flat(study.model_dump(mode="json", exclude_defaults=True))
    known = registrations(store, study.study)
    known = known or [found for found in registrations(store) if found.content["version"] == plan["version"]]
    keys = {look_key(test) for test in state.tests}
    scored = min((x.time for x in workspace.ledger.looks.at(workspace.inputs.dataset) if x.key in keys), default=None)
    found = []
    for registration in known:
        late = scored is not None and scored < datetime.fromisoformat(registration.content["date"]).timestamp()
        if not late or registration.content["study_id"] == workspace.identity:
            said = [
                *_planned(registration.content, plan, given, workspace.inputs.separation.unit),
                *(["scored before it was registered"] if late else []),
            ]
            found.append((registration, said))
    if not found:
        return None
    nearest, deviations = min(reversed(found), key=lambda pair: len(pair[1]))
    return Registered(nearest, (*deviations, *_happened(nearest.content, workspace, state)))


def _planned(before: Mapping[str, Any], now: Mapping[str, Any], given: Collection[str], unit: str) -> Iterator[str]:
    """The deviations of a plan from a registered one: fields of the study file, and inputs.

    given: the fields that are not at their default; others may have been added since the plan was registered. unit:
    what is independent; registrations of before said patients also where none is known.
    """
    old, new = _flat(before["settings"]), _flat(now["settings"])
    for field in sorted(old.keys() | new.keys()):
        then, here = old.get(field), new.get(field)
        if then != here and (field in old or field in given):
            yield f"{field}: {_shown(then)} -> {_shown(here)}{_levels(then, here)}"
    for key, words in PARTS.items():
        if before[key] != now[key]:
            yield f"{words}: {_shown(before[key])} -> {_shown(now[key])}"
    if _over(unit, before["tests"]) != now["tests"]:
        yield f"other tests: {_shown(before['tests'])} -> {_shown(now['tests'])}"


def _happened(before: Mapping[str, Any], workspace: Workspace, state: StudyState) -> Iterator[str]:
    """The deviations of what was run: other code, more looks."""
    codes = {record.facts.code for fit in state.fits for record in fit.records.values()} - {None}
    if others := sorted(map(str, codes - {before["code"]["decisive code"]})):
        yield f"code that decides numbers: {before['code']['decisive code']} -> {', '.join(others)}"
    for name, dataset in zip(workspace.inputs.dataset.sets or ("",), workspace.inputs.dataset.each_set, strict=True):
        taken = taken_looks(workspace.study, dataset, workspace.ledger)
        if taken > before["looks"]:
            words = f"the test set {name}" if name and workspace.inputs.dataset.further_sets else "the test set"
            yield f"more looks at {words}: {before['looks']} registered -> {taken} taken"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of nested settings by their dotted names; a list of a grid is one leaf."""
    if isinstance(value, Mapping):
        return {k: v for key, each in value.items() for k, v in _flat(each, f"{name}.{key}".lstrip(".")).items()}
    if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        return {k: v for index, each in enumerate(value) for k, v in _flat(each, f"{name}.{index}").items()}
    return {name: todays_word(value)}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else str(value)


def _levels(old: Any, new: Any) -> str:
    """The levels that a grid gained or lost: scenarios that were added or left out."""
    if not (isinstance(old, list) and isinstance(new, list)):
        return ""
    added, removed = [x for x in new if x not in old], [x for x in old if x not in new]
    parts = [*([f"added {_shown(added)}"] if added else []), *([f"left out {_shown(removed)}"] if removed else [])]
    return f" (scenarios: {'; '.join(parts)})" if parts else ""


def record_looks(workspace: Workspace, tests: Collection[ScenarioState]) -> None:
    """Record, before anything is scored, that these scenarios are scored on the test set, at one time."""
    study, inputs, looks = workspace.study, workspace.inputs, workspace.ledger.looks
    known = registered(workspace, StudyState((), tuple(tests)))
    plan = known.registration.sha256 if known else None
    opened, version = looks.opening_time(time()), study_version(study, inputs.digests)
    for dataset in inputs.dataset.each_set:
        for test in tests:
            jobs = tuple(job.id for job in test.scored_jobs)
            look = Look(
                study.study, look_key(test), workspace.identity, opened, True, study.seed, version, jobs, plan
            )  # fmt: skip
            looks.record(dataset, look)
        looks.count_machine(dataset, time())

"""A study that is registered before its first fit: its report says whether it was run so, or in what not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.data.inputs import Workspace
from harness.errors import StudyError
from harness.prepare import prepare
from harness.report.numbers.records import Statistics
from harness.report.registered import (
    REGISTRATION,
    TESTS,
    Registered,
    planned_tests,
    registered,
    registration_content,
)
from harness.report.registering import register_study
from harness.store import Store
from harness.store.check_looks import check_looks
from harness.store.failpoints import VARIABLE
from harness.store.looks import Look, Looks
from harness.store.registrations import FILE, PAGE, check_registrations, registrations, write_registration
from harness.study import Study
from harness.study.state import StudyState
from harness.tracking.stored_report import report_study
from tests.conftest import ROOT, SMALL_STUDY, Finished

BEFORE = "2020-01-01T00:00:00+00:00"


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Store:
    return finished.copy_to(tmp_path / "copy")


def register(study: Study, store: Store, **changes: Any) -> str:
    """Register a study as if it had been long ago, with these changes, and return the hash."""
    content = registration_content(prepare(study, store), "") | {"date": BEFORE} | changes
    return write_registration(store, content).sha256


def found(workspace: Workspace, state: StudyState | None = None) -> Registered:
    known = registered(workspace, state or workspace.reader.read())
    assert known is not None
    return known


@pytest.mark.slow
def test_registering_writes_one_folder_and_the_same_plan_once(
    small_study: Callable[..., Study], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    first, new = register_study(small_study(), store, "the plan")
    files = {path.relative_to(first.folder).as_posix() for path in store.root.rglob("*") if path.is_file()}
    assert (new, files) == (True, {FILE, PAGE})
    page = (first.folder / PAGE).read_text(encoding="utf-8")
    for words in (
        first.sha256,
        "the plan",
        "- seed: 0",
        "scenarios 2; selects best val/balanced_accuracy; stage sampling",
        "1 planned; 0 known before",
    ):
        assert words in page
    assert register_study(small_study(), store, "another note") == (first, False)
    other, new = register_study(small_study("seed=1"), store)
    assert new and [known.sha256 for known in registrations(store, "small")] != [other.sha256]
    assert {check.verdict for check in check_registrations(store)} == {"holds"}


def test_after_the_first_fit_it_is_refused_with_what_is_done(finished: Finished, copy: Store) -> None:
    with pytest.raises(StudyError, match=r"7 fits of this study are done in .*copy \(dropout-gap \+ none; ") as refused:
        register_study(finished.study, copy)
    assert "\n" not in str(refused.value)
    assert not (copy.root / "registrations").exists()


def test_what_was_run_as_registered_opens_the_report(finished: Finished, copy: Store) -> None:
    assert registered(prepare(finished.study, copy), finished.run.state) is None
    name = register(finished.study, copy)
    words = f"as registered on 2020-01-01 (sha256 {name})"
    known = found(prepare(finished.study, copy))
    assert (known.words, known.deviations) == (words, ())
    page = report_study(prepare(finished.study, copy))
    assert page.read_text(encoding="utf-8").startswith(f"# small\n\n**A{words[1:]}.**\n")
    written = Statistics.model_validate_json(page.with_name("statistics.json").read_text(encoding="utf-8"))
    assert [f.text for f in written.findings if f.kind == REGISTRATION] == [words]


def test_a_field_that_was_added_since_is_a_deviation_only_where_it_is_given(
    finished: Finished, copy: Store, small_study: Callable[..., Study]
) -> None:
    workspace = prepare(finished.study, copy)
    settings = registration_content(workspace, "")["settings"]
    older = {name: settings["data"][name] for name in ("source", "image_size", "positive", "phantom")}
    folds = {name: settings["folds"][name] for name in ("k", "repeats", "grouped", "seed")}
    register(finished.study, copy, settings=settings | {"data": older, "folds": folds})
    assert found(workspace).deviations == ()
    deviations = found(prepare(small_study("data.resize=crop"), copy)).deviations
    assert "data.resize: none -> crop" in deviations
    assert not any(words.startswith(("data.links", "folds.by", "data.columns")) for words in deviations)


@pytest.mark.parametrize(
    ("override", "deviation"),
    [
        ("seed=3", "seed: 3 -> 0"),
        ("folds.seed=1", "other folds: digest "),
        ("data.limit=24", "other images: manifest "),
        ("data.limit=24", "data.limit: 24 -> none"),
        ("data.positive=NORMAL", "data.positive: NORMAL -> PNEUMONIA"),
        ("stages.0.select.metric=val/accuracy", "stages.0.select.metric: val/accuracy -> val/roc_auc"),
        ("stages.0.grid.head=[dropout-gap]", "(scenarios: added batchnorm-gap)"),
        ("base.learning_rate=0.5", "base.learning_rate: 0.5 -> 0.001"),
        ("test.model=folds", "test.model: folds -> refit"),
    ],
)
def test_every_deviation_is_listed(
    finished: Finished, copy: Store, small_study: Callable[..., Study], override: str, deviation: str
) -> None:
    register(small_study(override), copy)
    known = found(prepare(finished.study, copy), finished.run.state)
    assert "NOT as registered" in known.words
    assert any(deviation in words for words in known.deviations)


def test_other_tests_code_and_looks_are_deviations_too(finished: Finished, copy: Store) -> None:
    workspace = prepare(finished.study, copy)
    register(finished.study, copy, tests=["a t-test"], code={"decisive code": "other"})
    workspace.ledger.looks.record(workspace.inputs.dataset, Look("small", "more", None, 9e9))
    tests, code, looks = found(workspace).deviations
    assert tests.startswith("other tests: a t-test -> scenarios of a stage: corrected")
    assert code.startswith("code that decides numbers: other -> ")
    assert looks == "more looks at the test set: 1 registered -> 2 taken"


def test_the_nearest_registration_counts_and_a_renamed_study_is_found(
    finished: Finished, copy: Store, small_study: Callable[..., Study]
) -> None:
    for override in ("seed=3", "base.epochs=1"):
        register(small_study(override, "data.positive=NORMAL"), copy)
    near = register(small_study("seed=3"), copy)
    assert found(prepare(finished.study, copy)).registration.sha256 == near
    renamed = prepare(small_study("study=other", "seed=3"), copy)
    known = found(renamed)
    assert (known.registration.sha256, known.deviations) == (near, ("study: small -> other",))


def test_a_registration_after_the_scoring_certifies_nothing(finished: Finished, copy: Store) -> None:
    late = {"date": "2990-01-01T00:00:00+00:00"}
    register(finished.study, copy, **late, study_id="of another study")
    assert registered(prepare(finished.study, copy), finished.run.state) is None
    register(finished.study, copy, **late)
    assert "scored before it was registered" in found(prepare(finished.study, copy)).deviations


def test_every_change_of_a_registration_is_found(small_study: Callable[..., Study], store: Store) -> None:
    registration, _ = register_study(small_study(), store)
    for file in (FILE, PAGE):
        path = registration.folder / file
        content = path.read_bytes()
        for at in range(0, len(content), 13):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert "differs" in {check.verdict for check in check_registrations(store)}, (file, at)
        path.unlink()
        assert "differs" in {check.verdict for check in check_registrations(store)}
        path.write_bytes(content)
    assert {check.verdict for check in check_registrations(store)} == {"holds"}
    moved = registration.folder.rename(registration.folder.with_name("00000000"))
    assert [check.verdict for check in check_registrations(store)] == ["differs"]
    moved.rename(registration.folder)


def test_a_look_names_its_registration_so_that_another_one_in_its_place_is_found(
    finished: Finished, copy: Store
) -> None:
    name = register(finished.study, copy)
    dataset = prepare(finished.study, copy).inputs.dataset
    Looks(copy).record(dataset, Look("small", "k", "id", 9e9, registered=name))
    assert {check.verdict for check in check_registrations(copy)} == {"holds"}
    (folder,) = (copy.root / "registrations" / "small").iterdir()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    register(finished.study, copy, note="better words")
    (wrong,) = [check for check in check_registrations(copy) if check.verdict == "differs"]
    assert f"was registered as {name}, which is changed or removed" in wrong.words
    assert "differs" not in {check.verdict for check in check_looks(copy)}


@pytest.mark.slow
def test_a_killed_registration_leaves_nothing_that_counts(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_STUDY)
    command = [sys.executable, "-m", "harness.cli", "register", "small.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: "registration.written:1"}
    killed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert killed.returncode == -9
    store = Store(tmp_path / "mlruns")
    assert (registrations(store), check_registrations(store)) == ([], [])


def test_where_no_patient_is_known_the_plan_speaks_of_images(study_of: Callable[..., Study]) -> None:
    by_group = study_of(SMALL_STUDY.replace("folds:", "subgroups: [sex]\nfolds:"))
    found = planned_tests(by_group, "images")
    assert not any("patient" in text for text in found)
    assert "accuracy and ROC AUC over images" in found[1]
    assert planned_tests(by_group, "patients") == planned_tests(by_group)


def test_the_tests_of_subgroups_and_the_unit_are_part_of_the_plan(study_of: Callable[..., Study]) -> None:
    plain = study_of(SMALL_STUDY)
    by_group = study_of(SMALL_STUDY.replace("folds:", "subgroups: [sex]\nfolds:"))
    by_patient = study_of(SMALL_STUDY.replace("folds:", "unit: patient\ncombine: max\nfolds:"))
    assert planned_tests(plain) == list(TESTS)
    assert planned_tests(by_group)[3:] == [
        "subgroups: permutation of patients within a class (bootstrap where patients are in several groups), Holm over"
        " all differences of a scenario; 95 % intervals by bootstrap over patients"
    ]
    assert planned_tests(by_patient)[3:] == [
        "all of patients, whose images are combined by max; by image, too, but not leading"
    ]

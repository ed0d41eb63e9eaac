"""A report is written again where something that it is made of has changed, and only there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.prepare import prepare
from harness.report import written as written_with
from harness.report.current import current_by, update_report
from harness.report.figures import scenario_figures as figures
from harness.store import Ledger, Store
from harness.store.looks import Look
from harness.study import Study
from harness.study.history import CommandLog
from tests.conftest import Finished


@pytest.fixture
def written(finished: Finished, store: Store) -> Store:
    """A store with the results of the small study and its report."""
    shutil.copytree(finished.store.jobs, store.jobs)
    update(finished.study, store)
    return store


def update(study: Study, store: Store) -> Path:
    """Update the report, and return its folder."""
    workspace = prepare(study, store)
    return update_report(workspace, workspace.reader.read(provisional=True), links={"the study": "http://x/1"}).parent


def is_written_again(study: Study, store: Store) -> bool:
    """Whether an update replaces the report's folder."""
    before = (store.reports / "small").stat().st_ino
    return update(study, store).stat().st_ino != before


def test_a_report_that_is_up_to_date_stays_as_it_is(finished: Finished, written: Store) -> None:
    assert not is_written_again(finished.study, written)


def test_a_report_of_a_copied_store_stays_as_it_is(finished: Finished, written: Store) -> None:
    for path in (*written.jobs.rglob("*"), *written.reports.rglob("*")):
        os.utime(path, ns=(0, 0))  # as after a copy that makes its own times
    assert not is_written_again(finished.study, written)


def test_a_report_of_a_copied_store_is_compared_by_content_once(finished: Finished, written: Store) -> None:
    for path in written.jobs.rglob("*"):
        os.utime(path, ns=(0, 0))
    workspace = prepare(finished.study, written)
    state, links = workspace.reader.read(provisional=True), {"the study": "http://x/1"}
    assert current_by(workspace, state, links) == "content"
    update_report(workspace, state, links=links)
    assert current_by(workspace, state, links) == "files"


def result_longer(store: Store) -> None:
    with next(store.jobs.glob("*/result.json")).open("a") as file:
        file.write("\n")


def page_lost(store: Store) -> None:
    (store.reports / "small" / "index.html").unlink()


def figure_edited(store: Store) -> None:
    (store.reports / "small" / "curves-heads.png").write_text("other")


def file_added(store: Store) -> None:
    (store.reports / "small" / "stale.png").touch()


def note_spoilt(store: Store) -> None:
    next((store.cache / "reports").iterdir()).write_text("{")


def explanations_made(store: Store) -> None:
    job = next(path.name for path in store.jobs.iterdir() if (path / "model.safetensors").exists())
    (store.root / "explanations").mkdir()
    (store.root / "explanations" / f"{job}-model.txt").write_text("the hub is gone")


@pytest.mark.parametrize(
    "change",
    [
        result_longer,
        figure_edited,
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in (page_lost, file_added, note_spoilt, explanations_made)
        ),
    ],
    ids=lambda change: change.__name__,
)
def test_any_change_of_results_or_of_the_report_writes_it_again(
    finished: Finished, written: Store, change: Callable[[Store], None]
) -> None:
    change(written)
    assert is_written_again(finished.study, written)
    assert not is_written_again(finished.study, written)


def test_a_look_at_the_test_set_writes_it_again(finished: Finished, written: Store) -> None:
    Ledger(written).looks.record(prepare(finished.study, written).inputs.dataset, Look("small", "key", None, 1.0))
    assert is_written_again(finished.study, written)
    assert "TEST SET SEEN" not in (written.reports / "small" / "report.md").read_text()
    Ledger(written).looks.record(prepare(finished.study, written).inputs.dataset, Look("small", "more", None, 2.0))
    assert is_written_again(finished.study, written)
    assert "TEST SET SEEN 2 TIMES" in (written.reports / "small" / "report.md").read_text()


@pytest.mark.long
def test_another_description_code_or_package_writes_it_again(
    finished: Finished, written: Store, small_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_written_again(small_study("description=Words."), written)
    assert is_written_again(finished.study, written)
    with monkeypatch.context() as patch:
        patch.setattr(written_with, "code_digest", lambda _: "other")
        assert is_written_again(finished.study, written)
    with monkeypatch.context() as patch:
        patch.setattr(written_with, "version", lambda _: "other")
        assert is_written_again(finished.study, written)


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.long
def test_a_figure_that_failed_is_tried_again(
    finished: Finished, written: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(figures, "save", fail)
        file_added(written)
        assert is_written_again(finished.study, written)
        assert (written.reports / "small" / "curves-heads.txt").exists()
    assert is_written_again(finished.study, written)
    assert (written.reports / "small" / "curves-heads.png").exists()


def test_another_command_that_fitted_something_writes_it_again_and_the_same_study_file_does_not(
    finished: Finished, written: Store, small_study: Callable[..., Study]
) -> None:
    log = CommandLog(prepare(finished.study, written).folder, "cpu")
    log.end(0, 0)
    assert not is_written_again(small_study(), written), "nothing was fitted"
    log.begin()
    log.end(1, 0)
    assert is_written_again(finished.study, written)
    assert "The commands that fitted something" in (written.reports / "small" / "report.md").read_text()

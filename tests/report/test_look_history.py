"""What a report says of looks at its test set, from the ledgers alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.prepare import prepare
from harness.report.numbers.look_history import LOOKS, LookHistory
from harness.report.numbers.records import Statistics
from harness.store import Ledger, Store
from harness.store.looks import Look
from harness.study.state import look_key, study_version
from harness.tracking.stored_report import report_study
from tests.conftest import Finished


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Store:
    return finished.copy_to(tmp_path / "copy")


def history(finished: Finished, store: Store) -> LookHistory:
    return LookHistory(prepare(finished.study, store), finished.run.state.scenarios, finished.run.state.tests)


def test_where_the_machine_has_no_ledger_the_looks_are_those_of_the_store(finished: Finished) -> None:
    assert finished.run.looks == "counted in this store only"
    folder = finished.run.report.parent
    for name in ("report.md", "summary.md", "checklist.md", "statistics.json"):
        assert "counted in this store only" in (folder / name).read_text(encoding="utf-8").lower()


def test_nothing_is_said_before_anything_is_scored(finished: Finished, tmp_path: Path) -> None:
    found = replace(history(finished, Store(tmp_path / "new")), tests=())
    assert (found.line, found.findings) == ("", [])


@pytest.mark.usefixtures("machine_ledger")
def test_seeds_and_versions_are_counted_over_names_and_stores(finished: Finished, copy: Store, tmp_path: Path) -> None:
    workspace = prepare(finished.study, copy)
    (own,) = workspace.ledger.looks.at(workspace.inputs.dataset)
    assert (own.seed, own.version) == (0, study_version(finished.study, workspace.inputs.digests))
    assert own.jobs == tuple(job.id for job in finished.run.state.tests[0].jobs)
    other = Ledger(Store(tmp_path / "other")).looks
    for number, look in enumerate(
        [
            Look("renamed", "a", "x", own.time - 9, True, 7, own.version),
            Look("small", "b", "y", own.time + 9, True, 8, own.version),
            Look("small", "c", "z", own.time - 8, True, 0, "another version"),
            Look("small", "d", "older", own.time - 7),
        ]
    ):
        assert other.chain.last() is None or (other.chain.last() or {})["number"] == number
        other.record(workspace.inputs.dataset, look)
    workspace.ledger.looks.record(workspace.inputs.dataset, own)
    workspace.ledger.looks.count_machine(workspace.inputs.dataset, 0.0)
    found = history(finished, copy)
    day = "(counted on 1970-01-01)"
    assert found.count == f"5 looks at these test images by 2 studies in 2 stores on this machine {day}"
    assert found.warnings == [
        "seed 2 of 3 tried on this test set (in this order: 7, 0, 8)",
        "2nd version of this study that was scored on these images, of 2",
    ]


def test_a_fit_that_was_made_again_is_named_with_when(finished: Finished, copy: Store) -> None:
    first, second = finished.run.state.stages[0].scenarios
    looks = Ledger(copy).looks
    looks.record_again(first.jobs[0].id, 1, 0.0)  # the clock was set back: the entry still comes after the look
    looks.record_again(second.jobs[1].id, 1, 1.0)
    looks.record_again("of another study", 1, 2.0)
    found = history(finished, copy).warnings
    assert found == [
        f"fitted again twice after it was scored ({first.name}, repeat 0, fold 0; {second.name}, repeat 0, fold 1)"
    ]


def test_a_ledger_that_was_changed_is_said_in_the_report(finished: Finished, copy: Store) -> None:
    (test,) = finished.run.state.tests
    (look,) = copy.root.glob(f"looks/*/small/{look_key(test)}.json")
    look.write_bytes(look.read_bytes().replace(b'"seed":0', b'"seed":1'))
    page = report_study(prepare(finished.study, copy))
    assert "THE LEDGER OF LOOKS WAS CHANGED" in page.read_text(encoding="utf-8")
    written = Statistics.model_validate_json((page.parent / "statistics.json").read_text(encoding="utf-8"))
    assert "THE LEDGER OF LOOKS WAS CHANGED" in [f.text for f in written.findings if f.kind == LOOKS][-1]

"""The report of a search is computed again from its trials, and the trials from their fits."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from harness.report.verified.verified_item import VerifiedItem
from harness.search.computed_again import search_again_items
from harness.search.run import SearchRun
from harness.store import Store
from harness.store.seals import seal


@pytest.fixture
def copied(reference: tuple[SearchRun, Store], tmp_path: Path) -> Store:
    """A copy of the store of the reference search."""
    return Store(Path(shutil.copytree(reference[1].root, tmp_path / "copied")))


def found(store: Store) -> list[VerifiedItem]:
    """What computing the search again found."""
    return list(search_again_items(report_of(store), store))


def report_of(store: Store) -> Path:
    (folder,) = (path.parent for path in store.reports.glob("*/search.json"))
    return folder


def differing(store: Store) -> dict[str, str]:
    return {item.what: item.words for item in found(store) if item.verdict != "holds"}


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("report.md", " complete, ", "0 complete, ", "0 complete, "),
        ("trials.csv", ",complete", ",pruned", "complete"),
        ("search.html", "Trial", "Trail", "Trial"),
    ],
)
def test_a_forged_report_that_was_sealed_again_is_found(
    copied: Store, name: str, old: str, new: str, says: str
) -> None:
    file = report_of(copied) / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    seal(file.parent)
    assert says in differing(copied)[f"reports/tiny-search/{name}"]


def test_a_trial_whose_value_was_forged_does_not_follow_from_its_fits(copied: Store) -> None:
    with sqlite3.connect(copied.root / "optuna.db") as database:
        database.execute("UPDATE trial_values SET value = 0.999 WHERE trial_id = (SELECT min(trial_id) FROM trials)")
    (words,) = (text for what, text in differing(copied).items() if "trial 0" in what)
    assert words.startswith("[0.999] is stored")


def test_trials_elsewhere_or_a_search_without_a_record_are_said_to_be_unchecked(copied: Store) -> None:
    database = copied.root / "optuna.db"
    database.rename(copied.root / "aside.db")
    assert ["database that the search was given" in item.words for item in found(copied)] == [True]
    (record,) = copied.studies.glob("tiny-search/*/search.json")
    record.unlink()
    (item,) = found(copied)
    assert (item.verdict, f"no record of search {record.parent.name}" in item.words) == ("cannot be checked", True)


def test_trials_that_were_added_since_are_said(copied: Store) -> None:
    written = report_of(copied) / "written.json"
    content = json.loads(written.read_text())
    written.write_text(json.dumps({**content, "results": "of fewer trials"}))
    assert "trials were added or removed" in differing(copied)["reports/tiny-search"]

"""The report of one study never goes because another of its name was run."""

import json
from pathlib import Path

import pytest

from harness.store.reports import find_report, other_report, replace_report, tell_of_other

FIRST, SECOND = "aaaaaaaa11111111", "bbbbbbbb22222222"


def written(tmp_path: Path, identity: str, words: str, kind: str = "study") -> None:
    """Writes a report of this id as the newest of `reports/s`."""
    folder = tmp_path / "new" / words / "report"
    folder.mkdir(parents=True)
    file = "statistics.json" if kind == "study" else "search.json"
    (folder / file).write_text(json.dumps({f"{kind}_id": identity}))
    (folder / "report.md").write_text(words)
    (tmp_path / "reports").mkdir(exist_ok=True)
    replace_report(folder, tmp_path / "reports" / "s", identity)


def lying(tmp_path: Path) -> dict[str, str]:
    return {path.name: (path / "report.md").read_text() for path in (tmp_path / "reports").iterdir()}


def test_another_study_of_the_name_is_kept_beside_and_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "reports" / "s"
    written(tmp_path, FIRST, "one")
    assert other_report(target, FIRST) is None
    said: list[str] = []
    tell_of_other(target, FIRST, said.append)
    assert said == []
    tell_of_other(target, SECOND, said.append)
    assert len(said) == 1 and said[0].endswith("its report is kept in reports/s-aaaaaaaa")
    written(tmp_path, SECOND, "two")
    assert lying(tmp_path) == {"s": "two", "s-aaaaaaaa": "one"}
    assert find_report(target, FIRST) == target.with_name("s-aaaaaaaa")
    written(tmp_path, FIRST, "one again")
    assert lying(tmp_path) == {"s": "one again", "s-bbbbbbbb": "two"}
    assert find_report(target, FIRST) == target
    assert find_report(target, "cccccccc") is None


def test_a_newer_report_of_the_same_study_replaces_the_older_in_either_place(tmp_path: Path) -> None:
    for number, identity in enumerate([FIRST, FIRST, SECOND, FIRST, SECOND, FIRST]):
        written(tmp_path, identity, str(number))
    assert lying(tmp_path) == {"s": "5", "s-bbbbbbbb": "4"}


@pytest.mark.parametrize("kind", ["study", "search"])
def test_a_study_and_a_search_of_one_folder_do_not_replace_each_other(tmp_path: Path, kind: str) -> None:
    written(tmp_path, FIRST, "one", kind)
    written(tmp_path, SECOND, "two", {"study": "search", "search": "study"}[kind])
    assert lying(tmp_path) == {"s": "two", "s-aaaaaaaa": "one"}


def test_what_says_not_whose_it_is_is_kept_too(tmp_path: Path) -> None:
    old = tmp_path / "reports" / "s"
    old.mkdir(parents=True)
    (old / "report.md").write_text("old")
    written(tmp_path, FIRST, "new")
    assert sorted(lying(tmp_path).values()) == ["new", "old"]

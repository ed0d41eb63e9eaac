import json
from pathlib import Path

import pytest

from harness.report.verified.compared import Tools, compared_item
from harness.report.verified.differences import compare_csv, compare_files, compare_json, compare_text

STATISTICS = {
    "name": "small",
    "estimates": [
        {"subject": "a", "on": "test set", "metric": "accuracy", "value": 0.75, "hits": 3, "low": None},
        {"subject": "a", "on": "folds", "metric": "f1", "value": 1 / 3, "folds": [0.5, 0.25]},
    ],
}


def changed(path: str, value: object) -> str:
    """STATISTICS as JSON with another value at this path."""
    content = json.loads(json.dumps(STATISTICS))
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    target = content
    for key in keys:
        target = target[key]
    target[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("estimates.0.value", 0.76, "estimates[0, a, test set, accuracy].value: 0.76 is stored, 0.75 is"),
        ("estimates.1.folds.1", 0.2500001, "estimates[1, a, folds, f1].folds[1]: 0.2500001 is stored, 0.25"),
        ("estimates.0.low", 0.1, "low: 0.1 is stored, `None`"),
        ("estimates.0.hits", "3", "hits: `3` is stored, 3 is"),
        ("estimates.0.hits", True, "hits: `True` is stored"),
        ("name", "smell", "name: `smell` is stored, `small` is"),
        ("estimates", STATISTICS["estimates"][:1], "nothing is stored"),
        ("more", 1, "more: 1 is stored, nothing is"),
    ],
)
def test_every_other_value_of_a_json_file_is_named(path: str, value: object, words: str) -> None:
    found = compare_json(changed(path, value), json.dumps(STATISTICS))
    assert len(found.differences) == 1
    assert words in found.differences[0]


def test_last_digits_are_counted_and_are_no_difference() -> None:
    found = compare_json(changed("estimates.1.value", 1 / 3 + 1e-13), json.dumps(STATISTICS))
    assert (found.differences, found.rounded, found.numbers) == ([], 1, 5)
    assert compare_json(changed("estimates.1.value", 1 / 3 + 1e-8), json.dumps(STATISTICS)).differences


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("patient,value\n007,0.6\n", "row 1, value: 0.6 is stored, 0.5"),
        ("patient,value\n7,0.5\n", "row 1, patient: `7` is stored, `007`"),
        ("patient,value\n0_07,0.5\n", "row 1, patient"),
        ("patients,value\n007,0.5\n", "the name of column 1"),
        ("patient,value\n", "row 1, patient: nothing is stored"),
        ("patient,value\n007,0.5\n008,0.5\n", "row 2, patient: `008` is stored, nothing"),
        ("patient,value\n007,\n", "row 1, value: `` is stored"),
        ("patient,value\n007,0.5,1\n", "row 1, 3: `1` is stored, nothing"),
    ],
)
def test_every_other_cell_of_a_table_is_named(stored: str, words: str) -> None:
    assert words in compare_csv(stored, "patient,value\n007,0.5\n").differences[0]


def test_the_same_table_holds() -> None:
    found = compare_csv("a,b\n0.5,x\n1e-05,-\n", "a,b\n0.50,x\n0.00001,-\n")
    assert (found.differences, found.numbers) == ([], 2)


def test_another_line_of_a_text_is_shown_where_it_parts() -> None:
    long = "x" * 100
    (found,) = compare_text(f"a\n{long}accuracy 0.75\nb\n", f"a\n{long}accuracy 0.76\nb\n").differences
    assert "line 2: `..." in found and "0.75` is stored" in found and "0.76` is" in found
    assert compare_text("a\n", "a\nb\n").differences == ["line 2: `` is stored, `b` is what follows from the results"]


def test_rounding_is_excused_only_where_it_is_allowed_and_only_by_one_digit() -> None:
    assert compare_text("f1 0.123", "f1 0.124").differences
    assert not compare_text("f1 0.123", "f1 0.124", rounding=True).differences
    for other in ("f1 0.125", "f1 0.1234", "f2 0.123", "f1 0.123 | 1"):
        assert compare_text("f1 0.123", other, rounding=True).differences


def test_files_that_are_no_text_are_compared_by_their_bytes_and_broken_ones_differ(tmp_path: Path) -> None:
    for suffix, one, other in ((".png", b"\x00", b"\x01"), (".json", b"{", b"{}"), (".csv", b"\xff", b"a\n")):
        stored, again = tmp_path / f"stored{suffix}", tmp_path / f"again{suffix}"
        stored.write_bytes(one)
        again.write_bytes(other)
        assert compare_files(stored, again).differences
        again.write_bytes(one)
        assert bool(compare_files(stored, again).differences) == (suffix != ".png")


@pytest.mark.parametrize("name", ["checklist.csv", "patients/checklist.csv", "checklist.md", "checklist.tex"])
def test_words_of_other_code_have_one_verdict_in_every_format(name: str) -> None:
    found = compare_csv("item,answer\n1,old words\n", "item,answer\n1,new words\n")
    old, same = Tools(same_code=False, packages=""), Tools(same_code=True, packages="")
    assert compared_item(name, name, found, old, rounded=False).verdict == "cannot be checked"
    assert compared_item(name, name, found, same, rounded=False).verdict == "differs"
    assert compared_item("scenarios.csv", "scenarios.csv", found, old, rounded=False).verdict == "differs"

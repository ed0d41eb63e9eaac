import pytest

from harness.study.number_words import first_of, is_are, number_of, of_others, verb


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (1, "fit", "1 fit is"),
        (0, "blank image", "0 blank images are"),
        (2000, "group of identical files", "2,000 groups of identical files are"),
        (1, "group of identical files", "1 group of identical files is"),
    ],
)
def test_a_number_goes_with_its_noun_and_its_verb(count: int, noun: str, words: str) -> None:
    assert f"{number_of(count, noun)} {is_are(count)}" == words


def test_a_verb_is_that_of_so_many() -> None:
    assert [verb(count, "differs", "differ") for count in (0, 1, 2)] == ["differ", "differs", "differ"]


def test_one_other_is_the_only_one() -> None:
    assert of_others(1, 1) == "the only other"
    assert of_others(1, 13) == "1 of 13 others"


def test_of_a_long_list_the_first_words_stand_and_how_many_more_there_are() -> None:
    assert first_of(["a", "b"], 2) == "a, b"
    assert first_of(["a", "b", "c"], 2, "; ") == "a; b and 1 more"
    assert first_of([*map(str, range(2000))], 1) == "0 and 1,999 more"

"""Numbers with their nouns, and long lists cut short, as a sentence has them."""

from collections.abc import Sequence


def number_of(count: int, noun: str) -> str:
    """The count with the noun in singular or plural: `1 group of files` of `group of files`, `2,000 groups of files`.

    noun: in singular; the plural adds an `s` to it, or to what stands before its `of`.
    """
    head, of, rest = noun.partition(" of ")
    return f"{count:,} {head}{'s' * (count != 1)}{of}{rest}"


def is_are(count: int) -> str:
    """The verb of so many."""
    return verb(count, "is", "are")


def verb(count: int, one: str, several: str) -> str:
    """The verb of so many, as it is for one and for several: `has` and `have`."""
    return one if count == 1 else several


def of_others(count: int, others: int) -> str:
    """So many of the others: `2 of 3 others`, and `the only other` where there is one."""
    return "the only other" if others == 1 else f"{count} of {others} others"


def first_of(words: Sequence[str], most: int, between: str = ", ") -> str:
    """So many of the words at the most, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return between.join(words[:most]) + more

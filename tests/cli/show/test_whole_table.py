"""No width of a terminal cuts a number or a word of a table."""

import io
import re

import pytest
from rich.console import Console

from harness.cli.show.console import rows_table

COLUMNS = ["class", "precision", "specificity", "support", "recall 95 % interval"]
ROWS = [
    ["NORMAL", "0.651", "0.831", "31", "0.747 to 0.967"],
    ["PNEUMONIA", "0.961", "0.903", "1,089", "0.707 to 0.910"],
]
TEXTS = ["ok", "images of 67 patients, such as train/PNEUMONIA/phantom-1.png"]


def printed(width: int, columns: list[str], rows: list[list[str]]) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None, highlight=False)
    console.print(rows_table("test set: dropout-gap + test_resnet + random", columns, rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_numbers_and_words_are_whole_in_every_width(width: int) -> None:
    lines = printed(width, COLUMNS, ROWS)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert "…" not in "".join(lines)
    for row in ROWS:
        assert set(" ".join(row).split()) <= {word.strip(":;") for word in words}
    title = re.sub(r"\s+", " ", " ".join(lines))
    assert title.startswith("test set: dropout-gap + test_resnet + random ")


def test_a_row_that_has_no_room_is_a_paragraph_with_the_names_of_its_columns() -> None:
    lines = [line.rstrip() for line in printed(50, COLUMNS, ROWS)]
    assert lines[1:3] == [
        "- NORMAL: precision 0.651; specificity 0.831;",
        "support 31; recall 95 % interval 0.747 to 0.967",
    ]
    assert [line.split() for line in printed(80, COLUMNS, ROWS)[2:4]] == [" ".join(row).split() for row in ROWS]


def test_long_texts_get_the_room_that_numbers_leave() -> None:
    lines = [line.rstrip() for line in printed(40, ["what", "found"], [TEXTS])]
    assert lines[2:5] == ["what  found", "ok    images of 67 patients, such as", "      train/PNEUMONIA/phantom-1.png"]

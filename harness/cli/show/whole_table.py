"""A table for terminals of any width: no number and no word of it is cut."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

GAP = 2  # between two columns
LONGEST_WORD = 32  # of a text; a longer one, such as a path, may go on in the next line


class WholeTable(Table):
    """A table that gives its columns the width of their words and numbers, and what is left to long texts.

    Where that is more than there is, each row is a paragraph, with the name of the column before each cell.
    """

    def add(self, name: str, numbers: bool) -> None:
        """Add a column; one of numbers is right-aligned, and each of them stands in one line."""
        self.add_column(name, justify="right" if numbers else "left", header_style="dim")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title, caption, self.title, self.caption = self.title, self.caption, None, None
        if title:
            yield Text(str(title), style=str(self.title_style))
        room = options.max_width - GAP * (len(self.columns) - 1)
        least, natural = ([width(c) for c in self.columns] for width in (_least, _natural))
        if sum(least) > room:
            yield from self._paragraphs()
        else:
            for column, width in zip(self.columns, _shared(least, natural, room), strict=True):
                column.width = width
            yield from super().__rich_console__(console, options)
        if caption:
            yield Text(" ")
        self.title, self.caption = title, caption

    def _paragraphs(self) -> Iterator[Text]:
        """Each row in words: what it is about, and the other cells with the names of their columns."""
        names = [str(column.header) for column in self.columns]
        for row in zip(*(column.cells for column in self.columns), strict=True):
            first, *cells = (
                f"{name} {cell}".strip() if str(cell) else "" for name, cell in zip(names, row, strict=True)
            )
            subject = first if _has_numbers(self.columns[0]) else str(row[0])
            yield Text(f"- {subject}: " + "; ".join(cell for cell in cells if cell))


def _has_numbers(column: Column) -> bool:
    return column.justify == "right"


def _least(column: Column) -> int:
    """The characters without which a number or a word would be cut."""
    cells, words = [str(cell) for cell in column.cells], str(column.header).split()
    numbers = [cell_len(cell) for cell in cells] if _has_numbers(column) else []
    words += [] if numbers else " ".join(cells).split()
    return max([1, *numbers, *(min(LONGEST_WORD, cell_len(word)) for word in words)])


def _natural(column: Column) -> int:
    """The characters with which nothing is wrapped."""
    texts = [str(column.header), *(str(cell) for cell in column.cells)]
    return max([1, *(cell_len(line) for text in texts for line in text.split("\n"))])


def _shared(least: list[int], natural: list[int], room: int) -> list[int]:
    """The widths of the columns: those that want more get what is left in turns."""
    widths = [min(pair) for pair in zip(least, natural, strict=True)]
    while sum(widths) < min(room, sum(natural)):
        for index, wanted in enumerate(natural):
            if widths[index] < wanted and sum(widths) < room:
                widths[index] += 1
    return widths

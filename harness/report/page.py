"""The report as one HTML page that needs no network: `report.md` with its figures inside."""

import base64
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from jinja2 import Template
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

PageLinks = Mapping[str, str]  # the words of a link -> its URL
PART = '<details class="part"><summary>'
WIDE_POINTS = 360  # a figure from this width on has a row of its own, and scrolls on a phone
MAX_ROWS = 25  # of a table that is not folded
SEVERITIES = ("error", "warning", "note")  # of the audit
VERDICT = "verdict"  # the column that a compact leaderboard has
IN_MLFLOW = Markup("In MLflow, while <code>harness ui</code> runs")


@dataclass(frozen=True)
class Heading:
    """A section of the page in its table of contents."""

    id: str
    title: str


def write_page(folder: Path, links: PageLinks | None = None) -> Path:
    """Write `index.html` from the folder's `report.md` and its figures, and return its path.

    links: into MLflow, for the head of the page.
    """
    text = (folder / "report.md").read_text(encoding="utf-8")
    groups: dict[str, PageLinks] = {IN_MLFLOW: links} if links else {}
    (folder / "index.html").write_text(page_html(text, folder, groups, folded=True), encoding="utf-8")
    return folder / "index.html"


def page_html(text: str, folder: Path, groups: Mapping[str, PageLinks], folded: bool = False) -> str:
    """The page of a text in Markdown, with its figures from the folder inside.

    A figure that exists as SVG is included as SVG, whose colours follow the reader's light or dark page.
    groups: links for the head of the page, by their titles. folded: whether the reader unfolds all sections but the
    first.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    contents = _name_headings(tokens)
    _shape(tokens)
    _label_cells(tokens)
    tokens = _foldable(tokens) if folded else tokens
    numbers = count(1)

    def image(_renderer: Any, siblings: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
        return _figure(folder, str(siblings[index].attrGet("src")), siblings[index].content, next(numbers))

    parser.add_render_rule("image", image)
    parser.add_render_rule("fence", lambda _renderer, all_, index, *_: _folded(all_[index].content))
    # a wide table scrolls, by the keyboard too
    parser.add_render_rule("table_open", lambda _renderer, all_, index, *_: _table_open(all_[index]))
    parser.add_render_rule("table_close", lambda _renderer, all_, index, *_: _table_close(all_[index]))
    body = parser.renderer.render(tokens, parser.options, {})
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"), autoescape=True)
    page: str = template.render(
        title=_title(tokens), contents=contents, body=Markup(body), groups=groups, folded=folded
    )
    return page


def _title(tokens: Sequence[Token]) -> str:
    return next((tokens[i + 1].content for i, token in enumerate(tokens) if token.tag == "h1"), "report")


def _name_headings(tokens: Sequence[Token]) -> list[Heading]:
    """Give each section heading an id, and return the table of contents."""
    found: list[Heading] = []
    for opening, words in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            heading = Heading(f"part-{len(found) + 1}", words.content)
            opening.attrSet("id", heading.id)
            found.append(heading)
    return found


def _shape(tokens: Sequence[Token]) -> None:
    """Set the classes of the style sheet: figures, captions, warnings, and the row of the winner."""
    for index, token in enumerate(tokens):
        if token.type == "paragraph_open":
            parts = [child for child in tokens[index + 1].children or [] if child.type != "softbreak"]
            if parts and all(part.type == "image" for part in parts):
                token.tag = tokens[index + 2].tag = "figure"
                token.attrSet("class", "several" if len(parts) > 1 else "one")
            elif parts and parts[0].type == "em_open" and parts[-1].type == "em_close":
                token.attrSet("class", "caption")
            elif len(parts) > 1 and parts[1].type == "strong_open" and not parts[0].content:
                token.attrSet("class", "warning")
        elif token.type == "tr_open":
            row = tokens[index : index + next(i for i, t in enumerate(tokens[index:]) if t.type == "tr_close")]
            if any(cell.type == "inline" and cell.content == "selected" for cell in row) and row[1].tag == "td":
                token.attrSet("class", "selected")


def _label_cells(tokens: Sequence[Token]) -> None:
    """Give each cell of a leaderboard or a gallery the name of its column: its rows are cards, there on a phone."""
    for index, token in enumerate(tokens):
        if token.type == "table_open":
            end = index + next(i for i, t in enumerate(tokens[index:]) if t.type == "table_close")
            table = tokens[index:end]
            names = [words.content for cell, words in pairwise(table) if cell.type == "th_open"]
            if (rows := sum(t.type == "tr_open" for t in table) - 1) > MAX_ROWS:
                token.meta["rows"] = tokens[end].meta["rows"] = rows
            pictures = [image for cell in table if (image := _picture(cell))]
            if pictures:
                token.attrSet(
                    "class", "table gallery pairs" if "grad-cam" in str(pictures[0].attrGet("src")) else "table gallery"
                )
            if "severity" in names:
                _mark_severities(table)
            if VERDICT in names:
                token.attrSet("class", "table cards")
            if VERDICT in names or pictures:
                for number, cell in enumerate(t for t in table if t.type == "td_open"):
                    cell.attrSet("data-label", names[number % len(names)])


def _picture(cell: Token) -> Token | None:
    """The picture that a cell begins with."""
    first = next(iter(cell.children or []), None)
    return first if first and first.type == "image" else None


def _mark_severities(table: Sequence[Token]) -> None:
    """Set the class of the cells of the audit that are a severity, and by what they are sorted."""
    for cell, words in pairwise(table):
        if cell.type == "td_open" and words.content in SEVERITIES:
            cell.attrSet("class", words.content)
            cell.attrSet("data-sort", str(SEVERITIES.index(words.content)))


def _table_open(token: Token) -> str:
    """A table in a box of its own: a wide one scrolls, by the keyboard too; a long one is folded."""
    fold = f"<details><summary>Show its {rows:,} rows</summary>" if (rows := token.meta.get("rows")) else ""
    return f'{fold}<div class="{token.attrGet("class") or "table"}" tabindex="0"><table>'


def _table_close(token: Token) -> str:
    return f"</table></div>{'</details>' if token.meta.get('rows') else ''}"


def _foldable(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with all sections but the first in blocks that the reader unfolds by their headings."""
    found, parts = list[Token](), 0
    for token in tokens:
        opens = token.type == "heading_open" and token.tag == "h2"
        parts += opens
        if opens and parts > 1:
            found.append(_html(f"</details>{PART}" if parts > 2 else PART))
        found.append(token)
        if token.type == "heading_close" and token.tag == "h2" and parts > 1:
            found.append(_html("</summary>"))
    return [*found, *([_html("</details>")] if parts > 1 else [])]


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def _folded(text: str) -> str:
    """A block of text that the reader unfolds."""
    words = f"Show its {text.count(chr(10)):,} lines"
    return str(Markup("<details><summary>{}</summary><pre>{}</pre></details>").format(words, text))


def _figure(folder: Path, source: str, words: str, number: int) -> str:
    """The figure as HTML that refers to no file."""
    path = folder / source
    if path.with_suffix(".svg").is_file():
        return _inline_svg(path.with_suffix(".svg").read_text(encoding="utf-8"), words, f"f{number}-")
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    data = base64.b64encode(path.read_bytes()).decode()
    return str(Markup('<img alt="{}" src="data:{};base64,{}">').format(words, kind, data))


def _inline_svg(svg: str, words: str, prefix: str) -> str:
    """matplotlib's SVG for use inside a page: unique ids, the page's text colour for black, no white background."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<path d="[^"]*"\s+style="fill: #ffffff"/>', "", svg)
    svg = svg.replace("#000000", "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    width = re.search(r'<svg[^>]*\bwidth="([\d.]+)pt"', svg)
    kind = ' class="wide"' if width and float(width[1]) > WIDE_POINTS else ""
    return svg.replace("<svg", str(Markup('<svg role="img" aria-label="{}"').format(words)) + kind, 1)

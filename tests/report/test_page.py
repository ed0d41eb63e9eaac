import base64
import re
from collections import Counter
from pathlib import Path

import pytest

from harness.report.page import write_page
from tests.conftest import Finished

GIF = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")
SVG = """<?xml version="1.0"?>
<svg width="9pt" xmlns="http://www.w3.org/2000/svg"><metadata>made then</metadata>
<path d="M 0 0
z" style="fill: #ffffff"/><path id="m1" style="stroke: #000000"/><use xlink:href="#m1" clip-path="url(#m1)"/></svg>
"""


def page(folder: Path, text: str, **links: str) -> str:
    """The page made of this Markdown."""
    (folder / "report.md").write_text(text)
    return write_page(folder, links).read_text()


def test_words_tables_and_contents(tmp_path: Path) -> None:
    found = page(tmp_path, "# Mine\n\n## First\n\nWords.\n\n## Second\n\n| a | b |\n|---|---:|\n| x | 1 |\n")
    assert "<title>Mine</title>" in found
    assert re.findall(r'<a href="#([\w-]+)">(\w+)</a>', found) == [("part-1", "First"), ("part-2", "Second")]
    assert re.findall(r'<h2 id="([\w-]+)">(\w+)</h2>', found) == [("part-1", "First"), ("part-2", "Second")]
    assert '<div class="table" tabindex="0"><table>' in found
    assert '<td style="text-align:right">1</td>' in found


def test_all_sections_but_the_first_are_folded(tmp_path: Path) -> None:
    found = page(tmp_path, "# Mine\n\n## First\n\nOne.\n\n## Second\n\nTwo.\n\n## Third\n\nThree.\n")
    folded = re.findall(r'<details class="part"><summary><h2 id="part-\d">(\w+)</h2>\s*</summary><p>(\w+)', found)
    assert folded == [("Second", "Two"), ("Third", "Three")]
    assert found.count("<details") == found.count("</details>") == 2
    assert "<details" not in page(tmp_path, "# Mine\n\n## First\n\nOne.\n")


def test_the_cells_of_a_leaderboard_name_their_columns(tmp_path: Path) -> None:
    found = page(tmp_path, "| head | verdict |\n|---|---|\n| x | best |\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert re.findall(r'<td data-label="(\w+)">(\w+)', found) == [("head", "x"), ("verdict", "best")]
    assert found.count('<div class="table cards" tabindex="0">') == found.count('<div class="table" tabindex="0">') == 1


def test_figures_captions_warnings_and_the_winner_have_their_classes(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(GIF)
    text = "**Careful.** Words.\n\n![one](a.gif)\n\n*said of it*\n\n![one](a.gif)\n![two](a.gif)\n\nnot **so** much\n\n"
    found = page(tmp_path, text + "| head | selected |\n|---|---|\n| x | selected |\n| y | |\n")
    assert found.count('<p class="warning"><strong>Careful.') == found.count('class="warning"') == 1
    assert found.count('<figure class="one">') == found.count('<figure class="several">') == 1
    assert '<p class="caption"><em>said of it' in found
    assert re.findall(r'<tr class="selected">\s*<td>(\w)', found) == ["x"]


def test_a_picture_lies_in_the_page_and_its_svg_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(GIF)
    (tmp_path / "b.png").write_bytes(b"not to be used")
    (tmp_path / "b.svg").write_text(SVG)
    found = page(tmp_path, '![a <b>](a.gif)\n\n![c "d"](b.png)\n\n![e](b.png)\n')
    assert f'<img alt="a &lt;b&gt;" src="data:image/gif;base64,{base64.b64encode(GIF).decode()}">' in found
    assert 'role="img" aria-label="c &#34;d&#34;" width="9pt"' in found
    assert "made then" not in found
    assert "#ffffff" not in found.partition("<main>")[2]
    assert found.count("stroke: currentColor") == 2
    assert re.findall(r'id="(f\d-m1)"', found) == ["f2-m1", "f3-m1"], "ids are the page's, not the figure's"
    assert re.findall(r'href="#(\S+)" clip-path="url\(#(\S+)\)"', found) == [("f2-m1",) * 2, ("f3-m1",) * 2]


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))"]
)
def test_a_hostile_name_stays_words(tmp_path: Path, name: str) -> None:
    found = page(tmp_path, f"# {name}\n\n## {name}\n\n| {name} |\n|---|\n| {name} |\n")
    assert not re.search(r"<img|href=.javascript", found)
    assert found.count("<script") == 1, "the page's own"


def test_links_are_there_where_there_are_any(tmp_path: Path) -> None:
    assert "MLflow" not in page(tmp_path, "# x\n")
    assert '<a href="http://127.0.0.1:5000/#/a?b&amp;c">board</a>' in page(
        tmp_path, "# x\n", board="http://127.0.0.1:5000/#/a?b&c"
    )


def test_a_studys_page_refers_to_nothing_outside_and_no_two_parts_share_an_id(finished: Finished) -> None:
    found = finished.run.report.with_name("index.html").read_text()
    assert not re.search(r"<script [^>]|<link|@import|<iframe", found)
    sources = re.findall(r'(?:src|xlink:href)="([^"]*)"|url\(([^)]*)\)', found)
    assert sources
    assert [s for s in (a or b for a, b in sources) if not s.startswith(("data:image/", "#"))] == []
    assert [name for name, times in Counter(re.findall(r'\bid="([^"]+)"', found)).items() if times > 1] == []


def test_a_studys_page_says_all_that_its_report_says(finished: Finished) -> None:
    text, found = finished.run.report.read_text(), finished.run.report.with_name("index.html").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == re.findall(r'<h2 id="[\w-]+">(.+?)</h2>', found)
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|--")]
    assert found.count("<tr") == len(rows)
    assert found.count('role="img"') + found.count("<img") == text.count("![")


def test_a_table_with_pictures_is_a_gallery_whose_cells_name_their_columns(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(GIF)
    (tmp_path / "grad-cam.gif").write_bytes(GIF)
    head = "|  | true | probability |\n|---|---|---:|\n"
    text = f"{head}| ![one](a.gif) | x | 0.9 |\n\n{head}| ![two](grad-cam.gif) | x | 0.9 |\n"
    found = page(tmp_path, text)
    assert re.findall(r'<div class="table (gallery.*?)"', found) == ["gallery", "gallery pairs"]
    assert re.findall(r'data-label="(\w*)"', found) == ["", "true", "probability"] * 2
    assert found.count(base64.b64encode(GIF).decode()) == 2, "each picture is there once"


def test_a_long_table_is_folded(tmp_path: Path) -> None:
    rows = "| x |\n" * 26
    found = page(tmp_path, f"| a |\n|---|\n{rows}\n\n| b |\n|---|\n| y |\n")
    assert found.count("<details><summary>Show its 26 rows</summary><div") == found.count("</details>") == 1


def test_a_wide_figure_has_a_row_of_its_own(tmp_path: Path) -> None:
    for width in ("359", "361"):
        (tmp_path / f"w{width}.png").write_bytes(b"")
        (tmp_path / f"w{width}.svg").write_text(f'<svg width="{width}pt"></svg>')
    assert re.findall(r'class="wide" width="(\d+)pt', page(tmp_path, "![a](w359.png)\n![b](w361.png)\n")) == ["361"]

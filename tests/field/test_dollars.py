"""Names that are more than letters to matplotlib, Markdown, HTML or LaTeX."""

import html
from pathlib import Path

import pytest

from tests.field.conftest import Harness, draw, write_study

PRICES = ("5$ to 10$", "over 10$ ^_^ (20$)", "_rest_ *x* <b>|`c` 健")


@pytest.mark.long
@pytest.mark.figures
def test_classes_of_any_characters_have_their_report(harness: Harness) -> None:
    for number, name in enumerate(PRICES):
        draw(Path("d/train", name), 8, 30 * number)
        draw(Path("d/test", name), 3, 30 * number)
    write_study()
    text = Path("s.yaml").read_text(encoding="utf-8")
    Path("s.yaml").write_text(text.replace("study: s", "study: s\ndescription: 'costs 5$ ^_^ 10$'"), encoding="utf-8")
    ended = harness("run", "s.yaml")
    assert ended.code == 0, ended.err
    assert "Glyph" not in ended.err
    assert "no figure" not in ended.err
    report = Path("mlruns/reports/s")
    page, figures = (report / "index.html").read_text(encoding="utf-8"), list(report.glob("*.svg"))
    roc = next(html.unescape(file.read_text(encoding="utf-8")) for file in figures if "roc" in file.name)
    for name in PRICES:
        assert f">{html.escape(name, quote=False)}</td>" in page, "in a table of the page, character by character"
        assert name in roc, "a legend names every class"
    latex = "\n".join(file.read_text(encoding="utf-8") for file in report.glob("*.tex"))
    assert r"5\$ to 10\$" in latex
    assert PRICES[0] not in latex

"""The report's page as a reader sees it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import luminance
from tests.conftest import Finished

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.ui

DESKTOP, LAPTOP, WIDE, PHONE = (1400, 900), (1280, 800), (1920, 1080), (390, 844)
PAPER = (718, 1047)  # A4 without margins of 1 cm, 96 pixels an inch


class Reader:
    """Opens the report in one size and scheme, with the network cut off, and keeps what the page tried to load."""

    def __init__(self, browser: "Browser", finished: Finished) -> None:
        self._browser, self._url = browser, finished.run.report.with_name("index.html").as_uri()
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def open(self, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> "Page":
        """The page, loaded."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            offline=True,
        )
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self._url)
        return page

    def unfolded(self, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> "Page":
        """The page with all sections open."""
        page = self.open(size, scheme)
        page.evaluate("for (const part of document.querySelectorAll('details.part')) part.open = true")
        return page


@pytest.fixture
def reader(browser: "Browser", finished: Finished) -> Iterator[Reader]:
    yield Reader(browser, finished)
    for context in browser.contexts:
        context.close()


def test_the_page_loads_nothing_but_itself_and_the_browser_has_no_complaint(reader: Reader) -> None:
    page = reader.open()
    assert [url for url in reader.requests if not url.startswith("data:")] == [page.url]
    assert reader.complaints == []


def test_the_page_shows_the_summary_the_winner_and_every_figure(reader: Reader, finished: Finished) -> None:
    page = reader.unfolded()
    best = finished.run.state.stages[0].best
    assert best is not None
    assert f"{best.name} has the best mean val/roc_auc" in page.inner_text("main > ul >> nth=0")
    winners = page.locator("tr.selected")
    assert best.settings.head in winners.nth(1).inner_text()
    assert winners.count() == len(finished.run.state.stages) + 1, "and in the summary"
    figures = page.locator("figure svg, figure img, td img")
    sizes = figures.evaluate_all("all => all.map(f => [f.getBoundingClientRect().width, f.naturalWidth ?? 1])")
    assert len(sizes) > 10
    assert all(width > 50 and natural > 0 for width, natural in sizes)


def test_the_study_file_is_folded_and_opens(reader: Reader, finished: Finished) -> None:
    page = reader.unfolded(PHONE)
    text = page.locator("details pre")
    assert not text.is_visible()
    page.locator("details:has(> pre) > summary").click()
    assert text.inner_text().strip() == finished.study.text.strip()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_the_contents_lead_to_every_part(reader: Reader) -> None:
    page = reader.open()
    titles = page.locator("main h2").all_inner_texts()
    assert page.locator("nav ol a").all_inner_texts() == titles
    page.locator("nav ol a").last.click()
    page.wait_for_function("[...document.querySelectorAll('main h2')].pop().getBoundingClientRect().top < innerHeight")


@pytest.mark.parametrize("size", [LAPTOP, WIDE, PHONE], ids=["laptop", "wide", "phone"])
def test_the_first_screen_has_the_question_the_answer_and_the_whole_leaderboard(
    reader: Reader, size: tuple[int, int]
) -> None:
    page = reader.open(size)
    answer, board = page.locator("main p:has-text('Selected:')"), page.locator("main .cards").first
    place = "e => { const r = e.getBoundingClientRect(); return [r.top, r.right]; }"
    (top, _), (row, right) = answer.evaluate(place), board.evaluate(place)
    assert (top < row < size[1]) if size != PHONE else top < size[1]
    assert right <= size[0]
    assert board.evaluate("e => e.scrollWidth <= e.clientWidth"), "no column is cut"
    assert page.evaluate("document.documentElement.scrollHeight") < 8 * size[1], "details are folded"


def test_a_long_name_pushes_no_column_of_the_leaderboard_out_of_view(reader: Reader) -> None:
    board = reader.open(LAPTOP).locator("main .cards").first
    name = "tf_efficientnet_lite0 (weights=tf_efficientnet_lite0.safetensors) + dropout-flatten + random"
    board.evaluate("(e, name) => e.querySelectorAll('td:first-child').forEach(td => td.textContent = name)", name)
    board.evaluate("e => e.querySelectorAll('tr').forEach(row => row.insertCell().textContent = '0.951 ± 0.025')")
    assert board.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_a_link_to_a_folded_part_and_the_button_unfold(reader: Reader) -> None:
    page = reader.open()
    closed = "document.querySelectorAll('details.part:not([open])').length"
    before = page.evaluate(closed)
    page.locator("nav ol a").nth(2).click()
    page.wait_for_function(f"{closed} === {before - 1}")
    page.locator("#unfold").click()
    assert page.evaluate(closed) == 0


def test_a_table_is_sorted_by_a_click_and_back(reader: Reader) -> None:
    page = reader.unfolded()
    table = page.locator("main .cards").first
    column = table.locator("th").all_inner_texts().index("roc_auc") + 1
    values = f"all => all.map(e => parseFloat(e.querySelector('td:nth-child({column})').textContent))"
    rows = table.locator("tbody tr")
    for ascending in (True, False):
        table.locator("th").nth(column - 1).click()
        found = rows.evaluate_all(values)
        assert found == sorted(found, reverse=not ascending)


def test_a_picture_of_an_error_is_enlarged_by_the_keyboard_and_the_next_one_follows(reader: Reader) -> None:
    page = reader.unfolded()
    pictures = page.locator(".gallery img")
    assert pictures.count() > 2
    pictures.first.focus()
    page.keyboard.press("Enter")
    large = page.locator("dialog img")
    assert large.is_visible()
    assert large.get_attribute("src") == pictures.first.get_attribute("src")
    assert large.get_attribute("alt") == pictures.first.get_attribute("alt") != ""
    assert "true " in page.inner_text("dialog p") and "predicted " in page.inner_text("dialog p")
    width = "e => e.getBoundingClientRect().width"
    assert large.evaluate(width) > 3 * pictures.first.evaluate(width)
    page.keyboard.press("ArrowRight")
    assert large.get_attribute("src") == pictures.nth(1).get_attribute("src")
    page.keyboard.press("Escape")
    assert not large.is_visible()
    assert pictures.nth(1).evaluate("e => document.activeElement === e")
    assert [url for url in reader.requests if not url.startswith("data:")] == [page.url]


def test_pictures_and_grad_cam_have_readable_words_under_them(reader: Reader) -> None:
    page = reader.unfolded(PHONE)
    assert page.locator(".pairs tr").count() > 0
    for card in page.locator(".gallery tbody tr").all():
        cells = card.locator("td")
        words = dict(cells.evaluate_all("all => all.map(e => [e.dataset.label, e.textContent])"))
        assert {"true", "predicted", "probability"} <= set(words) or "finding" in words
        assert all(
            float(size) >= 12
            for size in cells.evaluate_all("all => all.map(e => parseFloat(getComputedStyle(e).fontSize))")
        )
        assert card.locator("img").get_attribute("alt")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_severities_of_the_audit_differ_by_colour_and_word(reader: Reader, scheme: str) -> None:
    page = reader.unfolded(scheme=scheme)
    cells = page.locator("td[data-sort]")
    found = cells.evaluate_all("all => all.map(e => [e.className, e.textContent, getComputedStyle(e).color])")
    assert all(kind == word for kind, word, _ in found)
    assert len({colour for _, _, colour in found}) == len({word for _, word, _ in found}) > 1
    assert [word for _, word, _ in found] == sorted((w for _, w, _ in found), key=["error", "warning", "note"].index)


@pytest.mark.parametrize(("scheme", "ground_is_light"), [("light", True), ("dark", False)])
def test_words_tables_and_figures_follow_the_readers_scheme(reader: Reader, scheme: str, ground_is_light: bool) -> None:
    page = reader.open(scheme=scheme)
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground > 0.5) == ground_is_light
    for ink, style in (("p", "color"), ("td", "color"), ("figure svg text", "fill")):
        colour = page.locator(ink).first.evaluate(f"e => getComputedStyle(e).{style}")
        assert abs(luminance(colour) - ground) > 0.6, ink


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_page_never_scrolls_sideways(reader: Reader, size: tuple[int, int]) -> None:
    page = reader.unfolded(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("main p").first.evaluate("p => parseFloat(getComputedStyle(p).fontSize)") >= 16


def test_in_print_there_is_ink_on_white_and_no_navigation(reader: Reader) -> None:
    page = reader.open(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.99
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4")[:5] == b"%PDF-"


def test_on_paper_no_word_of_the_audit_is_broken_and_nothing_is_cut(reader: Reader) -> None:
    page = reader.unfolded(PAPER)
    page.emulate_media(media="print")
    heights = page.locator("tr:has(td[data-sort])").evaluate_all("all => all.map(e => e.clientHeight)")
    assert 0 < max(heights) < 200, "cells as narrow as a letter are high"
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER[0]


def test_the_links_into_mlflow_name_the_runs(reader: Reader, finished: Finished) -> None:
    page = reader.open()
    links = dict(page.locator("nav ul a").evaluate_all("all => all.map(a => [a.innerText, a.href])"))
    assert links.pop("leaderboard") == finished.run.url
    assert {f"test: {test.name}" for test in finished.run.state.tests} <= set(links)
    views = {words: links.pop(words) for words in finished.run.views if words in links}
    assert set(views) == set(finished.run.views) - {"leaderboard"}
    assert len(links) == 1 + 3 + 1  # the study, its scenarios, the test
    address = r"http://127\.0\.0\.1:5000/#/experiments/\d+/runs/[0-9a-f]{32}\?workflowType=machine_learning"
    assert all(re.fullmatch(address, url) for url in links.values())

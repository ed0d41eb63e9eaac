"""The pages of compared studies and of a suite as a reader sees them: on a phone, on screens, in the dark, on paper."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.prepare import named_workspace
from harness.report.across.across_page import write_compared
from harness.report.across.compared_studies import compare_studies
from harness.report.across.ranked_models import ranked_models
from harness.report.across.sides import Opened, ranking_side
from harness.report.across.suite_page import SuitePage, write_suite
from harness.store import Store
from harness.study.suite_file import load_suite
from harness.tracking.stored_report import stored_state
from tests.browser.conftest import luminance
from tests.report.across.studies import ran, study_text, write_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.ui

SIZES = {"phone": (390, 844), "laptop": (1280, 800), "wide": (1920, 1080)}
PAPER = (718, 1047)  # A4 without margins of 1 cm, 96 pixels an inch
KINDS = ("paired", "ranked", "suite")
SUITE = """\
suite: all
datasets:
  a: {{data: {{source: folder, path: {0}/same, image_size: 32}}}}
  other: {{data: {{source: folder, path: {0}/other, image_size: 32}}}}
folds: {{k: 3}}
base: {{backbone: test_resnet, weights: none, trainable: head, epochs: 1}}
stages: [{{name: heads, grid: {{head: [logistic, knn]}}, select: {{metric: val/accuracy}}}}]
"""
# what is beyond the right edge although it is in no part that scrolls
CUT = """[...document.querySelectorAll("main *")].filter(e => !e.closest(".table, pre, figure")
  && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of studies of the same images, of studies of others, and of a suite with a data set that failed."""
    folder, store = tmp_path_factory.mktemp("across"), Store(tmp_path_factory.mktemp("store"))
    same, other = write_images(folder / "same"), write_images(folder / "other", first=100)
    long = "second-study-with-a-name-that-is-long"
    for text in (
        study_text("a", same, more="test: {stages: [heads]}"),
        study_text(long, same, "knn", rate="2.0e-3", more="test: {stages: [heads]}"),
        study_text("other", other),
    ):
        ran(folder, store, text)

    def opened(*names: str) -> list[Opened]:
        return [(w, stored_state(w)) for w in (named_workspace(name, store) for name in names)]

    (folder / "all.yaml").write_text(SUITE.format(folder), encoding="utf-8")
    sides = [side for w, state in opened("a", "other") if (side := ranking_side(w.study.study, w, state))]
    suite = SuitePage(
        load_suite(folder / "all.yaml"), sides, ranked_models(sides), {"third": "a broken image: " + "x" * 200}, "suite"
    )
    return {
        "paired": write_compared(compare_studies(opened("a", long)), folder / "paired"),
        "ranked": write_compared(compare_studies(opened("a", "other")), folder / "ranked"),
        "suite": write_suite(suite, folder / "suite"),
    }


@pytest.fixture
def show(browser: "Browser", pages: dict[str, Path]) -> "Iterator[Callable[..., Page]]":
    """Opens a page without a network; what the browser complains of, or a request for more, fails the test."""
    complaints: list[str] = []

    def go(kind: str, size: tuple[int, int], scheme: str = "light") -> "Page":
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            offline=True,
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(pages[kind].as_uri())
        return page

    yield go
    for context in browser.contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_nothing_is_cut_and_wide_tables_scroll_in_themselves(
    show: "Callable[..., Page]", size: tuple[int, int]
) -> None:
    for kind in KINDS:
        page = show(kind, size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], kind
        assert page.evaluate(CUT) == [], kind
        tables = page.locator(".table")
        assert tables.count() >= 2
        found = tables.evaluate_all(
            "all => all.map(e => [e.scrollWidth > e.clientWidth, getComputedStyle(e).overflowX])"
        )
        assert {style for _, style in found} == {"auto"}
        assert size == SIZES["phone"] or not any(wide for wide, _ in found), "a screen has room for all"
        if kind != "paired":
            figure = page.locator("figure svg").first
            assert figure.evaluate("e => e.getBoundingClientRect().width") > 200


def test_in_the_dark_words_tables_and_figures_are_light(show: "Callable[..., Page]") -> None:
    for kind in KINDS:
        page = show(kind, SIZES["laptop"], "dark")
        ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert ground < 0.5
        for ink, style in (("main p", "color"), ("td", "color"), ("figure svg text", "fill")):
            if page.locator(ink).count():
                colour = page.locator(ink).first.evaluate(f"e => getComputedStyle(e).{style}")
                assert luminance(colour) - ground > 0.5, (kind, ink)


def test_on_paper_there_is_ink_on_white_and_every_table_fits(show: "Callable[..., Page]") -> None:
    for kind in KINDS:
        page = show(kind, PAPER, "dark")
        page.emulate_media(media="print", color_scheme="dark")
        assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.99
        assert luminance(page.locator("td").first.evaluate("e => getComputedStyle(e).color")) < 0.1
        edges = page.locator("table, figure").evaluate_all("all => all.map(e => e.getBoundingClientRect().right)")
        assert max(edges) <= PAPER[0], kind
        for shown, elements in ((True, "details pre"), (False, "details:not(.part) > summary")):
            assert all(e.is_visible() == shown for e in page.locator(elements).all()), "what a click unfolds is there"
        assert page.locator("details pre").count() or kind != "suite"
        assert page.pdf(format="A4", prefer_css_page_size=True)[:5] == b"%PDF-"

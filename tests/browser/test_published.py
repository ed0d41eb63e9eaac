"""A published folder as a reviewer opens it: from the file system, without a network."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from harness.prepare import named_workspace
from harness.report.published.copies import Publication
from harness.report.published.publication import publish
from tests.conftest import Finished

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.ui


def test_the_pages_load_nothing_but_themselves_and_every_link_leads_to_a_file(
    browser: "Browser", finished: Finished, tmp_path: Path
) -> None:
    out = tmp_path / "sent"
    publish(Publication(named_workspace("small", finished.store)), out)
    context = browser.new_context(offline=True)
    page, requests, complaints = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    for name in ("index.html", "model-card.html"):
        requests.clear()
        page.goto((out / name).as_uri())
        assert [url for url in requests if not url.startswith("data:")] == [page.url]
        links = page.locator("a").evaluate_all("all => all.map(a => a.href)")
        files = [url for url in links if urlsplit(url).fragment == ""]
        assert [url for url in files if not Path(unquote(urlsplit(url).path)).is_file()] == []
        assert name != "index.html" or len(files) > 40
    page.goto((out / "index.html").as_uri())
    page.click("nav >> text=model card")
    assert "Model card: small" in page.inner_text("h1")
    assert complaints == []
    context.close()

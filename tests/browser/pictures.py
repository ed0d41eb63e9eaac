"""Make the pictures of README and the pages, of a finished quickstart: `python -m tests.browser.pictures STORE`.

terminal.png is what `harness run` prints in 100 columns, with mlruns for the path of the store; report.png the first
screen of the report; leaderboard.png and curves.png are pages of MLflow; suite.png is the page of the suite that has
its report in studies/results.
"""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image
from rich.console import Console
from rich.text import Text

from harness.report.page import page_html
from harness.store import Store
from tests.browser.conftest import launched, served
from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Page

COLUMNS, LINES = 100, 50
PLACE = ROOT / ".github"
COLOURS = 128  # of a picture: the pages have few
PATIENCE, SETTLED = 90_000, 1_500  # ms


def main(store: Store) -> None:
    """Make all pictures."""
    report = (store.reports / "quickstart" / "index.html").resolve()
    links = re.findall(r'href="(http://127[^"]+)">([^<]+)<', report.read_text(encoding="utf-8"))
    views = {name: link.replace("&amp;", "&") for link, name in links}
    with launched() as browser, TemporaryDirectory() as folder, served(store) as port:
        assert browser is not None, "no Chromium"
        _shot(_page(browser, terminal_page(store, Path(folder)).as_uri(), 1240, 900), "terminal", "svg")
        _shot(_page(browser, report.as_uri(), 1280, 800), "report")
        _shot(_page(browser, suite_page(Path(folder)).as_uri(), 1280, 1110), "suite")
        page = _page(browser, _at(port, views["leaderboard"]), 1600, 900)
        page.get_by_text("matching runs").wait_for()
        page.get_by_text("cannot resolve").first.wait_for()
        _shot(page, "leaderboard", clip={"x": 205, "y": 190, "width": 1316, "height": 410})
        page = _page(browser, _at(port, views["curves by head"]), 1600, 1000)
        page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
        _shot(page, "curves", clip={"x": 205, "y": 190, "width": 700, "height": 565})


def printed(store: Store, folder: Path) -> str:
    """What the run of a finished quickstart prints in 100 columns. folder: in place of the user's state of programs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "harness.cli", "run", "studies/quickstart.yaml", "--store", str(store.root)]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", "XDG_STATE_HOME": str(folder)}
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    found = b""
    while True:
        try:
            read = os.read(ours, 65_536)
        except OSError:  # the process has ended
            break
        if not read:
            break
        found += read
    assert process.wait() == 0
    return found.decode()


def terminal_page(store: Store, folder: Path) -> Path:
    """A page that shows what was printed, as a terminal does."""
    lines = printed(store, folder).replace("\r\n", "\n").split("\n")
    text = "\n".join(re.sub(r"\x1b\[\?\d+[lh]|\x1b\[\d*[AKJ]", "", line.rpartition("\r")[2]) for line in lines)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text("$ harness run studies/quickstart.yaml", style="bold"))
    text = text.rstrip().replace(str(store.root), "mlruns").replace("python -m harness.cli", "harness")
    console.print(Text.from_ansi(text))
    console.save_svg(str(folder / "terminal.svg"), title=f"{COLUMNS} columns")
    return folder / "terminal.svg"


def suite_page(folder: Path) -> Path:
    """The page of the suite of which studies/results has the report."""
    written = ROOT / "studies" / "results" / "suite-small"
    text = (written / "report.md").read_text(encoding="utf-8")
    (folder / "suite.html").write_text(page_html(text, written, {}), encoding="utf-8")
    return folder / "suite.html"


def _at(port: int, address: str) -> str:
    return address.replace(":5000/", f":{port}/")


def _page(browser: "Browser", address: str, width: int, height: int) -> "Page":
    context = browser.new_context(viewport={"width": width, "height": height})
    context.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1']='true'")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(SETTLED)
    return page


def _shot(page: "Page", name: str, element: str = "", clip: "FloatRect | None" = None) -> None:
    """Write the picture of what the page shows: all, an element, or a part."""
    shown = page.locator(element).first.screenshot() if element else page.screenshot(clip=clip)
    picture = Image.open(io.BytesIO(shown)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(PLACE / f"{name}.png", optimize=True)
    page.context.close()


if __name__ == "__main__":
    main(Store(Path(sys.argv[1]).resolve()))

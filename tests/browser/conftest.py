"""A browser, where there is one: Chromium of the system, or the one that `playwright install chromium` fetched."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.store import Store
from harness.tracking.ui import ui_command

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def wait_for_ui(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Return when this address answers. Raises AssertionError where its process ends before, or after two minutes."""
    for _ in range(240):
        assert process.poll() is None, "the UI has ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the UI does not answer")


@contextmanager
def served(store: Store, python: str = sys.executable) -> Iterator[int]:
    """The port of a UI that serves the store, by the MLflow of this Python."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command, environment = ui_command(store, port)
    process = subprocess.Popen(
        [python, *command[1:]],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_ui(f"http://127.0.0.1:{port}/health", process)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def luminance(colour: str) -> float:
    """The share of light in `rgb(r, g, b)`, 0 to 1."""
    red, green, blue = (int(value) for value in re.findall(r"\d+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A headless Chromium; it is ended after each file, for it works on while the pages that it shows ask for news."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    with launched() as chromium:
        if chromium is None:
            pytest.skip("no Chromium: install it by the system's packages or by `playwright install chromium`")
        yield chromium


@contextmanager
def launched() -> "Iterator[Browser | None]":
    """A headless Chromium; None where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = next((path for name in CHROMIUM if (path := shutil.which(name))), playwright.chromium.executable_path)
        if not Path(found).exists():
            yield None
            return
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=found, args=options)
        yield chromium
        chromium.close()

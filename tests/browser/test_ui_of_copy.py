"""The MLflow UI of a store that was copied to a place with an odd name, and of one on a read-only mount."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.store import Store
from tests.browser.conftest import wait_for_ui
from tests.conftest import ROOT, Finished, runs_of
from tests.field.read_only import NAMESPACE, skip_unless_possible

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.ui, pytest.mark.slow]

PATIENCE = 90_000  # ms: the machine may be busy
MOUNT = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


@contextmanager
def served(store: Store, read_only: bool, temporary: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The command `ui` in a process of its own: its address, and the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "harness.cli", "ui", "--store", str(store.root), "--port", str(port)]
    if read_only:
        skip_unless_possible()
        command = [*NAMESPACE, "sh", "-c", MOUNT, str(store.root), *command]
    given = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_ui(f"{address}/health", process)
        yield address, process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.parametrize(
    "read_only",
    [
        pytest.param(True, marks=pytest.mark.long, id="read-only"),
        pytest.param(False, marks=pytest.mark.long, id="copied"),
    ],
)
def test_artifacts_report_and_model_of_a_copy_open(
    browser: "Browser", finished: Finished, tmp_path: Path, read_only: bool
) -> None:
    store, temporary = finished.copy_to(tmp_path / "a copy #2? 50% é"), tmp_path / "temporary"
    temporary.mkdir()
    run = runs_of(finished.store, "scenario")[0]
    (study,) = runs_of(finished.store, "study")
    with served(store, read_only, temporary) as (address, process):
        context = browser.new_context(viewport={"width": 1600, "height": 1100})
        context.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1']='true'")
        context.set_default_timeout(PATIENCE)
        base = f"{address}/#/experiments/{run.info.experiment_id}/runs"
        page = context.new_page()
        _see(page, f"{base}/{run.info.run_id}/artifacts/confusion_matrix.png", "img[src*='confusion_matrix']")
        page = context.new_page()
        page.goto(f"{base}/{study.info.run_id}/artifacts/report/index.html")
        page.frame_locator("iframe").get_by_text("Summary").first.wait_for()
        model = _model_id(address, run.info.experiment_id)
        page = context.new_page()
        page.goto(f"{address}/#/experiments/{run.info.experiment_id}/models/{model}/artifacts")
        page.get_by_text("MLmodel").first.wait_for()
        context.close()
        assert any(temporary.glob("harness-*")) == read_only
    assert [path.name for path in temporary.iterdir() if path.name.startswith("harness-")] == []
    assert process.returncode == 130 or not read_only


def _see(page: "Page", url: str, what: str) -> None:
    page.goto(url)
    page.locator(f"{what}, img[src^='blob:'], canvas, .js-plotly-plot").first.wait_for()


def _model_id(address: str, experiment: str) -> str:
    """The id of the one model of an experiment."""
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/logged-models/search", json.dumps({"experiment_ids": [experiment]}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        (found,) = re.findall(r'"model_id": *"(m-[0-9a-f]+)"', answer.read().decode())[:1]
    return str(found)

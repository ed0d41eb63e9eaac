"""The notebook `studies/tour.ipynb`, run from its first cell to its last."""

from pathlib import Path
from typing import Any

import pytest

from harness.store import Store
from tests.conftest import ROOT, runs_of

NOTEBOOK = ROOT / "studies" / "tour.ipynb"


@pytest.mark.long
def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "no outputs are kept"
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = {cell.source.strip().splitlines()[-1]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    streams = [o.text for outputs in shown.values() for o in outputs if o.output_type == "stream"]
    assert not [text for text in streams if " INFO " in text], "no log of MLflow"
    assert "8 fits known, 0 done" in _html(shown["study.plan()"])
    (mistake,) = [output for cell in shown.values() for output in cell if output.output_type == "error"]
    assert mistake.traceback[0].startswith("error: --set base.head"), "the line of the command line"
    assert len(mistake.traceback) == 1
    assert "quickstart, stage grid: mean over folds" in _html(shown["results"])
    for figure in ("axes = results.plot.curves()", 'axes = results.plot.confusion(on="test set")'):
        assert any("image/png" in output.get("data", {}) for output in shown[figure])
    folds = [run for run in runs_of(Store(tmp_path / "mlruns-tour"), "fold") if run.data.metrics]
    assert _html(shown[next(text for text in shown if text.startswith("runs["))]).count("<tr>") == len(folds) == 8


def _html(outputs: list[Any]) -> str:
    """The HTML that a cell shows."""
    return "".join(output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))

import errno
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.pixels import open_pixels
from harness.errors import HarnessError, Stopped, attempt, failure
from harness.execution.progress import Reporter
from harness.report.figures.drawing import with_holes
from harness.report.figures.scenario_figures import prediction_figures
from harness.report.sections.surest_errors import error_lines


def fail(error: BaseException) -> None:
    raise error


def test_an_error_is_one_line_and_its_traceback_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "new" / "figure.txt"
    assert not attempt("no figure", log, lambda: fail(ValueError("a\nb http://me:secret@host")))
    assert caplog.messages == ["no figure: ValueError: a (traceback: new/figure.txt)"]
    kept = log.read_text()
    assert "Traceback" in kept
    assert "secret" not in kept
    assert failure(log) == "no figure: ValueError: a"
    assert not attempt("no map", log, lambda: fail(HarnessError("tokens are no map")))
    assert failure(log) == "no map: tokens are no map"
    assert attempt("no map", log, lambda: None)
    assert failure(log) is None


@pytest.mark.parametrize(
    "error", [Stopped(15), KeyboardInterrupt(), OSError(errno.ENOSPC, "no space"), ConnectionError("lost")]
)
def test_what_concerns_more_is_raised(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        attempt("no copy", tmp_path / "log.txt", lambda: fail(error), lambda e: isinstance(e, ConnectionError))
    assert list(tmp_path.iterdir()) == []


def test_a_reporter_says_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter():
        attempt("no figure", tmp_path / "log.txt", lambda: fail(ValueError("x")))
    assert capsys.readouterr().err.startswith("no figure: ValueError: x (traceback: ")
    assert logging.getLogger("harness").handlers == []


def predictions(probabilities: list[float]) -> pd.DataFrame:
    count = len(probabilities)
    return pd.DataFrame(
        {
            "image": [f"{n}.png" for n in range(count)], "patient": [str(n) for n in range(count)],
            "label": ["A", "B"] * (count // 2), "prob_A": probabilities, "prob_B": [1 - p for p in probabilities],
        }
    )  # fmt: skip


@pytest.mark.figures
def test_a_figure_fails_alone_and_the_report_says_why(tmp_path: Path) -> None:
    paths = prediction_figures(predictions([0.9, 0.2, np.nan, 0.4]), "B", "t", tmp_path, vector=True)
    links = [f"![figure]({path.name})" for path in paths]
    lines = with_holes(["words", *links], tmp_path)
    assert lines[1] == links[0], "the confusion matrix can be drawn"
    assert lines[2].startswith("no figure roc: ValueError: ")
    assert not (tmp_path / "roc.png").exists()
    assert "Traceback" in (tmp_path / "roc.txt").read_text()


def test_thumbnails_fail_alone(tmp_path: Path) -> None:
    (tmp_path / "broken.npy").write_bytes(b"no pixels")
    frame = predictions([0.1, 0.2])
    lines = error_lines(frame, frame["image"], lambda _: open_pixels(tmp_path / "broken.npy"), tmp_path, "oof", None)
    (row,) = [line for line in with_holes(lines, tmp_path) if "0.png" in line]
    assert row.startswith("| no thumbnail oof-01: ")
    assert row.count("|") == lines[2].count("|"), "a cell of the same table"

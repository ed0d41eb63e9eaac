"""The end of a run: what it can do without fails alone, and the report is there."""

from pathlib import Path

import pytest

from tests.field.conftest import Harness, four, write_study

# It trains as any head does; but nothing flows back to the feature map, and so Grad-CAM has nothing to go by.
UNEXPLAINED = """\
from torch import nn
class Head(nn.Module):
    def __init__(self, shape, classes, settings):
        super().__init__()
        self.linear = nn.Linear(shape[0], classes)
    def forward(self, features):
        return self.linear(features.detach().mean(dim=(2, 3)))
"""


@pytest.mark.long
def test_a_winner_that_can_be_neither_explained_nor_registered_has_its_report(harness: Harness) -> None:
    four()
    Path("own.py").write_text(UNEXPLAINED, encoding="utf-8")
    write_study(grid="{head: ['own:Head']}", test="test: {stages: [a], model: refit}")
    blocked = Path("mlruns/artifacts/s/models")  # where MLflow makes a folder for the model
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    for _ in range(2):
        ended = harness("run", "s.yaml")
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err
        said = [
            line for line in ended.err.splitlines() if line.startswith(("no Grad-CAM: ", "the chosen model is not"))
        ]
        assert [line.partition(":")[0] for line in said] == ["no Grad-CAM", "the chosen model is not registered"]
        logs = [Path("mlruns", line.rpartition("(traceback: ")[2].rstrip(")")) for line in said]
        assert all("Traceback" in log.read_text(encoding="utf-8") for log in logs)
        report = Path("mlruns/reports/s")
        page = (report / "index.html").read_text(encoding="utf-8")
        assert "no Grad-CAM: " in page
        assert "the chosen model is not registered: " in page
        assert "![Grad-CAM" not in (report / "report.md").read_text(encoding="utf-8")
    blocked.unlink()
    ended = harness("run", "s.yaml")
    assert (ended.code, "the chosen model is not registered" in ended.err) == (0, False)
    assert "the chosen model is not registered" not in (report / "report.md").read_text(encoding="utf-8")
    assert harness("predict", "s.yaml", "d/test/ILL/img000.png").code == 0


def test_a_head_that_cannot_be_used_is_refused_before_anything_is_trained(harness: Harness) -> None:
    four()
    Path("own.py").write_text(UNEXPLAINED, encoding="utf-8")
    write_study(grid="{head: ['own:Head', dropout-gap]}", test="")
    assert harness("run", "s.yaml").code == 0
    report = Path("mlruns/reports/s/report.md").read_text(encoding="utf-8")
    Path("own.py").write_text(UNEXPLAINED.replace("shape, classes, settings", "shape, classes"), encoding="utf-8")
    line = harness.refused("run", "s.yaml")
    assert line.startswith("error: s.yaml:7: stages[0].grid.head[0]: own.py cannot be used: TypeError: ")
    assert line.endswith(
        "; expected: a torch.nn.Module made by Head(shape, classes, settings) that turns features [n, 96, 1, 1] into"
        " logits [n, 2]"
    )
    assert Path("mlruns/reports/s/report.md").read_text(encoding="utf-8") == report


def test_a_run_whose_fits_all_fail_leaves_an_earlier_report(harness: Harness) -> None:
    four()
    Path("own.py").write_text(UNEXPLAINED, encoding="utf-8")
    write_study(grid="{head: ['own:Head']}", test="")
    assert harness("run", "s.yaml").code == 0
    report = Path("mlruns/reports/s/report.md").read_text(encoding="utf-8")
    breaks = UNEXPLAINED.replace("return", "assert len(features) != 8\n        return")
    Path("own.py").write_text(breaks, encoding="utf-8")
    ended = harness("run", "s.yaml")
    assert ended.code == 1
    assert "2 jobs FAILED" in ended.out
    assert Path("mlruns/reports/s/report.md").read_text(encoding="utf-8") == report
    (empty,) = Path("mlruns/reports").glob("s-*/report.md")
    assert "**0 of 2 fits are done**" in empty.read_text(encoding="utf-8")
    assert empty.parent.name in ended.out, "where it is"

"""The line that a run prints when a fit has ended: the name of its scenario is whole wherever there is room for it."""

import pytest

from harness.execution.progress import Reporter
from tests.conftest import Finished


def said(finished: Finished, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """The line of a fit, and the name of its scenario."""
    fit = next(fit for fit in finished.run.state.fits if fit.records)
    job = next(job for job in fit.jobs if job.id in fit.records)
    reporter = Reporter()
    reporter.begin("stage all", [job, job])
    reporter.job_ended(job, fit.records[job.id])
    return capsys.readouterr().err.splitlines()[-1].rstrip(), job.scenario.name


def test_a_line_in_a_pipe_is_whole(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    line, name = said(finished, capsys)
    assert line.endswith(f"left; {name}")
    assert len(line) > 80, "more than a terminal has"


@pytest.mark.parametrize(("columns", "times"), [(200, 2), (80, 1), (64, 0)])
def test_a_narrow_terminal_has_the_name_before_the_times(
    finished: Finished, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, times: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    line, name = said(finished, capsys)
    assert line.endswith(f"; {name}")
    assert len(line) <= columns
    assert line.count(", ") == 1 + times

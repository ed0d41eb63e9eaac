"""The check of a GPU: on the simulated device every line of it runs, and says PASS, or SKIP and why."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.study.plan import Job
from harness.training.context import Context
from tests.conftest import ROOT
from tests.gpu.check import line_of, main
from tests.gpu.checks.device import two_workers
from tests.gpu.lab import Lab, SkippedError, must
from tests.gpu.lines import Lines

NEEDS_HARDWARE = {
    "two workers on one GPU", "two visible GPUs", "the kernels of the harness agree with torch",
    "a fit with these kernels and without",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
def test_every_line_passes_on_the_simulated_device(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu.check", "--simulated", "--out", str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = json.loads((tmp_path / "simulated.json").read_text())["lines"]
    verdicts = {line["name"]: line["verdict"] for line in lines}
    assert {name for name, verdict in verdicts.items() if verdict == "SKIP"} == NEEDS_HARDWARE, done.stdout
    assert {name for name, verdict in verdicts.items() if verdict == "FAIL"} == set(), done.stdout + done.stderr
    assert len(verdicts) == len(lines) == 15
    assert done.returncode == 0
    assert all(f"{line['verdict']}  {line['name']}: {line['words']}" in done.stdout for line in lines)


def test_without_a_cuda_device_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: torch ") and said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_check_needs_nothing_that_only_the_tests_need() -> None:
    """A machine with a GPU may have the harness alone."""
    checks = ("device", "fused", "graphs", "numbers", "whole")
    modules = ", ".join(f"tests.gpu.checks.{name}" for name in checks)
    code = f"import sys, tests.gpu.check, tests.gpu.lab, {modules}, tests.bench.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"pytest", "hypothesis", "ray", "lightning", "skorch"} & set(done.stdout.split()) == set()


def _lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, simulated=True)


def test_whatever_is_raised_in_a_check_is_its_line(tmp_path: Path) -> None:
    def skipped(lab: Lab) -> str:
        lab.needs_hardware("two GPUs")
        raise AssertionError("it was not skipped")

    def broken(_lab: Lab) -> str:
        raise KeyError("a name that this torch does not have")

    checks = {
        "right": lambda _: must(True, "0 apart"), "wrong": lambda _: must(False, "0.5 apart"), "skipped": skipped,
        "broken": broken,
    }  # fmt: skip
    lines = [line_of(name, check, _lab(tmp_path)) for name, check in checks.items()]
    assert [line.verdict for line in lines] == ["PASS", "FAIL", "SKIP", "FAIL"]
    assert [line.words for line in lines] == [
        "0 apart", "0.5 apart", "two GPUs: not on a simulated device",
        "KeyError: 'a name that this torch does not have'",
    ]  # fmt: skip
    assert "in broken" in lines[3].trace
    with pytest.raises(SkippedError):
        _lab(tmp_path).needs_hardware("x")


def test_the_lines_so_far_are_always_in_both_files(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "out" / "check.json", simulated=False)
    for number, name in enumerate(("first", "second"), start=1):
        lines.add(line_of(name, lambda _: must(len(lines.lines) == 0, "found | this"), _lab(tmp_path)))
        stored = json.loads(lines.file.read_text())
        assert [line["name"] for line in stored["lines"]] == ["first", "second"][:number]
    assert stored["head"]["gpu"] and stored["head"]["torch"]
    table = lines.file.with_suffix(".md").read_text()
    assert "| FAIL | second | found / this | 0 |" in table
    assert "AssertionError" in table
    assert lines.summary.startswith("1 PASS, 1 FAIL, 0 SKIP")


class _OnCpu(Lab):
    """A lab whose cases are on the CPU, for the logic of checks that start processes."""

    def case(self, *overrides: str, **changes: Any) -> tuple[Context, list[Job]]:
        context, jobs = super().case(*overrides, **changes)
        return replace(context, device="cpu"), jobs


@pytest.mark.long
def test_the_fits_of_two_workers_are_compared_with_those_of_one_process(tmp_path: Path) -> None:
    assert two_workers(_OnCpu(tmp_path, simulated=False)) == "4 fits apart by 0 from those of one process"

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.words import BEGIN, END, NOT_RUN, PAGE, SECTION, section, take, write_page

HEAD = {"gpu": "1 x NVIDIA H100, driver 580", "versions": "torch 2.15.0", "git_commit": "0123456789abcdef",
        "git_dirty": "true", "time": "2026-11-26 05:00"}  # fmt: skip
CHECK: dict[str, Any] = {
    "head": HEAD,
    "lines": [
        {"verdict": "PASS", "name": "machine", "words": "a | b\nc", "seconds": 1.0, "trace": ""},
        {"verdict": "FAIL", "name": "syncs", "words": "three", "seconds": 1.0, "trace": "x"},
    ],
}
BENCH: dict[str, Any] = {
    "head": HEAD,
    "rows": [
        {"name": "roof", "value": 0.61234, "goal": {"sign": ">=", "number": 0.6}, "verdict": "met", "work": "the work"},
        {"name": "busy", "value": None, "goal": None, "verdict": "not measured", "work": "no CUPTI"},
    ],
}


def test_the_page_has_what_the_command_makes() -> None:
    assert SECTION.findall(PAGE.read_text(encoding="utf-8")) == [section()], "run python -m tests.gpu.words"


def test_without_results_nothing_is_claimed(tmp_path: Path) -> None:
    assert NOT_RUN in section(tmp_path)
    assert "|" not in section(tmp_path)


def test_results_are_taken_and_stand_in_the_page(tmp_path: Path) -> None:
    page, results = tmp_path / "speed.md", tmp_path / "results"
    page.write_text(f"# Speed\n\n{BEGIN}\nold\n{END}\n\n## After\n")
    for name, content in (("1.json", CHECK), ("2.json", BENCH)):
        (tmp_path / name).write_text(json.dumps(content))
        take(tmp_path / name, results)
    assert sorted(path.name for path in results.iterdir()) == ["bench-h100.json", "check.json"]
    write_page(page, results)
    text = page.read_text()
    assert text.startswith("# Speed\n\n") and text.endswith("\n\n## After\n")
    assert NOT_RUN not in text
    assert (
        "on 1 x NVIDIA H100, driver 580 (torch 2.15.0; commit 0123456789, changed; 2026-11-26 05:00): 1 PASS, 1 FAIL."
        in text
    )
    assert "| FAIL | syncs | three |" in text
    assert "| PASS | machine | a / b c |" in text, "a cell stays a cell"
    assert "| roof | 0.612 | >= 0.6 | met |" in text
    assert "| busy | - |  | no CUPTI |" in text


def test_figures_measured_apart_are_one_table_and_other_gpus_another(tmp_path: Path) -> None:
    def taken(gpu: str, commit: str, *rows: tuple[str, float]) -> None:
        head = {**HEAD, "gpu": gpu, "git_commit": commit}
        content = {"head": head, "rows": [{**BENCH["rows"][0], "name": name, "value": value} for name, value in rows]}
        (tmp_path / "new.json").write_text(json.dumps(content))
        take(tmp_path / "new.json", tmp_path / "results")

    taken(HEAD["gpu"], "a" * 12, ("roof", 1.0), ("busy", 2.0))
    taken("1 x NVIDIA GeForce RTX 4090, driver 580", "a" * 12, ("roof", 3.0))
    taken("2 x NVIDIA GeForce RTX 3090, driver 580", "a" * 12, ("roof", 3.0))
    taken(HEAD["gpu"], "a" * 12, ("busy", 4.0), ("kernels", 5.0))
    text = section(tmp_path / "results")
    assert text.count("`make bench-gpu` on") == 3
    values = [line.split("|")[2].strip() for line in text.splitlines() if "met" in line]
    assert sorted(values) == ["1", "3", "3", "4", "5"]
    taken(HEAD["gpu"], "b" * 12, ("roof", 6.0))
    assert "| busy |" not in section(tmp_path / "results"), "of another commit"


@pytest.mark.parametrize("gpu", ["SIMULATED", "none: no library"])
def test_what_was_not_run_on_a_gpu_is_not_taken(tmp_path: Path, gpu: str) -> None:
    file = tmp_path / "simulated.json"
    file.write_text(json.dumps({**CHECK, "head": {**HEAD, "gpu": gpu}}))
    with pytest.raises(ValueError, match="is of no GPU"):
        take(file, tmp_path / "results")
    assert not (tmp_path / "results").exists()

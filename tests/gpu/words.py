"""What stands in harness/docs/speed.md about GPUs, made from the results that are committed.

    python -m tests.gpu.words [FILE...]

FILE: what `make test-gpu` or `make bench-gpu` wrote as JSON; each is copied to tests/gpu/results first. Figures that
were measured apart, by the same commit on such a GPU, go into one table.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.markdown import markdown_table

ROOT = Path(__file__).parents[2]
PAGE, RESULTS = ROOT / "harness" / "docs" / "speed.md", Path(__file__).parent / "results"
BEGIN, END = "<!-- made by `python -m tests.gpu.words` -->", "<!-- end -->"
SECTION = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
NOT_RUN = """\
**Nothing of the harness has been run on a GPU yet.** No speed on this page is one of a GPU."""
SIMULATED = """\
The tests run every path of CUDA on a simulated device (`tests/gpu/simulated.py`): tensors that say `cuda:0`, with the
numbers of the CPU and the rules of CUDA for devices, waits of the host, captured graphs, streams, generators, memory.
It cannot see how the kernels of a GPU round and whether they repeat their bits, what cuDNN, cuBLAS, the compiler and
the driver do, several GPUs, or any speed."""


def section(results: Path = RESULTS) -> str:
    """The section, between its markers."""
    check = _read(results / "check.json")
    benches = [_read(file) for file in results.glob("bench-*.json")]
    found = [_of_check(check)] if check else []
    found += [_of_bench(bench) for bench in sorted(filter(None, benches), key=_time, reverse=True)]
    return "\n\n".join([BEGIN, *(found or [NOT_RUN]), SIMULATED, END])


def _of_check(check: dict[str, Any]) -> str:
    """What `make test-gpu` found."""
    lines = check["lines"]
    counts = {verdict: sum(line["verdict"] == verdict for line in lines) for verdict in ("PASS", "FAIL", "SKIP")}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    rows = [[line["verdict"], line["name"], line["words"]] for line in lines]
    return f"`make test-gpu` {_where(check['head'])}: {said}.\n\n{markdown_table(['', 'check', 'found'], rows)}"


def _of_bench(bench: dict[str, Any]) -> str:
    """What `make bench-gpu` measured."""
    rows = []
    for row in bench["rows"]:
        goal = row["goal"]
        value = "-" if row["value"] is None else _figures(row["value"])
        wanted = "" if goal is None else f"{goal['sign']} {goal['number']:g}"
        rows.append([row["name"], value, wanted, row["verdict"] if row["value"] is not None else row["work"]])
    table = markdown_table(["figure", "measured", "goal", ""], rows)
    return f"`make bench-gpu` {_where(bench['head'])}; the exact work of each figure: `tests/gpu/results`.\n\n{table}"


def _figures(value: float) -> str:
    """The value in three figures, or whole where it is large."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _where(head: dict[str, str]) -> str:
    dirty = ", changed" if head.get("git_dirty") == "true" else ""
    return f"on {head['gpu']} ({head['versions']}; commit {head['git_commit'][:10]}{dirty}; {head['time']})"


def _time(content: dict[str, Any]) -> str:
    return str(content["head"]["time"])


def _read(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def take(file: Path, results: Path = RESULTS) -> Path:
    """Copy a file of results to those that are committed. Raises ValueError for one that is not of a GPU."""
    content = json.loads(file.read_text(encoding="utf-8"))
    gpu = content["head"]["gpu"]
    if gpu == "SIMULATED" or gpu.startswith("none"):
        raise ValueError(f"{file} is of no GPU: {gpu}")
    results.mkdir(exist_ok=True)
    target = results / ("check.json" if "lines" in content else f"bench-{_model(gpu)}.json")
    if "rows" in content:
        content["rows"] = _rows_with(_read(target), content)
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return target


def _model(gpu: str) -> str:
    """The model of a GPU as part of a file name: `h100-80gb-hbm3` of `1 x NVIDIA H100 80GB HBM3, driver 580`."""
    name = gpu.partition(",")[0].lower().partition(" x ")[2].removeprefix("nvidia ")
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def _rows_with(earlier: dict[str, Any] | None, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a bench, after those of an earlier one of other figures by the same commit, on such a GPU."""
    same = earlier and all(earlier["head"][key] == content["head"][key] for key in ("gpu", "versions", "git_commit"))
    measured = {row["name"] for row in content["rows"]}
    kept = [row for row in earlier["rows"] if row["name"] not in measured] if earlier and same else []
    return [*kept, *content["rows"]]


def write_page(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Put the section into the page."""
    text = page.read_text(encoding="utf-8")
    assert len(SECTION.findall(text)) == 1, f"{page} has no place for it"
    page.write_text(SECTION.sub(lambda _: section(results), text), encoding="utf-8")


if __name__ == "__main__":
    try:
        for name in sys.argv[1:]:
            take(Path(name))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {error}")
    write_page()

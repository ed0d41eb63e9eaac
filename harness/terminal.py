"""What a person reads on standard output: the plan, the leaderboard, where the report is, how to open the UI."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.costs import Costs
from harness.prepare import Inputs
from harness.resolution import resolution
from harness.stages import StageState, all_scenarios
from harness.store import Store
from harness.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from harness.bench.run import Measured
    from harness.cached import Entry
    from harness.data.audit import Audit
    from harness.doctor import Check
    from harness.reproduce import Reproduction
    from harness.runner import Run
    from harness.search.run import SearchRun
    from harness.simulate import Simulated
    from harness.status import Status

SYNTHETIC = "SYNTHETIC DATA: drawn by a procedure; no number here says anything about patients"


def _console() -> Console:
    """Standard output; piped, it is as wide as its lines, so that nothing is cut."""
    piped = not sys.stdout.isatty()
    return Console(width=240 if piped else None, highlight=False, soft_wrap=piped, markup=False)


def show_plan(study: Study, inputs: Inputs, states: list[StageState], costs: Costs | None = None) -> None:
    """Prints the plan of a study: the data, the folds, every stage with its scenarios, what is done, and the cost."""
    console, dataset = _console(), inputs.dataset
    if dataset.synthetic:
        console.print(SYNTHETIC, style="bold")
    if study.data.limit:
        console.print(f"Rehearsal: data.limit is {study.data.limit}", style="bold")
    console.print(f"study {study.study}: {dataset.root}, positive class {dataset.positive or 'none (macro means)'}\n")
    counts = dataset.table.groupby(["split", "label"], sort=False).agg(
        images=("image", "size"), patients=("patient", "nunique")
    )
    console.print(
        _table(
            "data",
            ["split", "class", "images", "patients"],
            [[*key, *row] for key, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)],
        )
    )
    if dataset.skipped and dataset.skipped.reasons:
        console.print(f"{dataset.skipped}\n", style="bold")
    rows = [
        [fold.repeat, fold.fold, *_pairs(dataset.counts(fold.train)), *_pairs(dataset.counts(fold.validation))]
        for fold in inputs.folds[: 3 * study.folds.k]
    ]
    heads = [f"{side} {name}" for side in ("train", "val") for name in dataset.classes]
    grouped = "grouped by patient" if study.folds.grouped else "NOT grouped by patient"
    console.print(_table(f"folds, {grouped}, digest {inputs.digests.all_folds}", ["repeat", "fold", *heads], rows))
    for state in states:
        _show_stage(console, state)
    jobs = {job.id: job.id in s.records for s, _ in all_scenarios(states) for job in s.jobs}
    waiting = sum(state.stage.size * len(inputs.folds) for state in states if state.waits_for)
    more = f", and up to {waiting} more once the winners are known" if waiting else ""
    console.print(resolution(study, inputs))
    console.print(f"jobs: {len(jobs)} known, {sum(jobs.values())} done{more}")
    if costs is not None:
        _show_costs(console, costs)
    elif not all(jobs.values()):
        console.print("cost: not known yet; --probe times each network for some steps")


def _show_costs(console: Console, costs: Costs) -> None:
    """What is left, extrapolated; each line with the machine that it was measured on."""
    rows = [
        [
            cost.probe.network,
            cost.fits,
            f"{cost.seconds / cost.epochs:.3g} s",
            _duration(cost.seconds / cost.fits),
            _duration(cost.extraction) if cost.extraction else "-",
            f"{cost.probe.memory / 2**30:.1f} GiB",
        ]
        for cost in costs.networks
    ]
    heads = ["network", "fits left", "an epoch", "a fit", "features, once", "memory"]
    console.print()
    console.print(_table("cost of the fits left, EXTRAPOLATED from a probe", heads, rows))
    for where, images in sorted(
        {((p := c.probe).machine + ", " + p.device + ", " + p.day, p.images) for c in costs.networks}
    ):
        console.print(f"probe: one epoch of {images} random images; {where}; memory is the peak of the process or GPU")
    unknown = f", and {costs.unknown} fits that were not probed" if costs.unknown else ""
    console.print(
        f"in all: {_duration(costs.seconds)}, one fit at a time{unknown}; disk {costs.disk / 1e9:.2g} GB for pixels"
        " (gray; three times that if coloured) and kept features"
    )


def _duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _show_stage(console: Console, state: StageState) -> None:
    stage = state.stage
    chosen = f", winner by mean {stage.select.metric} ({stage.select.rule})" if stage.select else ", no winner"
    title = f"stage {stage.name}: {stage.size} scenarios{chosen}"
    if state.waits_for:
        factors = "; ".join(f"{key}: {', '.join(map(str, levels))}" for key, levels in stage.grid.items())
        console.print(f"{title}\n  {factors}\n  the rest from the winner of stage {state.waits_for}\n")
        return
    rows = [
        [
            s.scenario.name,
            s.scenario.id,
            f"{len(s.records)}/{len(s.jobs)}",
            "winner" if state.finished and s is state.best else "",
        ]
        for s in state.scenarios[:50]
    ]
    console.print(_table(title, ["scenario", "id", "jobs done", ""], rows))
    if len(state.scenarios) > 50:
        console.print(f"  and {len(state.scenarios) - 50:,} more\n")


def show_simulations(stages: "list[tuple[str, int, list[Simulated]]]") -> None:
    """Prints for each stage what its jobs would take on more devices, and what no schedule could go below."""
    heads = ["devices", "seconds", "bound", "over it", "sum / devices", "longest job"]
    for name, jobs, rows in stages:
        cells = [
            [s.devices, f"{s.makespan:.1f}", f"{s.bound:.1f}", f"{s.makespan / s.bound - 1:.1%}", f"{s.sum_bound:.1f}",
             f"{s.longest:.1f}"]
            for s in rows
        ]  # fmt: skip
        _console().print(_table(f"stage {name}: {jobs} jobs, SIMULATED from recorded durations", heads, cells))


def show_audit(audit: "Audit") -> None:
    """Prints what the audit found, errors first."""
    rows = [[f.severity + (" (accepted)" if f.accepted else ""), f.name, f.text] for f in audit.findings]
    _console().print(_table("audit", ["severity", "finding", ""], rows))


def show_cache(store: Store, entries: "list[Entry]", verb: str) -> None:
    """Prints what the cache holds or what was removed of it, and how much that is."""
    console, total = _console(), sum(entry.size for entry in entries) / 2**20
    if entries:
        rows = [[e.kind, e.text, f"{e.size / 2**20:,.1f}"] for e in entries]
        console.print(_table(f"{verb} in {store.cache}", ["kind", "what", "MiB"], rows))
    console.print(f"{verb}: {total:,.1f} MiB")


def show_status(status: "Status") -> None:
    """Prints every job that is not done, with the reason, and how many are."""
    console = _console()
    at = f", held by process {status.holder['pid']} on {status.holder['host']}" if status.holder else ""
    rows = [[j.stage, j.scenario, j.job, j.status, j.why] for j in status.jobs if j.status != "done"]
    if rows:
        console.print(_table(f"{status.study}{at}", ["stage", "scenario", "job", "status", "why"], rows))
    counts = ", ".join(f"{status.count(name)} {name}" for name in ("done", "running", "failed", "missing"))
    console.print(f"{status.study}: {len(status.jobs)} jobs known: {counts}")
    for line in status.waiting:
        console.print(line)


def show_checks(checks: "list[Check]") -> None:
    """Prints what the doctor found."""
    _console().print(_table("doctor", ["check", "", "found"], [[c.name, c.verdict, c.text] for c in checks]))


def show_reproduction(found: "Reproduction") -> None:
    """Prints every metric as stored and as run again."""
    metrics, again = found.stored.metrics, found.again.metrics
    rows = [[name, f"{value!r}", f"{again[name]!r}", f"{found.differences[name]:g}"] for name, value in metrics.items()]
    job = found.job
    _console().print(_table(f"{job.scenario.name}, {job.name}", ["metric", "stored", "again", "difference"], rows))
    words = "identical" if found.identical else "NOT identical"
    keys = ("device", "precision", "torch")
    machines = [", ".join(str(r.facts[key]) for key in keys) for r in (found.stored, found.again)]
    _console().print(f"{words}; stored on {machines[0]}, again on {machines[1]}")


def show_run(study: Study, store: Store, run: "Run") -> None:
    """Prints how a run ended: a leaderboard for each stage, the test set, the report and the UI."""
    from harness.ledger import Ledger
    from harness.report import tables
    from harness.report.export import rounded
    from harness.statistics.rates import wilson

    console = _console()
    for state in run.states:
        if state.waits_for:
            console.print(f"stage {state.stage.name}: not run, stage {state.waits_for} has no winner\n")
            continue
        board = tables.leaderboard(state, study)
        console.print(_frame(f"{study.study}, stage {state.stage.name}: mean over folds", rounded(board)))
    for test in run.tests:
        if test.finished:
            frame = tables.averaged(tables.pooled(list(test.jobs), Ledger(store)))
            console.print(_frame(f"test set: {test.scenario.name}", rounded(tables.class_table(frame))))
            confusion = tables.confusion_table(frame)
            right, total = int(confusion.to_numpy().trace()), len(frame)
            low, high = wilson(right, total)
            console.print(
                f"test accuracy {right}/{total} = {right / total:.3f}, 95 % interval {low:.3f} to {high:.3f}\n"
            )
    if study.data.source == "phantom":
        console.print(SYNTHETIC, style="bold")
    if run.failed:
        console.print(f"{run.failed} jobs FAILED; the same command tries them again", style="bold")
    console.print(f"report: {_relative(run.report.with_name('index.html'))}")
    where = "" if store.root == Path("mlruns").absolute() else f" STORE={_relative(store.root)}"
    console.print(f"MLflow: {run.url}" if store.server else f"MLflow: make ui{where}, then {run.url}")
    for words, url in run.views.items():
        if url != run.url:
            console.print(f"  {words}: {url}")


def show_search(study: Study, store: Store, run: "SearchRun") -> None:
    """Prints how a search ended: its best trials, the report and the UI."""
    from harness.search.results import shown, trials_frame

    console = _console()
    title = f"{study.study}, search: {len(run.results)} of {run.target} trials"
    if run.results:
        board = trials_frame(study, run.results)
        console.print(_frame(f"{title}, the first {min(10, len(board))}", shown(study, board.head(10))))
    if study.data.source == "phantom":
        console.print(SYNTHETIC, style="bold")
    if run.timed_out:
        console.print(f"{title}: search.timeout is over; the same command goes on", style="bold")
    if run.confirmed:
        c = run.confirmed
        console.print(f"confirmed on fresh folds: {c.mean:.4f}, SD over {c.folds} folds {c.fold_sd:.4f}", style="bold")
    if run.failed or run.lost:
        console.print(
            f"{run.failed} trials FAILED; {run.lost} lost their workers, the same command tries them", style="bold"
        )
    console.print(f"report: {_relative(run.report)}")
    where = "" if store.root == Path("mlruns").absolute() else f" --store {_relative(store.root)}"
    console.print(f"MLflow: {run.url}" if store.server else f"MLflow: harness ui{where}, then {run.url}")


def show_bench(measured: "Measured") -> None:
    """Prints what a bench ran on, its figures with their goals, and the exact work of each."""
    console = _console()
    for name, value in measured.head.items():
        console.print(f"{name:<10} {value}")
    rows = [
        [
            row.name,
            "-" if row.value is None else f"{row.value:.3g}",
            "" if row.low is None else f"{row.low:.3g} to {row.high:.3g}",
            row.rounds,
            row.goal or "",
            row.verdict,
        ]
        for row in measured.rows
    ]
    console.print()
    console.print(_table("bench", ["figure", "measured", "range", "n", "goal", ""], rows))
    for row in measured.rows:
        console.print(f"{row.name}: {row.work}")
    console.print(f"\nas JSON: {_relative(measured.file)}")


def _pairs(counts: dict[str, int]) -> list[int]:
    return list(counts.values())


def _relative(path: object) -> str:
    return os.path.relpath(str(path)) if os.path.relpath(str(path))[:2] != ".." else str(path)


def _frame(title: str, frame: "pd.DataFrame") -> Table:
    return _table(title, [str(column) for column in frame], frame.to_numpy().tolist())


def _table(title: str, columns: list[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(str(row[index])[:1].isdigit() or row[index] == "-" for row in rows)
        table.add_column(column, justify="right" if numbers else "left", header_style="dim")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    table.caption = " "
    return table


def ui_command(store: Store, port: int) -> tuple[list[str], dict[str, str]]:
    """The command that serves the store's MLflow UI on 127.0.0.1, and its environment."""
    command = [
        sys.executable, "-m", "mlflow", "ui",
        "--backend-store-uri", store.database_uri,
        "--artifacts-destination", str(store.artifacts),
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    return command, {**os.environ, **quiet}

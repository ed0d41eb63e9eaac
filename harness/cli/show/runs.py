"""Print the results of runs, searches and single fits, and the status of a study."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.cli.show.console import frame_table, marked_title, new_console, relative, rows_table, show_marks
from harness.cli.show.ends import show_ends
from harness.report.numbers.comparisons import TEST
from harness.report.numbers.marks import marked
from harness.report.numbers.predictions import Predictions, averaged, scored, test_metrics
from harness.report.numbers.records import read_statistics
from harness.report.numbers.refit_numbers import spread_words
from harness.report.numbers.set_numbers import shown_on
from harness.report.tables.estimate_table import interval_cell
from harness.store import Store
from harness.study import Study
from harness.study.mixed import changed_versions
from harness.study.number_words import number_of, verb

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from harness.data.separation import Separation
    from harness.reproduce import Reproduction
    from harness.runner import Run
    from harness.search.run import SearchRun
    from harness.study.scenario_state import ScenarioState
    from harness.study.settings import Settings
    from harness.study.status import Status


def show_status(status: "Status", marks: Iterable[str]) -> None:
    """Print every job that is not done, with the reason, and the number of jobs by status.

    marks: of every number of the study.
    """
    console = new_console()
    show_marks(console, marks)
    holder = f", run by process {status.holder['pid']} on {status.holder['host']}" if status.holder else ""
    rows = [[j.stage, j.scenario, j.job, j.status, j.why] for j in status.jobs if j.status != "done"]
    if rows:
        console.print(rows_table(f"{status.study}{holder}", ["stage", "scenario", "job", "status", "why"], rows))
    counts = ", ".join(f"{status.count(name)} {name}" for name in ("done", "running", "failed", "missing"))
    console.print(f"{status.study}: {number_of(len(status.jobs), 'job')} known: {counts}")
    for line in status.waiting:
        console.print(line)
    report = relative(status.report) if status.report else "not written yet"
    console.print(f"study id {status.study_id}, report: {report}")
    if status.search_report:
        console.print(f"report of the newest search of this study: {relative(status.search_report)}")


def show_reproduction(found: "Reproduction") -> None:
    """Print every metric as stored and as fitted again."""
    metrics, again = found.stored.metrics, found.again.metrics
    rows = [[name, f"{value!r}", f"{again[name]!r}", f"{found.differences[name]:g}"] for name, value in metrics.items()]
    title = marked_title(f"{found.job.scenario.name}, {found.job.name}", found.mark)
    new_console().print(rows_table(title, ["metric", "stored", "again", "difference"], rows))
    words = "identical" if found.identical else "NOT identical"
    facts = [record.facts for record in (found.stored, found.again)]
    machines = [f"{f.device}, {f.precision}, {f.torch}" for f in facts]
    new_console().print(f"{words}; stored on {machines[0]}, again on {machines[1]}")
    if changed := changed_versions(found.stored, found.again):
        new_console().print(f"made by other versions of packages: {changed}")


def show_run(study: Study, store: Store, run: "Run") -> None:
    """Print the result of a run: a leaderboard per stage, the test set, the report and the UI."""
    from harness.cli.show.leaderboard import show_leaderboard
    from harness.report.tables import scenario_tables as tables

    console, marks, unit = new_console(), run.marks, run.workspace.unit
    predictions = Predictions(run.workspace.ledger, run.workspace.inputs.dataset.positive, unit)
    estimates = read_statistics(run.report.parent).estimates
    if unit.patients:
        console.print(f"unit: {unit.words}", style="bold")
    _show_separation(console, run.workspace.inputs.separation, [s.settings for s in run.state.scenarios])
    for state in run.state.stages:
        if state.waits_for:
            console.print(f"stage {state.stage.name}: not run, stage {state.waits_for} has no winner\n")
            continue
        board = tables.leaderboard(state, marks, estimates)
        title = unit.titled(f"{study.study}, stage {state.stage.name}: validation, mean over folds ± SD")
        show_leaderboard(console, title, board, study.factors, tables.ranked_by(state.stage))
    for test in run.state.tests:
        if test.finished:
            _show_test(console, run, test, predictions)
        if test.finished and run.workspace.inputs.dataset.further_sets:
            title = unit.titled(f"further test sets: {scored(test)}")
            console.print(frame_table(title, _further_sets(run, test, predictions)))
    if run.looks:
        console.print(f"looks at the test set: {run.looks}\n")
    if known := run.registered:
        console.print(known.words, style="bold" if known.deviations else "")
        for deviation in known.deviations:
            console.print(f"  deviation: {deviation}")
    show_marks(console, marks.of_study)
    if run.failed:
        them = verb(run.failed, "it", "them")
        console.print(f"{number_of(run.failed, 'job')} FAILED; the same command runs {them} again", style="bold")
    show_ends(console, store, run.report.with_name("index.html"), run.url, study.study)


def _show_test(console: "Console", run: "Run", test: "ScenarioState", predictions: Predictions) -> None:
    """Print the rates of each class and the accuracy of a scenario on the test set."""
    from harness.report.tables import scenario_tables as tables
    from harness.report.tables.confused import MAX_CLASSES, worst_rows
    from harness.report.tables.export import rounded

    frame, unit = predictions.on_test(test), predictions.unit
    mark = run.marks.test(run.workspace.inputs.dataset, test.settings, predictions.ledger)
    title = unit.titled(f"test set: {scored(test)}")
    console.print(frame_table(title, marked(rounded(worst_rows(tables.class_table(frame))), mark)))
    if (classes := len(run.workspace.inputs.dataset.classes)) > MAX_CLASSES:
        console.print(f"the {MAX_CLASSES} of {classes} classes with the lowest F1; all: test-classes-{test.id}.csv\n")
    if test.refits is not None:
        console.print(frame_table(unit.titled(f"test set: {averaged(test)}"), _refits(run, test)))
        return
    right, total = int(tables.confusion_table(frame).to_numpy().trace()), len(frame)
    low, high = tables.accuracy_interval(frame)
    accuracy = f"test accuracy{' of patients' * unit.patients} {right}/{total} = {right / total:.3f}"
    console.print(f"{accuracy}, 95 % interval {low:.3f} to {high:.3f}\n")


def _refits(run: "Run", test: "ScenarioState") -> "pd.DataFrame":
    """The mean over the refits of the metrics that tables show, with the spread and the interval for one more model."""
    import pandas as pd

    estimates = read_statistics(run.report.parent).estimates
    positive = run.workspace.inputs.dataset.positive
    rows = [
        {"metric": e.metric, "mean": interval_cell(e), "over the refits": spread_words(estimates, e).strip(" ()")}
        | ({"mark": e.mark} if e.mark else {})
        for e in shown_on(estimates, test.name, TEST, positive)
    ]
    return pd.DataFrame(rows)


def _further_sets(run: "Run", test: "ScenarioState", predictions: Predictions) -> "pd.DataFrame":
    """A row for each test set beside the leading one."""
    import pandas as pd

    dataset, rows = run.workspace.inputs.dataset, []
    for name in dataset.further_sets:
        frame, metrics = predictions.on_test(test, name), test_metrics(test, predictions, name)
        shown = {metric: f"{metrics[f'test/{name}/{metric}']:.3f}" for metric in ("accuracy", "roc_auc")}
        mark = run.marks.test(dataset.of_set(name), test.settings, predictions.ledger)
        rows.append({"set": name, predictions.unit.plural: len(frame), **shown, **({"mark": mark} if mark else {})})
    return pd.DataFrame(rows)


def _show_separation(console: "Console", shared: "Separation", scenarios: "Sequence[Settings]" = ()) -> None:
    """Print whether the folds keep patients together, and which scenarios leak."""
    from harness.data.separation import oversampling_words

    console.print(f"folds: {shared.of_folds}", style="" if shared.sound else "bold")
    if any(settings.leaks for settings in scenarios):
        console.print(oversampling_words(scenarios), style="bold")
    console.print()


def show_search(study: Study, store: Store, run: "SearchRun") -> None:
    """Print the result of a search: its best trials, the report and the UI."""
    from harness.search.trials import reused_words, shown

    console = new_console()
    _show_separation(console, run.separation)
    title = f"{study.study}, search: {len(run.results)} of {run.target} trials"
    if run.results:
        board = run.trials()
        some = ", the first 10" if len(board) > 10 else ""
        console.print(frame_table(f"{title}{some}", shown(study, board.head(10))))
    show_marks(console, run.marks.of_study)
    if words := reused_words(run.results, run.target):
        console.print(words)
    if run.timed_out:
        console.print(f"{title}: search.timeout is over; the same command continues", style="bold")
    if run.confirmed:
        c = run.confirmed
        console.print(f"confirmed on new folds: {c.mean:.4f}, SD over {c.folds} folds {c.fold_sd:.4f}", style="bold")
    if run.failed or run.lost:
        lost = f"{run.lost} lost {verb(run.lost, 'its worker', 'their workers')}"
        console.print(f"{number_of(run.failed, 'trial')} FAILED; {lost}, the same command runs them", style="bold")
    show_ends(console, store, run.report, run.url, study.study)

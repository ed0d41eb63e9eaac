"""Print the plan of a study: its data, folds, networks, stages and their cost."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from harness.cli.show.console import new_console, rows_table, show_marks
from harness.cli.show.plan_costs import show_costs
from harness.data.data_lines import data_lines
from harness.data.folds import folds_words
from harness.data.guesses import suggestion
from harness.data.inputs import Inputs, Workspace
from harness.data.patient_counts import class_counts
from harness.data.separation import oversampling_words
from harness.data.subgroups import group_counts
from harness.data.train_share import share_lines
from harness.data.units import chosen_unit
from harness.execution.costs import Costs
from harness.execution.simulate import Simulated
from harness.report.numbers.detectable import resolution
from harness.report.numbers.marks import declared_looks, study_marks
from harness.report.tables.export import short
from harness.study import Study
from harness.study.nested import NestedState
from harness.study.number_words import number_of
from harness.study.origin import short_name
from harness.study.recipes import recipe_words
from harness.study.settings import level_text
from harness.study.stage import Stage
from harness.study.state import StageState, StudyState
from harness.training.preflight import Networks

MAX_ROWS = 50  # of scenarios per stage, and of networks
LAYOUT_NAMES = {
    "map": "map", "tokens": "patch tokens", "pooled": "its own pooled", "avg": "mean", "max": "maximum",
    "cls": "class token", "cls+avg": "class token and mean",
}  # fmt: skip
MAX_CLASSES = 3  # in the table of folds; of more it shows the total and the range


def show_plan(workspace: Workspace, state: StudyState, networks: Networks, costs: Costs | None = None) -> None:
    """Print the plan of a study: data, folds, networks, every stage with its scenarios, what is done, and the cost."""
    study, inputs = workspace.study, workspace.inputs
    console, dataset = new_console(), inputs.dataset
    show_marks(console, study_marks(study, dataset.synthetic))
    console.print(f"study {study.study}: {dataset.root}, positive class {dataset.positive or 'none (macro means)'}")
    for line in data_lines(study, dataset):
        console.print(line, style="bold")
    console.print()
    counts = class_counts(dataset).to_numpy().tolist()
    console.print(rows_table("data", ["split", "class", "images", "patients"], counts))
    if dataset.skipped and dataset.skipped.reasons:
        console.print(f"{dataset.skipped}\n", style="bold")
    if study.subgroups:
        groups = group_counts(workspace.groups, dataset)
        console.print(rows_table("subgroups, images", groups.columns.tolist(), groups.to_numpy().tolist()))
    console.print(_folds(study, inputs))
    for line in share_lines(study, dataset, inputs.folds):
        console.print(line)
    _show_patients(console, study, inputs)
    _show_networks(console, networks)
    if words := recipe_words(study.base):
        console.print(f"{words}\n")
    for stage in state.stages:
        _show_stage(console, study, stage)
    if any(s.settings.leaks for s in state.scenarios):
        console.print(oversampling_words(s.settings for s in state.scenarios), style="bold")
    jobs = {job.id: job.id in s.records for s in state.scenarios for job in s.jobs}
    waiting = sum(stage.stage.size * len(inputs.folds) for stage in state.stages if stage.waits_for)
    more = f", and up to {waiting} more once the winners are known" if waiting else ""
    console.print(resolution(study, inputs))
    trainings = len({job.training for s in state.scenarios for job in s.jobs})
    shared = f", of {trainings} trainings" if trainings < len(jobs) else ""
    console.print(f"jobs: {len(jobs)} known{shared}, {sum(jobs.values())} done{more}{_refits(study)}")
    for nested in state.nested:
        console.print(nested_line(nested, len(inputs.folds)))
    if costs is not None:
        show_costs(console, costs)
    elif not all(jobs.values()):
        console.print("cost: not known yet; --probe times some steps of each network")


def nested_line(state: NestedState, folds: int) -> str:
    """How many fits a nested selection takes, and how many of them are done. folds: of the study."""
    count = len(state.outer)
    inner = state.planned // count - 1
    return (
        f"nested selection in stage {state.stage.name}: for each of {count} outer folds {inner} fits of"
        f" {number_of(inner // folds, 'scenario')} on {folds} folds of the rest, and one of what is selected; at most"
        f" {number_of(state.planned, 'fit')}, {state.done} done"
    )


def _refits(study: Study) -> str:
    """The fits for the test set, where there are several of a scenario."""
    refits = study.test.refits if study.test else 1
    fits = refits * declared_looks(study)
    return f"; for the test set {fits} fits, {refits} of each scenario that is scored" if refits > 1 else ""


def _folds(study: Study, inputs: Inputs) -> Table:
    """The table of the first folds: images by class on both sides; with many classes the total and the range."""
    sides = ("train", "val")
    names = inputs.dataset.classes if len(inputs.dataset.classes) <= MAX_CLASSES else ("images", "in a class")
    rows = [
        [
            fold.repeat,
            fold.fold,
            *_cells(inputs.dataset.counts(fold.train)),
            *_cells(inputs.dataset.counts(fold.validation)),
        ]
        for fold in inputs.folds[: 3 * inputs.k]
    ]
    columns = ["repeat", "fold", *(f"{side} {name}" for side in sides for name in names)]
    words = "folds" if study.folds.is_drawn else folds_words(inputs.dataset, study.folds, inputs.folds)
    return rows_table(f"{words}, digest {inputs.digests.all_folds}", columns, rows)


def _show_patients(console: Console, study: Study, inputs: Inputs) -> None:
    """Print who the patients are, whether the folds keep them together, and what training and test share."""
    shared = inputs.separation
    more = "" if shared.known else f"; {suggestion(inputs.dataset, study.folds.k)}"
    if shared.known:
        console.print(shared.of_rule)
    if study.unit == "patient":
        console.print(f"unit: {chosen_unit(study, inputs.dataset).words}{'; stages select by it' * study.selects}")
    console.print(f"folds: {shared.of_folds}{more}", style="" if shared.sound else "bold")
    if shared.splits:
        console.print(f"training and test: {shared.of_splits}")
    console.print()


def _show_networks(console: Console, networks: Networks) -> None:
    """Print the features of each backbone, what is trained, and remarks."""
    rows = [
        [
            short_name(network.backbone),
            f"{network.image_size} px",
            f"{LAYOUT_NAMES[check.layout]}, {' x '.join(map(str, check.shape))}",
            f"{check.parameters:,}",
            short(check.flops),
            f"{network.trainable}: {check.stage}" if check.stage else network.trainable,
            f"{check.trained_parameters:,}" if check.trained_parameters else "the head's",
        ]
        for network, check in [*networks.found.items()][:MAX_ROWS]
    ]
    if rows:
        columns = ["backbone", "images", "features", "parameters", "FLOPs", "trained", "trained parameters"]
        console.print(rows_table("networks (FLOPs of one image, 2 for a multiply-add)", columns, rows))
    if len(networks.found) > MAX_ROWS:
        console.print(f"  and {len(networks.found) - MAX_ROWS:,} more\n")
    for remark in networks.remarks:
        console.print(f"{remark}\n", style="bold")


def _cells(counts: dict[str, int]) -> list[object]:
    images = counts.values()
    return list(images) if len(images) <= MAX_CLASSES else [sum(images), f"{min(images)} to {max(images)}"]


def _brought(study: Study, stage: Stage) -> Iterator[str]:
    """What levels bring with them: `vit_small: image_size 518, batch_size 32`."""
    for levels in stage.factors.values():
        for level in levels:
            if level.brings:
                brings = [f"{name} {level_text(study.as_written(value))}" for name, value in level.brings.items()]
                yield f"{level_text(level.value)}: {', '.join(brings)}"


def _show_stage(console: Console, study: Study, state: StageState) -> None:
    stage = state.stage
    chosen = f", winner by mean {stage.select.metric} ({stage.select.rule_words})" if stage.select else ", no winner"
    title = f"stage {stage.name}: {number_of(stage.size, 'scenario')}{chosen}"
    for line in _brought(study, stage):
        console.print(line)
    if state.waits_for:
        levels = {key: ", ".join(str(level.value) for level in of) for key, of in stage.factors.items()}
        factors = "; ".join(f"{key}: {names}" for key, names in levels.items())
        console.print(f"{title}\n  {factors}\n  the rest from the winner of stage {state.waits_for}\n")
        return
    rows = [
        [
            s.name,
            s.id,
            f"{len(s.records)}/{len(s.jobs)}",
            "winner" if state.finished and s is state.best else "",
        ]
        for s in state.scenarios[:MAX_ROWS]
    ]
    console.print(rows_table(title, ["scenario", "id", "jobs done", ""], rows))
    if len(state.scenarios) > MAX_ROWS:
        console.print(f"  and {len(state.scenarios) - MAX_ROWS:,} more\n")


def show_simulations(stages: "list[tuple[str, int, list[Simulated]]]") -> None:
    """Print the simulated time of each stage on more devices, and the lower bound of any schedule."""
    columns = ["devices", "seconds", "bound", "over it", "sum / devices", "longest job"]
    for name, jobs, rows in stages:
        cells = [
            [s.devices, f"{s.makespan:.1f}", f"{s.bound:.1f}", f"{s.makespan / s.bound - 1:.1%}", f"{s.sum_bound:.1f}",
             f"{s.longest:.1f}"]
            for s in rows
        ]  # fmt: skip
        title = f"stage {name}: {number_of(jobs, 'job')}, SIMULATED from recorded durations"
        new_console().print(rows_table(title, columns, cells))

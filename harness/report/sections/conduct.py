"""The section on how a study was run: data, dates, devices, versions, code and command lines; and its file."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.data.dataset import Dataset, set_split
from harness.data.inputs import Workspace
from harness.errors import redact
from harness.report.draft import Draft
from harness.report.numbers.marks import Marks, marked
from harness.report.tables.export import escaped, export_table, marked_markdown, write_table
from harness.store.clock import duration, moment
from harness.store.results import FoldRecord
from harness.study.history import CommandEntry
from harness.study.number_words import number_of, verb

SHARED = ("device", "git", "python", "packages", "machine")  # what most commands of a study have in common
NOT_RECORDED = "not recorded"  # by the version that made a fit


def conduct_lines(draft: Draft) -> list[str]:
    """Write the tables of fits and commands to the folder, and return the section in Markdown."""
    workspace, digests = draft.workspace, draft.inputs.digests
    records = list(draft.state.records.values())
    return [
        "## Provenance",
        "",
        f"- study id `{workspace.identity}`, seed {draft.study.seed}",
        f"- {data_words(workspace)}",
        f"- manifest `{digests.manifest}`, folds `{digests.all_folds}`",
        f"- {run_words(records, workspace.commands)}",
        "",
        *origin_lines(records, workspace.commands, draft.marks, draft.folder),
        f"Every table here comes from one fold assignment, `{digests.all_folds}`.",
        "",
    ]


def data_words(workspace: Workspace) -> str:
    """The source of the images, and how many were read."""
    spec, dataset = workspace.study.data, workspace.inputs.dataset
    train, test = (len(dataset.rows(split)) for split in ("train", "test"))
    place = f", {escaped(workspace.study.as_written(spec.path))}" if spec.path else ""
    drawn = ", drawn by a procedure" if dataset.synthetic else ""
    return f"data: {spec.source}{place}{drawn}; {train:,} training and {test:,} test images{_further(dataset)}"


def _further(dataset: Dataset) -> str:
    """The numbers of images in further test sets."""
    sizes = [f"{len(dataset.rows(set_split(name))):,} in {escaped(name)}" for name in dataset.further_sets]
    return f" ({escaped(dataset.sets[0])}), {', '.join(sizes)}" if sizes else ""


def run_words(records: Sequence[FoldRecord], commands: Sequence[CommandEntry]) -> str:
    """The number of fits, their time and devices, and when the commands were run."""
    fits = f"{number_of(len(records), 'fit')}, {duration(sum(r.facts.seconds for r in records))} of fitting"
    devices = list(dict.fromkeys(record.facts.device for record in records))
    return f"{fits} on {', '.join(devices) or 'no device yet'}{f'; {_when(commands)}' if commands else ''}"


def origin_lines(
    records: Sequence[FoldRecord], commands: Sequence[CommandEntry], marks: Marks, folder: Path
) -> list[str]:
    """Write the tables of fits and of commands to the folder, and return them in Markdown."""
    fits = fits_table(records)
    return [
        *(["How the fits were made; what differs has a row of its own:", ""] if len(fits) > 1 else []),
        *(export_table(marked(fits, marks.every), folder, "fits") if records else []),
        *_commands(commands, marks, folder),
    ]


def _when(commands: Sequence[CommandEntry]) -> str:
    """The time of the first and of the last command, and how long all of them took."""
    first, last = commands[0], commands[-1]
    end = last.time + (last.seconds or 0.0)
    known = [command.seconds for command in commands if command.seconds is not None]
    open_ones = len(commands) - len(known)
    killed = f"{verb(open_ones, 'was', 'were')} killed before {verb(open_ones, 'it', 'they')} could say how long"
    lost = f"; {open_ones} of {len(commands)} {killed}" if open_ones else ""
    return f"from {moment(first.time)} to {moment(end)}, {duration(sum(known))} by the clock{lost}"


def fits_table(records: Sequence[FoldRecord]) -> pd.DataFrame:
    """A row for each way in which fits were made, with their number and seconds; the most frequent way first."""
    rows = [
        {
            "device": f.device,
            "precision": f.precision,
            "packages": f.versions or f"torch {f.torch}",
            "threads": "" if f.threads is None else str(f.threads),
            "compiled": "yes" if f.compile == "on" else "",
            "captured": "yes" if f.capture else "",
            "fused": "yes" if f.fused else "",
            "stacked": "yes" if f.stack else "",
            "otherwise than by the options": "; ".join(f.fallbacks),
            "code": f.code or NOT_RECORDED,
            "seconds": f.seconds,
        }
        for f in (record.facts for record in records)
    ]
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    ways = [column for column in table if column != "seconds"]
    counted = table.groupby(ways, sort=False).agg(fits=("seconds", "size"), seconds=("seconds", "sum")).reset_index()
    counted = counted.sort_values("fits", ascending=False, kind="stable", ignore_index=True)
    filled = [column for column in ways if (counted[column] != "").any()]
    return counted[["fits", *filled, "seconds"]]


def _commands(commands: Sequence[CommandEntry], marks: Marks, folder: Path) -> list[str]:
    """The commands that fitted something: what they share as a list, the rest as a table."""
    if not commands:
        return []
    table = commands_table(commands)
    write_table(marked(table, marks.every), folder, "commands")
    shared = [column for column in SHARED if table[column].nunique() == 1]
    return [
        "The commands that fitted something:",
        "",
        *(f"- {column}: {escaped(table[column][0])}" for column in shared),
        *([""] if shared else []),
        *marked_markdown(marked(_in_words(table.drop(columns=shared)), marks.every)),
    ]


def commands_table(commands: Sequence[CommandEntry]) -> pd.DataFrame:
    """A row for each command: when, what, on what, by which code, and what came of it."""
    return pd.DataFrame(
        {
            "command": redact(c.command),
            "started": moment(c.time),
            "fits": _known(c.fits),
            "failed": _known(c.failed),
            "seconds": c.seconds,
            "device": c.device,
            "git": git_words(c),
            "python": c.python,
            "packages": c.versions,
            "machine": c.machine,
        }
        for c in commands
    )


def _in_words(commands: pd.DataFrame) -> pd.DataFrame:
    """The commands with their durations as a reader says them."""
    words = [NOT_RECORDED if pd.isna(seconds) else duration(seconds) for seconds in commands["seconds"]]
    return commands.assign(seconds=words).rename(columns={"seconds": "duration"})


def git_words(command: CommandEntry) -> str:
    """The commit of the code, and whether files were changed since."""
    return f"{command.git_commit}{' (modified)' if command.git_dirty == 'true' else ''}"


def _known(number: int | None) -> str:
    return NOT_RECORDED if number is None else str(number)

"""The section on the settings: those of the whole study once, the others for each scenario."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.data.inputs import Inputs
from harness.report.numbers.as_run import Used, scenario_settings, study_settings, trained_parameters, training_images
from harness.report.numbers.marks import Marks, marked
from harness.report.sections.network_inputs import input_lines
from harness.report.tables.export import escaped, export_table
from harness.study import Study
from harness.study.number_words import first_of
from harness.study.scenario_state import ScenarioState

MAX_AS_RUN = 4  # different values in one cell
AllUsed = dict[str, list[Used]]  # setting -> its use in each scenario


def settings_lines(
    marks: Marks, inputs: Inputs, scenarios: Sequence[ScenarioState], folder: Path, stages: dict[str, str]
) -> list[str]:
    """Write the tables of the settings to the folder, and return the section in Markdown.

    stages: the stages of each scenario, by its id; empty for the trials of a search, which have a table of their own.
    """
    used = used_settings(marks.study, inputs, scenarios)
    constant = marked(_constant(marks, inputs, used), marks.every)
    lines = [
        "## Settings",
        "",
        "Settings that no scenario varies, as the study gives them, and what they were resolved to.",
        "",
        *export_table(constant, folder, "settings"),
        *input_lines(marks, scenarios, folder),
        *_changes(marks),
    ]
    if not stages:
        return lines
    varied = _varied(marks, used, scenarios, stages)
    return [*lines, "What the scenarios vary:", "", *export_table(varied, folder, "scenarios")]


def used_settings(study: Study, inputs: Inputs, scenarios: Sequence[ScenarioState]) -> AllUsed:
    """The settings of these scenarios, by name."""
    each = [scenario_settings(study, inputs, state) for state in scenarios]
    return {name: [one[name] for one in each] for name in (each[0] if each else ())}


def constants_sentence(used: AllUsed) -> str:
    """The settings that no scenario varies in one line, and the names of the others."""
    if not used:
        return ""
    constant = [f"{name} {rows[0].value}{_in_brackets(rows)}" for name, rows in used.items() if _is_constant(rows)]
    varied = [name for name, rows in used.items() if not _is_constant(rows)]
    words = f"Settings: {'; '.join(constant)}"
    return escaped(f"{words}; varied: {', '.join(varied)}." if varied else f"{words}.")


def _in_brackets(rows: Sequence[Used]) -> str:
    return f" ({found})" if (found := _as_run(rows)) else ""


def _is_constant(rows: Sequence[Used]) -> bool:
    return len({row.value for row in rows}) == 1


def _as_run(rows: Sequence[Used]) -> str:
    """What the values were resolved to, each different one once."""
    found = list(dict.fromkeys(row.as_run for row in rows if row.as_run))
    return first_of(found, MAX_AS_RUN, "; ")


def _constant(marks: Marks, inputs: Inputs, used: AllUsed) -> pd.DataFrame:
    """A row for each setting that is the same everywhere."""
    rows = {name: each for name, each in used.items() if _is_constant(each)}
    rows |= {name: [one] for name, one in study_settings(marks.study, inputs).items()}
    table = [{"setting": name, "value": each[0].value, "as run": _as_run(each)} for name, each in rows.items()]
    return pd.DataFrame(table)


def _varied(marks: Marks, used: AllUsed, scenarios: Sequence[ScenarioState], stages: dict[str, str]) -> pd.DataFrame:
    """A row for each scenario: what it varies, what that was resolved to, and what was fitted."""
    rows = []
    for index, state in enumerate(scenarios):
        row = {"stage": stages[state.id]}
        for name, each in used.items():
            if not _is_constant(each):
                row[name] = each[index].value
                if each[index].as_run:
                    row[f"{name}, as run"] = each[index].as_run
        row |= {
            "trained parameters": trained_parameters(state),
            "training images of a fit": training_images(state),
            "fits": f"{len(state.records)}/{len(state.jobs)}",
            "scenario id": state.id,
            "mark": marks.scenario(state.settings) or "",
        }
        rows.append(row)
    table = pd.DataFrame(rows).fillna("")
    return table if table["mark"].any() else table.drop(columns="mark")


def _changes(marks: Marks) -> list[str]:
    """The list of what the command line changed of the study file."""
    if not marks.study.changed:
        return []
    found = [f"{name}: {_shown(new)} instead of {_shown(old)}" for name, (old, new) in marks.study.changed.items()]
    return ["Changed on the command line (`--set`):", "", *(f"- {escaped(line)}" for line in found), ""]


def _shown(value: object) -> str:
    return "nothing" if value is None else str(value)

"""The section on sites that folds leave out one at a time: each of them, and the mean over them."""

from harness.data.folds import fold_column
from harness.report.draft import Draft
from harness.report.numbers.set_numbers import SITES
from harness.report.numbers.site_numbers import left_out_sites, on_site
from harness.report.numbers.study_subgroups import shown_out_of_fold
from harness.report.sections.side_by_side import Place, Places, side_by_side_lines
from harness.report.tables.estimate_table import interval_note
from harness.report.tables.export import escaped


def left_out_lines(draft: Draft) -> list[str]:
    """Write the tables and figures of the left-out sites to the folder, and return the section.

    Empty for folds that do not leave a value of the metadata out at a time.
    """
    sites, scenarios = left_out_sites(draft.workspace), shown_out_of_fold(draft.state)
    if not sites or not scenarios:
        return []
    column, known = fold_column(draft.study.folds), draft.inputs.separation.known
    of = {on_site(name): Place(name, draft.inputs.fold(0, number).validation, known) for number, name in sites.items()}
    chosen = any(stage.stage.select for stage in draft.state.stages)
    selected = " These numbers selected the scenario, so they are optimistic." if chosen else ""
    return [
        f"## {draft.unit.titled(f'Each {escaped(column)} left out in turn')}",
        "",
        f"Each was scored by the model that was trained on the others.{selected}"
        f" {interval_note(draft.inputs.separation.unit)}",
        "",
        *side_by_side_lines(draft, Places("site", "left-out", of, SITES), [(state, state.name) for state in scenarios]),
    ]

"""The report of a study, written from stored results where it is out of date, and added to its run in MLflow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.data.inputs import Workspace
from harness.data.record import write_record
from harness.errors import HarnessError
from harness.report.current import is_current, update_report
from harness.report.page import PageLinks
from harness.store.reports import require_report_place, search_report, tell_of_other
from harness.study.state import StudyState


def report_study(workspace: Workspace, say: Callable[[str], None] = lambda _: None) -> Path:
    """Write the report from stored results, add it to the study's run in MLflow, and return its path.

    Raises StudyError if no job of the study is done, HarnessError if it is out of date in a store that may only be
    read.
    """
    store, state = workspace.store, stored_state(workspace)
    if store.writable and workspace.images:
        write_record(workspace)  # the store of an earlier version has none
    if store.writable:
        tell_of_other(workspace.report_folder(), workspace.identity, say)
    if not store.has_runs:
        return update_report(workspace, state) if store.writable else _stored_report(workspace, state, None)
    from harness.tracking.publisher import Publisher

    publisher = Publisher(workspace)
    links = publisher.links(state.stages)
    if not store.writable:
        return _stored_report(workspace, state, links)
    path = update_report(workspace, state, publisher.run_of, links)
    publisher.publish_report(path.parent, state.stages)
    return path


def report_elsewhere(workspace: Workspace, out: Path) -> Path:
    """Write the report from stored results to the folder `out`, nothing to the store, and return its path."""
    from harness.report.write import write_report

    require_report_place(out.absolute())
    workspace = replace(workspace, store=workspace.store.as_read_only())
    state = stored_state(workspace)
    if not workspace.store.has_runs:
        return write_report(workspace, state, out=out)
    from harness.tracking.publisher import Publisher

    publisher = Publisher(workspace)
    return write_report(workspace, state, publisher.run_of, publisher.links(state.stages), out)


def stored_state(workspace: Workspace) -> StudyState:
    """How far the study is. Raises StudyError if no job of it is done."""
    state, study = workspace.reader.read(provisional=True), workspace.study
    if state.empty:
        root, searched = workspace.store.root, search_report(workspace.store.reports, study.study)
        only = f", only a search, whose report is {searched / 'index.html'}" if searched else ""
        raise study.error(("study",), f"no job of this study is done in {root}{only}; first run: harness run STUDY")
    return state


def _stored_report(workspace: Workspace, state: StudyState, links: PageLinks | None) -> Path:
    """The report as it is stored. Raises HarnessError where it would have to be written again."""
    folder = workspace.report_folder(state.empty)
    if is_current(workspace, state, links):
        return folder / "report.md"
    page = folder / "index.html"
    older = f"; the page that is stored is {page}" if page.exists() else ""
    raise HarnessError(
        f"the report of {workspace.study.study} would have to be written again (results, looks at the test set, links,"
        f" the harness or its packages are other ones), and {workspace.store.root} may not be written; --out DIR writes"
        f" it to another folder{older}"
    )

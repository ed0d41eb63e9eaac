"""The report of a study, written from stored results where it is out of date, and added to its run in MLflow."""

from collections.abc import Callable
from pathlib import Path

from harness.data.inputs import Workspace
from harness.data.record import write_record
from harness.report.current import update_report
from harness.store.reports import tell_of_other


def report_study(workspace: Workspace, say: Callable[[str], None] = lambda _: None) -> Path:
    """Write the report from stored results, add it to the study's run in MLflow, and return its path.

    Raises StudyError if no job of the study is done.
    """
    study, store = workspace.study, workspace.store
    state = workspace.reader.read(provisional=True)
    if state.empty:
        raise study.error(("study",), f"no job of this study is done in {store.root}; first run: harness run STUDY")
    if workspace.images:
        write_record(workspace)  # the store of an earlier version has none
    tell_of_other(workspace.report_folder(), workspace.identity, say)
    if not store.has_runs:
        return update_report(workspace, state)
    from harness.tracking.publisher import Publisher

    publisher = Publisher(workspace)
    path = update_report(workspace, state, publisher.run_of, publisher.links(state.stages))
    publisher.publish_report(path.parent)
    return path

"""Register a study: before its first fit, and writing nothing but the registration."""

from contextlib import ExitStack
from dataclasses import replace

from harness.data.inputs import Workspace
from harness.data.sources import made_folders
from harness.prepare import prepare
from harness.report.registered import plan_of, registration_content
from harness.store import Store
from harness.store.registrations import Registration, registrations, write_registration
from harness.study import Study
from harness.study.number_words import is_are, number_of

MAX_NAMES = 3


def register_study(study: Study, store: Store, note: str = "") -> tuple[Registration, bool]:
    """Register a study, and return its registration and whether it is new: the same plan is registered once.

    Raises StudyError where fits of the study are done.
    """
    store.refuse_if_busy(study.study)
    with ExitStack() as stack:
        made = any(not folder.exists() for folder in made_folders(study.data, store))
        place = stack.enter_context(store.draft()) if made else store  # images that are made only for this
        workspace = replace(prepare(study, place), store=store)
        plan = plan_of(workspace)
        for known in registrations(store, study.study):
            if {key: known.content[key] for key in plan} == plan:
                return known, False
        _refuse_fitted(workspace)
        return write_registration(store, registration_content(workspace, note)), True


def _refuse_fitted(workspace: Workspace) -> None:
    """Raise StudyError, with the number and names of the fits, where any is done."""
    fits = [fit for fit in workspace.reader.read(provisional=True).fits if fit.records]
    if not fits:
        return
    count = sum(len(fit.records) for fit in fits)
    names = list(dict.fromkeys(fit.name for fit in fits))
    more = f", and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    raise workspace.study.error(
        ("study",),
        f"{number_of(count, 'fit')} of this study {is_are(count)} done in {workspace.store.root}"
        f" ({'; '.join(names[:MAX_NAMES])}{more}); a study is registered before its first fit",
    )

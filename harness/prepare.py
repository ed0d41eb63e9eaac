"""Everything that is known before training: names are checked, images found, folds made."""

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.data.alike import with_alike
from harness.data.audit import ERRORS, audit_study, require_clean
from harness.data.cached_inputs import known_bad, study_folds
from harness.data.data_lines import data_lines
from harness.data.dataset import Dataset
from harness.data.decode import Counting
from harness.data.dicom_tags import require_patient_tag
from harness.data.drawn_apart import drawn_apart
from harness.data.folds import Fold, fold_digests
from harness.data.inner_split import check_inner_splits
from harness.data.inputs import Inputs, Workspace
from harness.data.manifest import read_dataset
from harness.data.nested_folds import NestedFolds, nested_folds
from harness.data.patients import patient_rule
from harness.data.phantom import is_phantom
from harness.data.record import ABOUT_FILE, StudyRecord, records
from harness.data.resampling import check_resampling
from harness.data.separation import separation
from harness.data.sources import SOURCES, images_at_hand, made_folders, named_root, set_folders
from harness.data.subgroups import check_subgroups, subgroup_table
from harness.data.train_share import check_train_shares
from harness.data.units import chosen_unit, unit_dataset, unit_groups, unit_validation
from harness.data.variants import asks_for, variants_text
from harness.errors import BusyError, DataError, HarnessError, StudyError
from harness.models.custom import source_digest
from harness.models.load_metrics import own_scores
from harness.models.study_models import check_models, custom_heads, native_inputs, weights_digests
from harness.store import Store
from harness.store.files import read_json
from harness.store.reports import ID_DIGITS
from harness.study import Study
from harness.study.data_block import DICOM_PREFIX
from harness.study.identity import Digests
from harness.study.paper import load_published
from harness.study.tried import TriedSeeds

READERS = "report, status, audit, ui, predict, export, verify and publish"


def prepare(study: Study, store: Store, accepted: Collection[str] | None = None) -> Workspace:
    """Read the dataset, make the folds and compute the digests of a study.

    accepted: error findings of the audit to let pass, in place of those that the study file names.
    Raises StudyError, DataError or LeakageError, each naming the place in the study file.
    """
    check_names(study)
    study.resolve_native(native_inputs(study))
    weights, heads = weights_digests(study), custom_heads(study)
    own = own_scores(study, heads)
    with nothing_left_if_refused(study, store):
        with study.blamed("data", "source" if study.data.path is None else "path"):
            root = _images(study, store)
            accepted = study.audit.accept if accepted is None else accepted
            folders = set_folders(study.data, store)
            dataset = read_dataset(root, study.data, accepted, partial(known_bad, store), folders)
            dataset = replace(dataset, synthetic=dataset.synthetic or is_phantom(root))
            dataset = drawn_apart(study, dataset, store)
        folds = _folds(study, dataset, store)  # before any image is decoded
        with study.blamed("data", "source" if study.data.path is None else "path"):
            grouped = with_alike(study, dataset, store)
        if grouped is not dataset:
            dataset, folds = grouped, _folds(study, grouped, store)
    nested = _nested(study, dataset)
    sources = {name: source_digest(source) for name, source in heads.items()}
    folds_of = fold_digests(dataset, folds)
    digests = Digests(dataset.digest, folds_of, weights, sources, dataset.metadata_digest, dataset.sets_digest)
    inputs = Inputs(dataset, folds, digests, heads, separation(study, dataset, folds), own, nested)
    workspace = Workspace(study, inputs, store)
    study.note_tried(TriedSeeds.of(read_json(workspace.folder / ABOUT_FILE) or {}))
    return workspace


def _folds(study: Study, dataset: Dataset, store: Store) -> list[Fold]:
    """Make the folds. Raises DataError or StudyError where they are too small for something that the study asks for."""
    folds = study_folds(study, dataset, store)
    _check_unit(study, dataset, folds)
    _check_two_classes(study, dataset)
    _check_sizes(study, dataset, folds)
    return folds


def _nested(study: Study, dataset: Dataset) -> tuple[NestedFolds, ...]:
    """Make the folds of nested selections. Raises as `_folds` does."""
    nested = nested_folds(study, dataset)
    for fold in (fold for each in nested for fold in each.folds):
        _check_sizes(study, dataset, [*fold.inner, fold.outer])
    return nested


def _check_sizes(study: Study, dataset: Dataset, folds: Sequence[Fold]) -> None:
    check_train_shares(study, dataset, folds)
    check_inner_splits(study, dataset, folds)
    check_resampling(study, dataset, folds)


def _check_unit(study: Study, dataset: Dataset, folds: Sequence[Fold]) -> None:
    """Raise DataError or StudyError where the study's unit or its subgroups cannot be made of these images."""
    with study.blamed("unit"):
        unit = chosen_unit(study, dataset)
    if study.subgroups:
        groups = unit_groups(subgroup_table(study, dataset), dataset, unit)
        first = [fold for fold in folds if fold.repeat == 0]
        check_subgroups(study, groups, unit_dataset(dataset, unit), unit_validation(dataset, first, unit))


def _check_two_classes(study: Study, dataset: Dataset) -> None:
    """Raise StudyError where the study declares what only a positive class has."""
    for field in ("operating", "prevalences"):
        if getattr(study, field) and len(dataset.classes) != 2:
            message = f"it is about the positive one of two classes, and there are {len(dataset.classes)}; leave it out"
            raise study.error((field,), message)


def _images(study: Study, store: Store) -> Path:
    """Return the folder of the images. Raises DataError, saying what can be done without them, where there is none."""
    try:
        return SOURCES[study.data.source](study.data, store)
    except DataError as error:
        if not records(store, study.study):
            raise
        raise DataError(f"{error}; without the images, {READERS} work from the store", error.field) from None


def stored_workspace(study: Study, store: Store, say: Callable[[str], None], for_audit: bool = False) -> Workspace:
    """A study in this store, for a command that only reads: from its images if they are at hand, else from its record.

    Where it was never run but one variant of it was, that variant, and `say` gets what differs.
    for_audit: images that are at hand are read whatever was run, and their errors are left to the audit.
    Raises HarnessError where several variants were run, or where there is nothing to read.
    """
    if not for_audit and not store.root.exists():  # images would be drawn for nothing
        raise study.error(("study",), f"nothing was run in {store.root} yet; first run: harness run STUDY")
    known, problem = records(store, study.study), HarnessError("the images are not at hand")
    accepted = ERRORS if for_audit else None
    at_hand = images_at_hand(study.data, store)
    if not known or (for_audit and at_hand):
        return prepare(study, store, accepted)
    if at_hand:
        try:
            workspace = prepare(study, store)
        except HarnessError as error:
            problem = error
        else:
            stored = workspace.folder.exists() or not workspace.reader.read().empty
            return workspace if stored else _variant(study, store, known, say)
    same = [record for record in known if asks_for(study, record)]
    root = named_root(study.data)
    here = [record for record in same if root in (None, record.root)]
    same = here or ([] if at_hand else same)  # images that are at hand in another folder may be others
    if len(same) == 1:
        elsewhere = "" if here else f"; it is of images in {same[0].root}"
        say(f"read from the record in the store: {problem}{elsewhere}")
        return same[0].workspace(store)
    if at_hand:
        raise problem
    return _variant(study, store, same or known, say)


def _variant(study: Study, store: Store, known: list[StudyRecord], say: Callable[[str], None]) -> Workspace:
    """The one variant of a study that the store has. Raises StudyError, naming them, where there are several."""
    found = variants_text(study, known)
    if len(known) > 1:
        raise study.error(
            ("study",),
            f"this study was not run in {store.root}, but {len(known)} variants of it were: {found}; give the id of one"
            " in place of the file, or the --set that it was run with",
        )
    say(f"this study was not run in {store.root}; read from its one variant there: {found}")
    return known[0].workspace(store)


def named_workspace(name: str, store: Store) -> Workspace:
    """The study of this name or id in a store; of several of one name, the one that was run without `--set`.

    Raises StudyError where there is none, or where several come into question.
    """
    known = records(store)
    found = [record for record in known if name in (record.name, record.study_id, record.study_id[:ID_DIGITS])]
    if not found:
        names = ", ".join(dict.fromkeys(record.name for record in known)) or "none"
        raise StudyError(f"{name}: no such study file, and no study of {store.root}; its studies: {names}")
    found = [record for record in found if not record.study.is_variant] or found if len(found) > 1 else found
    if len(found) > 1:
        newest = found[-1]
        raise StudyError(
            f"{name}: {store.root} has several studies of this name; give the id of one:"
            f" {newest.study_id[:ID_DIGITS]} (the newest); {variants_text(newest.study, found[:-1])}"
        )
    return found[0].workspace(store)


@contextmanager
def nothing_left_if_refused(study: Study, store: Store) -> Iterator[None]:
    """Remove images that were drawn or unpacked inside this context if the request is refused.

    Not if another process runs the study: the images may be its own.
    """
    made_here = [folder for folder in made_folders(study.data, store) if not folder.exists()]
    try:
        yield
    except HarnessError as error:
        if made_here and not isinstance(error, BusyError):
            for folder in made_here:
                shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # parents that are empty
                for path in (store.data, store.root):
                    path.rmdir()
        raise


def check_names(study: Study) -> None:
    """Raise StudyError for what does not exist: a head, a backbone, a patient rule, a file of a paper's numbers."""
    if study.paper_file is not None:
        try:
            load_published(study.paper_file)
        except StudyError as error:
            raise study.error(("paper",), str(error)) from None
    if study.data.patient is not None:
        with study.blamed("data", "patient"):
            check = require_patient_tag if study.data.patient.startswith(DICOM_PREFIX) else patient_rule
            check(study.data.patient)
    for number, rule in enumerate(study.audit.patients):
        with study.blamed("audit", "patients", number):
            patient_rule(rule, ())
    check_models(study)


def require_audited(workspace: Workspace, say: Callable[[str], None], progress: Counting) -> None:
    """Audit the images, and say which of them are not read.

    Raises LeakageError or DataError, and writes nothing, where a finding stops the run.
    """
    study, inputs = workspace.study, workspace.inputs
    for line in data_lines(study, inputs.dataset):
        say(line)
    with study.blamed("data", "source" if study.data.path is None else "path"):
        require_clean(audit_study(study, inputs.dataset, inputs.folds, workspace.store, progress))

"""Which study in a store a request means: the same one, or a variant of it (by --set, by an edit, on other images)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.data.record import StudyRecord
from harness.errors import HarnessError
from harness.models.custom import source_digest
from harness.models.repositories import SOURCE, content_digest
from harness.store.files import file_digest
from harness.store.reports import ID_DIGITS
from harness.study import Study
from harness.study.allowed import is_pretrained
from harness.study.identity import study_id
from harness.study.origin import origin_of
from harness.study.own_file import head_source, is_custom
from harness.study.settings import OWN_PARTS, todays_word
from harness.study.study import UNDECISIVE_FIELDS

MAX_DIFFERENCES = 4  # in a line


def asks_for(study: Study, record: StudyRecord) -> bool:
    """Whether this file asks for what was run, provided that the images are the same."""
    same = study_id(study, record.digests) == record.study_id
    same &= [*study.data.sets][1:] == [*record.study.data.sets][1:]  # the first has no name in an id
    return same and _same_weights(study, record) and _same_folders(study, record) and _same_heads(study, record)


def _same_weights(study: Study, record: StudyRecord) -> bool:
    """Whether the weights are the same: files by their content, or by their name where they are not at hand."""
    (plain, files), (stored_plain, stored_files) = _weights(study), _weights(record.study)
    if plain != stored_plain or len(files) != len(stored_files):
        return False
    stored = {
        name: value.partition(SOURCE)[0] for (_, name), value in record.digests.weights.items() if name in stored_files
    }
    known = {*stored.values(), *(Path(name).name for name in stored)}
    return all((file_digest(file) if file.is_file() else file.name) in known for file in map(Path, files))


def _same_folders(study: Study, record: StudyRecord) -> bool:
    """Whether the folders of backbones, and the files of the user's own, hold what was read, as far as at hand."""
    known = {of for value in record.digests.weights.values() for of in (value, value.rpartition(SOURCE)[2])}
    for backbone, weights in {(settings.backbone, settings.weights) for _, settings in study.settings()}:
        origin = origin_of(backbone)
        if origin is not None and origin.folder is not None and origin.folder.exists():
            try:
                found = content_digest(origin, is_pretrained(weights))
            except HarnessError:
                continue
            if (found.rpartition(SOURCE)[2] if origin.is_own else found) not in known:
                return False
    return True


def _weights(study: Study) -> tuple[set[str], set[str]]:
    """The words for weights that a study names, and the files."""
    every = {todays_word(settings.weights) for _, settings in study.settings()}
    files = {name for name in every if name.endswith(".safetensors")}
    return every - files, files


def _same_heads(study: Study, record: StudyRecord) -> bool:
    """Whether the user's own parts are the same, as far as their files are at hand."""
    named = {getattr(settings, part) for _, settings in study.settings() for part in OWN_PARTS} | {*study.metrics}
    for head in filter(is_custom, named):
        try:
            if source_digest(head_source(head, study.folder)) != record.digests.heads.get(head):
                return False
        except HarnessError:
            continue
    return True


def variants_text(study: Study, found: list[StudyRecord]) -> str:
    """The line that lists these records: `1a2b3c4d (base.epochs 1, asked: 15)`."""
    return "; ".join(f"{record.study_id[:ID_DIGITS]} ({differences(study, record)})" for record in found)


def differences(study: Study, record: StudyRecord) -> str:
    """What was run otherwise than this file asks: `base.epochs 1, asked: 15`."""
    words = field_differences(study.model_dump(mode="json"), record.study.model_dump(mode="json"))
    return words or f"other images, weights or heads: {record.digests.manifest[:8]}, from {record.root}"


def field_differences(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """The fields in which the content of two studies differs, dotted, without those that decide no result."""
    asked, stored = dict(_fields(asked)), dict(_fields(stored))
    names = [name for name in dict.fromkeys([*stored, *asked]) if asked.get(name) != stored.get(name)]
    words = [f"{name} {_shown(stored.get(name))}, asked: {_shown(asked.get(name))}" for name in names]
    more = [f"and {len(words) - MAX_DIFFERENCES} more"] if len(words) > MAX_DIFFERENCES else []
    return "; ".join([*words[:MAX_DIFFERENCES], *more])


def _fields(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The fields that decide results, dotted, with their values; a list counts as a whole."""
    if at.startswith(UNDECISIVE_FIELDS):
        return
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _fields(part, f"{at}.{key}" if at else str(key))
    else:
        yield at, todays_word(value)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)[:60]

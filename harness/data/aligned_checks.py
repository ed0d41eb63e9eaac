"""The check for slightly turned, resized or cropped copies, which an audit makes on request."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from harness.data.aligned import AlignedPair, aligned_pairs
from harness.data.audit import Audit
from harness.data.dataset import Dataset, Rows
from harness.data.decode import Counting
from harness.data.duplicates import HASHED_SIZE, near_groups, perceptual_hashes
from harness.data.finding import AuditFinding
from harness.data.inputs import Inputs
from harness.data.pixels import open_pixels, pieces, pixel_cache
from harness.data.survey import MAX_BLANK_SPREAD, pooled
from harness.store import Store
from harness.study import Study
from harness.study.number_words import is_are, number_of, verb

SHOWN = 20  # pairs in the facts
_MEND = "where `folds: {duplicates: aligned}` keeps them together"


def with_aligned(audit: Audit, study: Study, inputs: Inputs, store: Store, counting: Counting) -> Audit:
    """The audit with what is found by laying similar images over each other; that is not cached."""
    found = list(_aligned(study, inputs, store, counting))
    order = {"error": 0, "warning": 1, "note": 2}
    return replace(audit, findings=sorted([*audit.findings, *found], key=lambda finding: order[finding.severity]))


def _aligned(study: Study, inputs: Inputs, store: Store, counting: Counting) -> Iterator[AuditFinding]:
    dataset = inputs.dataset
    rows, small = _small(study, dataset, store, counting)
    near = near_groups(perceptual_hashes(small)).groups
    every, compared = aligned_pairs(small, partial(counting, "pairs of images laid over each other"))
    pairs = [AlignedPair(int(rows[a]), int(rows[b]), c) for a, b, c in every if near[a] != near[b]]  # no known copies
    text = (
        f"{number_of(len(pairs), 'pair')} {verb(len(pairs), 'looks', 'look')} like slightly turned, resized or cropped"
    )
    text += f" copies, of {compared:,} compared"
    yield AuditFinding("aligned", "note", text, {"pairs": len(pairs), "compared": compared})
    for column in ("split", "label", "patient"):
        values = dataset.table[column].to_numpy()
        differ = [pair for pair in pairs if values[pair.row] != values[pair.other]]
        if differ and (column != "patient" or dataset.patient_rule is not None):
            name = f"aligned-across-{'classe' if column == 'label' else column}s"
            such = f"{number_of(len(differ), 'such pair')} {verb(len(differ), 'differs', 'differ')} in {column}"
            yield _found(dataset, name, such, differ)
    if torn := [pair for pair in pairs if _torn(pair, inputs)]:
        such = f"{number_of(len(torn), 'such pair')} {is_are(len(torn))} on both sides of a fold, {_MEND}"
        yield _found(dataset, "aligned-across-folds", such, torn)


def _torn(pair: AlignedPair, inputs: Inputs) -> bool:
    """Whether one of the two is trained on where the other is validated."""
    sides = [(np.isin(fold.train, pair[:2]).any(), np.isin(fold.validation, pair[:2]).any()) for fold in inputs.folds]
    return any(trained and validated for trained, validated in sides)


def _found(dataset: Dataset, name: str, words: str, pairs: list[AlignedPair]) -> AuditFinding:
    """The finding about pairs; its text names the one that agrees most."""
    images = dataset.table["image"]
    named = [[images.iloc[pair.row], images.iloc[pair.other]] for pair in pairs[:SHOWN]]
    return AuditFinding(
        name, "warning", f"{words}, such as {' = '.join(named[0])}", {"count": len(pairs), "first": named}
    )


def _small(study: Study, dataset: Dataset, store: Store, counting: Counting) -> tuple[Rows, np.ndarray]:
    """The rows of the images that are compared, and these, [n, 32, 32]: none blank, of identical files one."""
    whole = replace(dataset, pixel_rules=replace(dataset.pixel_rules, resize="squash"))  # as the audit sees them
    size = max(study.data.image_size, HASHED_SIZE)
    pixels = open_pixels(pixel_cache(whole, size, store, partial(counting, f"images decoded at {size} px")))
    small, blank = [], []
    for piece in pieces(pixels):
        small.append(pooled(piece.mean(axis=1, dtype=np.float32), HASHED_SIZE))
        spread = piece.max(axis=(2, 3)) - piece.min(axis=(2, 3))
        blank.append(spread.max(axis=1) <= MAX_BLANK_SPREAD)
    copies = dataset.table["sha256"].duplicated().to_numpy()
    rows = np.flatnonzero(~np.concatenate(blank) & ~copies)
    return rows, np.concatenate(small)[rows]

"""Find nearly identical images again, of which a study keeps each group on one side."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.data.alike import with_alike
from harness.data.dataset import ALIKE, ALIKE_BY_HASH
from harness.data.drawn_apart import drawn_apart
from harness.data.inputs import Workspace
from harness.errors import HarnessError
from harness.report.verified.verified_item import VerifiedItem
from harness.store import Store


def alike_items(what: str, workspace: Workspace, root: Path) -> Iterator[VerifiedItem]:
    """Compare the groups in a record with those of the images in a folder, which have the hashes of the manifest."""
    study, dataset = workspace.study, workspace.inputs.dataset
    if study.folds.duplicates == "apart":
        return
    columns = [column for column in (ALIKE, ALIKE_BY_HASH) if column in dataset.table]
    images = replace(dataset, root=root, table=dataset.table.drop(columns=columns))
    try:
        with TemporaryDirectory() as folder:  # nothing that the store has cached is believed
            store = Store(Path(folder))
            again = with_alike(study, drawn_apart(study, images, store), store)
    except HarnessError as error:
        yield VerifiedItem("images", what, "cannot be checked", f"which are nearly identical: {error}")
        return
    if again.digest == dataset.digest:
        yield VerifiedItem("images", what, "holds", "found again, the nearly identical ones are those of the manifest")
    else:
        yield VerifiedItem(
            "images", what, "differs", "found again, other ones are nearly identical than in the manifest"
        )

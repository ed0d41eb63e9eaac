"""Check the seals of everything in a store that is sealed when it is finished."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.report.verified.verified_item import VerifiedItem, VerifiedPart
from harness.store import Store
from harness.store.explanations import explanations_file
from harness.store.files import NEW_PREFIX
from harness.store.seals import FILE_SEAL, SEAL, broken, broken_file

UNSEALED = "made before results were sealed"


@dataclass(frozen=True)
class SealedFolder:
    """A folder that has a seal, unless an older version wrote it. changed: its files that are not as sealed."""

    part: VerifiedPart
    path: Path
    changed: dict[str, str] | None  # file -> how; None: it has no seal

    @property
    def readable(self) -> bool:
        """Whether nothing in it has changed, as far as that is known: its numbers may be computed again."""
        return not self.changed

    def items(self, root: Path) -> Iterator[VerifiedItem]:
        """What the seal says, a line for each file that has changed."""
        subject = self.path.relative_to(root).as_posix()
        if self.changed is None:
            yield VerifiedItem(self.part, subject, "cannot be checked", UNSEALED)
        elif not self.changed:
            yield VerifiedItem(self.part, subject, "holds", f"every file is as it was sealed ({SEAL})")
        for name, how in (self.changed or {}).items():
            yield VerifiedItem(self.part, name if subject == "." else f"{subject}/{name}", "differs", how)


def sealed_folders(store: Store) -> list[SealedFolder]:
    """The folders of a store that are sealed; the store itself where it was published."""
    places: list[tuple[VerifiedPart, Path, str]] = [
        ("fits", store.jobs, "*"),
        ("fits", store.root / "set-aside", "*"),
        ("study records", store.studies, "*/*"),
        ("reports", store.reports, "*"),
    ]
    found = [(part, path) for part, root, pattern in places for path in sorted(root.glob(pattern)) if path.is_dir()]
    whole: list[tuple[VerifiedPart, Path]] = [("whole folder", store.root)] if (store.root / SEAL).is_file() else []
    return [
        SealedFolder(part, path, broken(path))
        for part, path in (*whole, *found)
        if not path.name.startswith(NEW_PREFIX)
    ]


def sealed_explanations(store: Store) -> set[Path]:
    """The files of explanations that are sealed one by one, and their seals."""
    seals = list(explanations_file(store, "*").parent.glob(f"*{FILE_SEAL}"))
    return {*seals, *(path.with_name(path.name.removesuffix(FILE_SEAL)) for path in seals)}


def explanation_items(store: Store) -> Iterator[VerifiedItem]:
    """What the seals of the explanations say."""
    for path in sorted(explanations_file(store, "*").parent.glob("*.npz")):
        what, why = path.relative_to(store.root).as_posix(), broken_file(path)
        if why is None:
            yield VerifiedItem("explanations", what, "cannot be checked", UNSEALED)
        else:
            yield VerifiedItem("explanations", what, "differs" if why else "holds", why or "it is as it was sealed")

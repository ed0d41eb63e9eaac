"""The sources of backbones of the user's own, in the record of a study: what its digests are hashes of."""

from collections.abc import Iterator
from pathlib import Path

from harness.errors import HarnessError
from harness.models.custom import source_digest
from harness.models.repositories import SOURCE, own_source
from harness.study.identity import Digests
from harness.study.origin import origin_of

BACKBONES_FOLDER = "backbones"
HASH_DIGITS = 8  # in the name of a folder: two files of one study may have one name


def read_backbone_sources(digests: Digests) -> Iterator[tuple[str, str]]:
    """Read each source that these digests name, with its place in a record; not one that is gone or was changed."""
    for (backbone, _), content in digests.weights.items():
        origin, hashed = origin_of(backbone), content.partition(SOURCE)[2]
        if origin is None or not origin.is_own:
            continue
        try:
            source = own_source(origin)
        except HarnessError:
            continue
        if source_digest(source) == hashed:
            yield place_of_source(backbone, hashed), source


def place_of_source(backbone: str, hashed: str) -> str:
    """Where a record has the source of this backbone. hashed: its digest."""
    origin = origin_of(backbone)
    name = origin.folder.name if origin is not None and origin.folder else ""
    return f"{BACKBONES_FOLDER}/{hashed.removeprefix('sha256:')[:HASH_DIGITS]}/{name}"


def recorded_source(folder: Path, backbone: str, hashed: str) -> str | None:
    """The source of a backbone in this folder of a record; None where an older version wrote it, or it is gone."""
    file = folder / place_of_source(backbone, hashed)
    return file.read_text(encoding="utf-8") if file.is_file() else None

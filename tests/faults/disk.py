"""Row 7 of the table of promises: a disk that fills up in the middle of a run."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.rig import RUN, Rig

FULL = "error: the disk is full; free some space, and the same command continues"


def size(folder: Path) -> int:
    """The bytes of the files below, in whole pages, as a file system in memory counts them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[None]:
    """Puts what lies in the folder on a file system in memory of so many bytes. Raises PermissionError."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)], check=True, capture_output=True
    )
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(rig: Rig, share: float) -> int:
    """A run on a disk that holds this share of what a whole run writes; then there is room, and it goes on.

    Raises PermissionError where no file system may be mounted.
    """
    folder = rig.place()
    store = folder / "mlruns"
    before, after = size(store), size(rig.reference / "mlruns")
    with small_disk(store, before + int(share * (after - before))):
        ended = rig.run(folder, *RUN)
        assert ended.code == 1, ended
        assert ended.err.splitlines()[-1] == FULL, ended.err
        assert "Traceback" not in ended.err, ended.err
        subprocess.run(["mount", "-o", "remount,size=1g", str(store)], check=True)
        rig.finish(folder, *RUN)
        rig.check(folder)
    return 1

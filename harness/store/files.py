"""Files and folders that are whole or absent, whatever kills the process that writes them."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.store.failpoints import failpoint

NEW = ".new-"  # what the name of a folder begins with that is being filled


def write_atomic(path: Path, content: bytes) -> None:
    """Writes `content` so that `path` is the old file or the new one, never a part."""
    with new_folder(path.parent) as folder:
        part = folder / path.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        failpoint("file.written")
        part.replace(path)
        failpoint("file.replaced")


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder below `parent`, to be filled and renamed away; what is left in it is removed.

    Parents that had to be made for it and end up empty are removed too: a failure leaves nothing behind.
    """
    folder = parent / f"{NEW}{os.getpid()}-{secrets.token_hex(4)}"
    with _folder_there(parent), held(folder, make=True):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(folder: Path, make: bool = False, wait: bool = True) -> Iterator[None]:
    """Holds a folder; the system lets go of it when the process ends, so that the living can be told from the dead.

    make: the folder is made, anew where a sweep comes in between. Raises OSError where another holds it.
    """
    while True:
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            hold = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            if not make:
                raise
            continue
        try:
            fcntl.flock(hold, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if folder.exists() or not make:
                yield
                return
        finally:
            os.close(hold)


@contextmanager
def one_maker(path: Path) -> Iterator[None]:
    """Within it no other process makes `path`: whoever waited for it must look first whether it is there by now."""
    from filelock import FileLock

    with _folder_there(path.parent):
        lock = path.with_name(f".{path.name}.lock")
        try:
            with FileLock(lock):
                yield
        finally:
            lock.unlink(missing_ok=True)  # whoever waits on it looks for `path`, and never makes a part of it


@contextmanager
def _folder_there(folder: Path) -> Iterator[None]:
    """Makes a folder and its parents; those that were made now and end up empty are removed again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()


def sync_folder(folder: Path) -> None:
    """Makes the files of `folder` durable before it is renamed into place."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())

"""Files and folders that are complete or absent, even if the process that writes them is killed."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.store.failpoints import failpoint

NEW_PREFIX = ".new-"  # of a folder that is being filled


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` so that `path` is the old file or the new one, never a part."""
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
    """Create a temporary folder below `parent`, to be filled and renamed; what is left in it is removed.

    Parents that were created for it and stay empty are removed too: a failure leaves nothing behind.
    """
    folder = parent / f"{NEW_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    with _existing_folder(parent), folder_lock(folder, make=True):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def folder_lock(folder: Path, make: bool = False, wait: bool = True) -> Iterator[None]:
    """Lock a folder; the system releases the lock when the process ends, so that abandoned folders can be recognised.

    make: create the folder, again where another process removes it meanwhile. wait: for another process; without it
    OSError is raised where one holds the lock.
    """
    while True:
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            if not make:
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if folder.exists() or not make:
                yield
                return
        finally:
            os.close(descriptor)


@contextmanager
def creation_lock(path: Path) -> Iterator[None]:
    """Lock under which one process creates `path`.

    After entering, check whether another process has created it meanwhile.
    """
    from filelock import FileLock

    with _existing_folder(path.parent):
        lock = path.with_name(f".{path.name}.lock")
        try:
            with FileLock(lock):
                yield
        finally:
            lock.unlink(missing_ok=True)  # safe: those who wait for it find `path`, and write it atomically if not


@contextmanager
def _existing_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; at the end, remove those that were created here and are empty."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for path in created:
                path.rmdir()


def file_digest(path: Path) -> str:
    """The hash of a file as studies have it: `sha256:` and its hex digits."""
    return f"sha256:{sha256_of(path)}"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def linked(folder: Path, target: Path) -> Path:
    """Create the folder `target` with the subfolders of `folder`, and links to what is in them; return `target`.

    What may not be read is left out.
    """
    target.mkdir(parents=True)
    for path in readable_content(folder):
        if path.is_dir():
            (target / path.name).mkdir()
            for part in readable_content(path):
                (target / path.name / part.name).symlink_to(part)
        else:
            (target / path.name).symlink_to(path)
    return target


def readable_content(folder: Path) -> list[Path]:
    """The content of a folder, by name; empty where it may not be read or does not exist."""
    return sorted(folder.iterdir()) if os.access(folder, os.R_OK | os.X_OK) else []


def read_json(path: Path) -> Any:
    """The content of a cached JSON file; None where it is missing or damaged, so that it is made again."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def sync_folder(folder: Path) -> None:
    """Flush the files of `folder` to disk before it is renamed."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())

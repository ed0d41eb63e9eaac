"""Seals: the SHA-256 of every file of a finished folder, in a file that `sha256sum -c` reads.

A seal shows that a file has changed since it was sealed. It does not show who sealed it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.store.files import sha256_of, write_atomic

SEAL = "SHA256SUMS"  # the file with the hashes of a folder
FILE_SEAL = ".sha256"  # the suffix of the seal of a single file
LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
CHANGED = "has changed since it was sealed"
ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}  # of sha256sum, which marks such a line with a backslash
UNESCAPED = {text: character for character, text in ESCAPES.items()}


def seal(folder: Path) -> Path:
    """Write the seal of everything below a folder, and return its path."""
    (folder / SEAL).write_bytes(_text(_hashes(folder)))
    return folder / SEAL


@contextmanager
def resealed(folder: Path) -> Iterator[None]:
    """Seal a folder again after this block has changed it. It has no seal meanwhile, nor where the block fails."""
    (folder / SEAL).unlink(missing_ok=True)
    yield
    write_atomic(folder / SEAL, _text(_hashes(folder)))


def broken(folder: Path) -> dict[str, str] | None:
    """What has changed since a folder was sealed: the file -> how. None: it has no seal."""
    file = folder / SEAL
    if not file.is_file():
        return None
    sealed = _sealed(file)
    if sealed is None:
        return {SEAL: "is no list of hashes any more"}
    there = _files(folder)
    found = {name: "is missing" for name in sealed if name not in there}
    found |= {name: "was added after the folder was sealed" for name in there if name not in sealed}
    return found | {name: CHANGED for name, path in there.items() if name in sealed and sha256_of(path) != sealed[name]}


def seal_file(path: Path) -> Path:
    """Write the seal of a single file next to it, and return its path."""
    place = path.with_name(path.name + FILE_SEAL)
    write_atomic(place, _text({path.name: sha256_of(path)}))
    return place


def broken_file(path: Path) -> str | None:
    """How a single file has changed since it was sealed; empty where it has not. None: it has no seal."""
    place = path.with_name(path.name + FILE_SEAL)
    if not place.is_file():
        return None
    same = _sealed(place) == {path.name: sha256_of(path)}
    return "" if same else CHANGED


def _hashes(folder: Path) -> dict[str, str]:
    return {name: sha256_of(path) for name, path in _files(folder).items()}


def _files(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its relative path, without the folder's own seal."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    found.pop(SEAL, None)
    return found


def _text(hashes: Mapping[str, str]) -> bytes:
    """The content of a seal."""
    return "".join(_line(name, found) for name, found in hashes.items()).encode(errors="surrogateescape")


def _line(name: str, found: str) -> str:
    escaped = "".join(ESCAPES.get(character, character) for character in name)
    return f"{chr(92) * (escaped != name)}{found}  {escaped}\n"


def _sealed(file: Path) -> Mapping[str, str] | None:
    """The hashes by file; None where the content is not what `seal` writes."""
    content = file.read_bytes()
    lines = content.decode(errors="surrogateescape").removesuffix("\n").split("\n")
    matches = [LINE.fullmatch(line) for line in lines]
    hashes = {_unescaped(match[3]) if match[1] else match[3]: match[2] for match in matches if match}
    return hashes if hashes and _text(hashes) == content else None


def _unescaped(name: str) -> str:
    return re.sub(r"\\[\\nr]", lambda match: UNESCAPED[match[0]], name)

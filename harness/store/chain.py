"""A chain of small JSON files: each contains the hash of the one before it, so that a change of any is found.

`head.json` has the content of the last link and is written before it: a link that a killed process did not write is
written by the next one, and a last link that was removed is missed.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.store.checked import DIFFERS, HOLDS, UNCHECKED, Checked
from harness.store.failpoints import failpoint
from harness.store.files import NEW_PREFIX, folder_lock, sha256_of, write_atomic

Content = dict[str, Any]
HEAD = "head.json"
HASH = "sha256"


def hash_of(content: Mapping[str, Any]) -> str:
    """The SHA-256 of this content without its own hash, as canonical JSON."""
    return hashlib.sha256(rendered({key: value for key, value in content.items() if key != HASH})).hexdigest()


def signed(content: Mapping[str, Any]) -> Content:
    """The content with its hash."""
    return {**content, HASH: hash_of(content)}


def rendered(content: Mapping[str, Any]) -> bytes:
    """The content as canonical JSON: equal content has equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_content(path: Path) -> Content | None:
    """The content of a JSON file; None where there is no such file, or it does not contain an object."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def intact(path: Path) -> Content | None:
    """The content of a signed file where every byte is as it was written; None where it is not."""
    content = read_content(path)
    whole = content is not None and content == signed(content) and path.read_bytes() == rendered(content)
    return content if whole else None


def hash_of_file(path: Path) -> str | None:
    """The SHA-256 of the bytes of a file; None where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return None


@dataclass(frozen=True)
class Chain:
    """The chain in a folder.

    beginning: the file with the store's id and the hashes of the files that were there before the chain; its own hash
    is part of the first link. others: the names of files that are no links.
    """

    root: Path
    beginning: Path
    others: frozenset[str] = frozenset()

    @property
    def store_id(self) -> str | None:
        """The random id of the store; None before its first link."""
        found = (read_content(self.beginning) or {}).get("id")
        return found if isinstance(found, str) else None

    @property
    def older(self) -> dict[str, str]:
        """The hashes of the files that were there before the chain, by their paths below the folder."""
        return dict((read_content(self.beginning) or {}).get("older") or {})

    @property
    def files(self) -> dict[str, Path]:
        """Every file that is a link or was there before the chain, by its path below the folder."""
        found = {path.relative_to(self.root).as_posix(): path for path in sorted(self.root.rglob("*.json"))}
        others = {HEAD, *self.others}
        return {name: path for name, path in found.items() if path.name not in others and NEW_PREFIX not in name}

    @property
    def head(self) -> Content | None:
        """The content of `head.json`, which is that of the last link; None where it was changed, or is not there."""
        return intact(self.root / HEAD)

    def links(self) -> list[Content]:
        """Every link that is as it was written, in their order."""
        found = [link for name, path in self.files.items() if (link := intact(path)) and link.get("file") == name]
        return sorted(found, key=lambda link: int(link["number"]))

    def last(self) -> Content | None:
        """The last link, whose file a killed process may not have written; None before the first."""
        found = [*self.links(), *([head] if (head := self.head) else [])]
        return max(found, key=lambda link: int(link["number"]), default=None)

    def append(self, file: str, content: Content) -> Content:
        """Write the next link, unless this file is there, and return what the file contains."""
        path = self.root / file
        with folder_lock(self.root, make=True):
            last = self.last()
            if last is not None and not (self.root / last["file"]).exists():
                write_atomic(self.root / last["file"], rendered(last))
            if path.exists():
                return read_content(path) or {}
            link = self._next(file, content, last)
            write_atomic(self.root / HEAD, rendered(link))
            failpoint("chain.head")
            write_atomic(path, rendered(link))
        return link

    def _next(self, file: str, content: Content, last: Content | None) -> Content:
        """The link after the last one."""
        if not self.beginning.exists():
            older = {name: hash_of_file(path) for name, path in self.files.items()}
            write_atomic(self.beginning, rendered({"id": secrets.token_hex(8), "older": older}))
        previous = last[HASH] if last else hash_of_file(self.beginning)
        number = last["number"] + 1 if last else 1
        return signed({**content, "file": file, "store": self.store_id, "number": number, "previous": previous})


def check_chain(chain: Chain) -> Iterator[Checked]:
    """Compare every file with its hash, and every link with the one before it."""
    files, links, older = chain.files, chain.links(), chain.older
    if not chain.beginning.exists() and not chain.head and not links:
        yield from (Checked(name, UNCHECKED, "recorded by an older version, without a hash") for name in files)
        return
    if not chain.beginning.exists():
        yield Checked(chain.beginning.name, DIFFERS, "removed")
    for name, expected in older.items():
        if hash_of_file(chain.root / name) == expected:
            yield Checked(name, HOLDS, "recorded by an older version; since the first hash it was not changed")
        else:
            yield Checked(name, DIFFERS, "changed" if name in files else "removed")
    for name in sorted(files.keys() - older.keys() - {link["file"] for link in links}):
        yield Checked(name, DIFFERS, "its content is not that of its hash: changed, moved, or added by hand")
    yield from _check_order(chain, links)


def _check_order(chain: Chain, links: list[Content]) -> Iterator[Checked]:
    """Compare every link with the one before it, and the last one with `head.json`."""
    head, previous = chain.head, hash_of_file(chain.beginning)
    by_number = {int(link["number"]): link for link in links}
    last = max([*by_number, int(head["number"]) if head else 0])
    for number in range(1, last + 1):
        link = by_number.get(number) or {}
        what = f"entry {number}" + (f", {link['file']}" if link else "")
        if not link:
            late = number == last
            why = "; or its process was killed, and the next look writes it from head.json" if late else ""
            yield Checked(what, DIFFERS, f"it is not there: removed or changed{why}")
        elif previous is None:
            yield Checked(what, UNCHECKED, "what came before it is missing; its own content is as it was written")
        elif link["previous"] == previous:
            yield Checked(what, HOLDS, "as it was written, and after the one before it")
        else:
            yield Checked(what, DIFFERS, "it does not follow the entry before it: one of them was replaced")
        previous = link.get(HASH)
    yield from (
        Checked(link["file"], DIFFERS, f"a second entry {link['number']}: one of them was added")
        for link in links
        if link is not by_number[int(link["number"])]
    )
    if last == 0:
        yield Checked("entries", DIFFERS, "the store has an id, which its first entry gave it, and no entry: removed")
    elif last in by_number and by_number[last] != head:
        yield Checked(HEAD, DIFFERS, "it is not that of the last entry: changed or removed")


def copy_until(chain: Chain, target: Path, last: int | None) -> None:
    """Copy the files of a chain as it was when it ended with this link; the whole chain where `last` is None."""
    links = {chain.root / link["file"]: link for link in chain.links()}
    for path in sorted(chain.root.rglob("*.json")):
        link = links.get(path)
        if path.name != HEAD and (last is None or link is None or link["number"] <= last):
            copy = target / path.relative_to(chain.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    if last is None and (chain.root / HEAD).exists():
        shutil.copyfile(chain.root / HEAD, target / HEAD)
    for link in links.values() if last is not None else ():
        if link["number"] == last:
            (target / HEAD).write_bytes(rendered(link))

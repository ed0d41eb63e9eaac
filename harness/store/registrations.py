"""Registrations of studies: what was planned before any fit, signed by its hash, as JSON and as a page."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.store.chain import HASH, Content, intact, read_content, rendered, signed
from harness.store.checked import DIFFERS, HOLDS, Checked
from harness.store.failpoints import failpoint
from harness.store.files import NEW_PREFIX, new_folder, sync_folder
from harness.store.looks import Looks
from harness.store.store import Store

FOLDER, FILE, PAGE = "registrations", "registration.json", "registration.md"
DIGITS = 8  # of the hash, in the name of a folder


@dataclass(frozen=True)
class Registration:
    """A registration in its folder."""

    folder: Path
    content: Content

    @property
    def sha256(self) -> str:
        """The hash that signs it."""
        return str(self.content[HASH])

    @property
    def day(self) -> str:
        """The date in UTC: `2026-11-26`."""
        return str(self.content["date"])[:10]


def registrations(store: Store, name: str = "*") -> list[Registration]:
    """The registrations of studies of this name, or of all, the oldest first; without those that were changed."""
    found = [(folder, intact(folder / FILE)) for folder in _folders(store, name)]
    kept = [Registration(folder, content) for folder, content in found if content is not None]
    return sorted(kept, key=lambda registration: str(registration.content["date"]))


def _folders(store: Store, name: str = "*") -> list[Path]:
    """The folders of registrations that are complete."""
    found = sorted((store.root / FOLDER).glob(f"{name}/*"))
    return [folder for folder in found if not folder.name.startswith(NEW_PREFIX)]


def write_registration(store: Store, content: Mapping[str, Any]) -> Registration:
    """Sign and write a registration: the whole folder or nothing."""
    whole = json.loads(rendered(signed(content)))  # as it is read, so that its page is always the same
    folder = store.root / FOLDER / str(whole["study"]) / str(whole[HASH])[:DIGITS]
    with new_folder(folder.parent) as new:
        (new / PAGE).write_bytes(page(whole).encode())
        (new / FILE).write_bytes(rendered(whole))
        sync_folder(new)
        failpoint("registration.written")
        new.rename(folder)
    return Registration(folder, whole)


def page(content: Content) -> str:
    """The registration as Markdown."""
    lines = [
        f"# {content['study']}: registered on {content['date']}",
        "",
        f"SHA-256 of the content of `{FILE}` without its `{HASH}`: `{content[HASH]}`",
        "",
        *([str(content["note"]), ""] if content["note"] else []),
        *(f"- {key}: {_text(content[key])}" for key in ("study_id", "seed", "images", "folds", "weights", "heads")),
        *(f"- {_text(stage)}" for stage in content["compared"]),
        *(f"- test: {words}" for words in content["tests"]),
        f"- looks at the test set: {content['looks']} planned; {content['looks_before']} known before",
        *(f"- {key}: {value}" for key, value in content["code"].items()),
        *(f"- by --set: {field}: {old} -> {new}" for field, (old, new) in content["changed"].items()),
        "",
        "The study file:",
        "",
        "````yaml",
        str(content["file"]).rstrip("\n"),
        "````",
    ]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    """A value of the content in one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(each)}" for key, each in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


def check_registrations(store: Store) -> list[Checked]:
    """Check every registration by its hash, its page by its JSON, and that those that looks name are there."""
    return [*_files(store), *_named(store)]


def _files(store: Store) -> Iterator[Checked]:
    for folder in _folders(store):
        what, content = folder.relative_to(store.root).as_posix(), intact(folder / FILE)
        wrong = content is None or (folder.parent.name, folder.name) != (content["study"], content[HASH][:DIGITS])
        if content is None or wrong:
            missing = "removed" if read_content(folder / FILE) is None else "its content is not that of its hash"
            yield Checked(f"{what}/{FILE}", DIFFERS, f"{missing}: changed, moved or added by hand")
            continue
        yield Checked(f"{what}/{FILE}", HOLDS, f"its content is that of its hash, {content[HASH]}")
        same = (folder / PAGE).is_file() and (folder / PAGE).read_bytes() == page(content).encode()
        words = "it is the page of the JSON" if same else f"it is not the page of {FILE}: changed or removed"
        yield Checked(f"{what}/{PAGE}", HOLDS if same else DIFFERS, words)


def _named(store: Store) -> Iterator[Checked]:
    """The registrations in force when test sets were scored, by the looks."""
    there = {registration.sha256 for registration in registrations(store)}
    for link in Looks(store).chain.links():
        if (named := link.get("registered")) and named not in there:
            yield Checked(link["file"], DIFFERS, f"its study was registered as {named}, which is changed or removed")

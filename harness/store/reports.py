"""Where reports lie: the newest under the name of its study; those of other studies of that name are kept beside it."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from harness.store.failpoints import failpoint

DIGITS = 8  # of an id, in the name of a folder


def replace_report(folder: Path, target: Path, identity: str) -> None:
    """Moves a finished report from a folder that will vanish to `target`.

    What lies there goes: the report of this very study or search, by its id, for good; that of another to a folder of
    its own. A copy of this one that was kept so is replaced by it too.
    """
    aside, kept = other_report(target, identity), _beside(target, identity[:DIGITS])
    for old in (aside, kept):
        if old is not None and old.exists():
            shutil.move(old, folder.with_name(f"older-{old.name}"))
    if target.exists():
        shutil.move(target, aside or folder.with_name("old"))
        failpoint("report.moved")
    folder.rename(target)
    failpoint("report.replaced")


def other_report(target: Path, identity: str) -> Path | None:
    """Where the report at `target` will be kept once this study's is written; None where it is no other's."""
    name = _owner(target)
    return None if name in (None, identity[:DIGITS]) else _beside(target, name)


def tell_of_other(target: Path, identity: str, say: Callable[[str], None]) -> None:
    """Says, where the report at `target` is that of another study of the same name, where it will be kept."""
    aside = other_report(target, identity)
    if aside is not None:
        other = aside.name.removeprefix(f"{target.name}-")
        say(
            f"this store has another study called {target.name} ({other}; this one is {identity[:DIGITS]}): its report"
            f" is kept in {aside.parent.name}/{aside.name}"
        )


def own_report(target: Path, identity: str) -> Path | None:
    """Where the report of this study lies now: at `target`, or beside it; None where there is none."""
    places = [target] if _owner(target) == identity[:DIGITS] else [_beside(target, identity[:DIGITS])]
    return next((place for place in places if place.exists()), None)


def _beside(target: Path, name: str | None) -> Path:
    return target.with_name(f"{target.name}-{name}")


def _owner(target: Path) -> str | None:
    """The first digits of the id that a report says it is of, or when it was written; None where there is none."""
    for file, key in (("statistics.json", "study_id"), ("search.json", "search_id")):
        if (target / file).is_file():
            return str(json.loads((target / file).read_text(encoding="utf-8"))[key])[:DIGITS]
    if not target.exists():
        return None
    return datetime.fromtimestamp(target.stat().st_mtime, UTC).strftime("%Y%m%d-%H%M%S")

"""The folders of reports: the newest has the name of its study; those of other studies of that name get a suffix."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import HarnessError
from harness.store.failpoints import failpoint

ID_DIGITS = 8  # of a study id, in the name of a folder
SEARCH_FILE = "search.json"  # in the report of a search: its ids


def replace_report(folder: Path, target: Path, identity: str) -> None:
    """Move a finished report from a temporary folder to `target`.

    An older report of the same study or search (by its id) is removed, also from the folder with its suffix; the
    report of another study of this name is moved to the folder with that study's suffix.
    """
    aside, suffixed = other_report(target, identity), _with_suffix(target, identity[:ID_DIGITS])
    for old in (aside, suffixed):
        if old is not None and old.exists():
            shutil.move(old, folder.with_name(f"older-{old.name}"))
    if target.exists():
        shutil.move(target, aside or folder.with_name("old"))
        failpoint("report.moved")
    folder.rename(target)
    failpoint("report.replaced")


def place_report(folder: Path, target: Path) -> None:
    """Move a finished report to a folder outside the store, in place of an older report there."""
    require_report_place(target)
    if target.exists():
        target.rename(folder.with_name("old"))
    folder.rename(target)


def require_report_place(target: Path) -> None:
    """Raise HarnessError where this folder holds something else than a report."""
    if target.exists() and not (target / "report.md").exists() and (not target.is_dir() or any(target.iterdir())):
        raise HarnessError(f"--out {target}: it is not empty and no report; name a new folder")


def report_place(target: Path, identity: str, yields: bool) -> Path:
    """The folder of a report: `target`, or one with the study's suffix if it `yields` to another study's report."""
    return _with_suffix(target, identity[:ID_DIGITS]) if yields and other_report(target, identity) else target


def other_report(target: Path, identity: str) -> Path | None:
    """Where the report at `target` will be moved when this study's is written; None where it is not another study's."""
    name = _owner(target)
    return None if name in (None, identity[:ID_DIGITS]) else _with_suffix(target, name)


def tell_of_other(target: Path, identity: str, say: Callable[[str], None], kind: str = "study") -> None:
    """Say where the report at `target` will be moved, if it is that of another study (or search) of the same name."""
    aside = other_report(target, identity)
    if aside is not None:
        other = aside.name.removeprefix(f"{target.name}-")
        say(
            f"this store has another {kind} called {target.name} ({other}; this one is {identity[:ID_DIGITS]}): its"
            f" report is kept in {aside.parent.name}/{aside.name}"
        )


def find_report(target: Path, identity: str) -> Path | None:
    """The report of this study: at `target` or in the folder with its suffix; None where there is none."""
    places = [target] if _owner(target) == identity[:ID_DIGITS] else [_with_suffix(target, identity[:ID_DIGITS])]
    return next((place for place in places if place.exists()), None)


def search_report(reports: Path, study: str) -> Path | None:
    """The newest report of a search of this study; None where there is none."""
    name = re.compile(re.escape(f"{study}-search") + f"(-[0-9a-f]{{{ID_DIGITS}}})?")
    found = [file for file in reports.glob(f"*/{SEARCH_FILE}") if name.fullmatch(file.parent.name)]
    return max(found, key=lambda file: file.stat().st_mtime).parent if found else None


def _with_suffix(target: Path, name: str | None) -> Path:
    return target.with_name(f"{target.name}-{name}")


def _owner(target: Path) -> str | None:
    """The first digits of the id of a report's study, or the time when it was written; None where there is none."""
    for file, key in (("statistics.json", "study_id"), (SEARCH_FILE, "search_id")):
        if (target / file).is_file():
            return str(json.loads((target / file).read_text(encoding="utf-8"))[key])[:ID_DIGITS]
    if not target.exists():
        return None
    return datetime.fromtimestamp(target.stat().st_mtime, UTC).strftime("%Y%m%d-%H%M%S")

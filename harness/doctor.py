"""Check the machine and the store for what could prevent a run. Changes nothing."""

import os
import platform
import re
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.models.examine import check_network
from harness.models.hub import check_hub
from harness.store import Ledger, Store
from harness.store.damage import Damage, damaged_cache, damaged_reports, damaged_results
from harness.store.holders import read_holder
from harness.study import Study
from harness.study.allowed import is_pretrained
from harness.study.mixed import mixed_versions
from harness.study.number_words import is_are, number_of
from harness.study.origin import origin_of
from harness.study.provenance import versions
from harness.training.device import choose_device, device_name
from harness.training.preflight import study_networks

LOW_DISK_BYTES = 5 * 2**30


@dataclass(frozen=True)
class Check:
    """One line of the page. verdict: `look` is a warning, `bad` prevents a run."""

    name: str
    verdict: Literal["ok", "look", "bad"]
    text: str


def examine(store: Store, study: Study | None = None) -> list[Check]:
    """Run all checks, in the order of the page."""
    return [
        Check("python", "ok", f"{platform.python_version()}, {os.cpu_count()} cores"),
        *_packages(),
        *_device(),
        *_store(store),
        *((*_database(store), *_leftovers(store), *_files(store)) if store.is_readable else ()),
        *dict.fromkeys(_networks(study) if study else ()),
    ]


def _packages() -> Iterator[Check]:
    """Compare the installed dependencies with the minimum versions that the package declares."""
    wrong = []
    for requirement in requires("harness") or []:
        found = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\d.]+)", requirement)
        if found is None:  # an extra
            continue
        name, minimum = found.groups()
        try:
            if release(version(name)) < release(minimum):
                wrong.append(f"{name} {version(name)} is older than {minimum}")
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "mlflow", "optuna"))
    yield Check("packages", "bad", "; ".join(wrong)) if wrong else Check("packages", "ok", versions)


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version, for comparisons: `2.10.0+cpu` -> (2, 10, 0)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _device() -> Iterator[Check]:
    try:
        device = choose_device("auto")
    except HarnessError as error:  # a GPU that torch cannot use
        yield Check("device", "bad", str(error))
        return
    if device.type == "cpu":
        yield Check("device", "look", "no GPU: whole networks train slowly here; frozen backbones are fast")
        return
    yield Check("device", "ok", f"{device.type}: {device_name(device)}")
    if device.type == "cuda":
        yield _compiler()


def _compiler() -> Check:
    """Look for what torch.compile builds its kernels with on a GPU, where Triton looks for it."""
    named = os.environ.get("CC")
    compiler = shutil.which(named) if named else shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    missing = [
        *([] if compiler else ["no C compiler (gcc or clang on PATH, or CC)"]),
        *([] if headers.is_file() else [f"no {headers} (the package python3-dev, or your Python's own)"]),
    ]
    text = (
        f"{' and '.join(missing)}: networks run uncompiled, --compile on fails" if missing else f"{compiler}, {headers}"
    )
    return Check("torch.compile", "look" if missing else "ok", text)


def _store(store: Store) -> Iterator[Check]:
    existing = next(path for path in (store.root, *store.root.parents) if path.exists())
    closed = store.closed_part
    if closed is None:
        yield Check("store", "ok", f"{store.root}{'' if existing == store.root else ', not made yet'}")
    else:
        usable = store.is_readable and existing == store.root
        yield Check("store", "look" if usable else "bad", f"{store.root}: {store.refusal(closed)}")
    free = shutil.disk_usage(existing).free
    yield Check("disk", "ok" if free > LOW_DISK_BYTES else "look", f"{free / 2**30:,.1f} GiB free at {existing}")


def _database(store: Store) -> Iterator[Check]:
    """Check MLflow's database, whether it and its artifacts are of this place, and its runs."""
    if not store.database.exists():
        return
    from harness.tracking.health import Health
    from harness.tracking.snapshot import database_to_read

    try:
        health, database = Health(store), database_to_read(store)
    except HarnessError as error:
        yield Check("database", "bad", str(error))
        return
    yield Check("database", "ok", f"{store.database}, schema up to date")
    yield _artifacts(store, database)
    active = {path.stem for path in store.locks.glob("*.json") if read_holder(path)}
    yield _found(
        "orphaned runs", health.orphaned_runs(active), "are RUNNING but no process runs their study", "the next run of"
        " it fixes this",
    )  # fmt: skip
    yield _found(
        "lost results", health.without_results(), f"of finished fits in MLflow have no result in {store.jobs}",
        "copy it, too: the next run fits them again",
    )  # fmt: skip


def _artifacts(store: Store, database: Path) -> Check:
    """Check whether the artifacts are there, and in this store. database: the store's, or a copy of it."""
    from harness.tracking.moved import MODELS, missing_artifacts
    from harness.tracking.snapshot import moved_from, rebuilding

    moved = ", ".join(map(str, moved_from(store)))
    lost = [*missing_artifacts(store, database), *missing_artifacts(store, database, MODELS)]
    if lost:
        where = f"copy them from {moved} if they are there, or " if moved else ""
        words = f"{number_of(len(lost), 'folder')} {is_are(len(lost))} missing, such as {lost[0]}"
        return Check("artifacts", "bad", f"{words}: {where}{rebuilding(store)}")
    if moved:
        then = "the next run or report rewrites them" if store.writable else "commands read them as they are here"
        text = f"MLflow's are of {moved}, which this store was moved or copied from; {then}"
        return Check("artifacts", "look", text)
    return Check("artifacts", "ok", str(store.artifacts))


def _found(name: str, found: list[str], what: str, mend: str) -> Check:
    text = f"{len(found)} {what}, such as {found[0]}; {mend}" if found else "none"
    return Check(name, "look" if found else "ok", text)


def _leftovers(store: Store) -> Iterator[Check]:
    folders = [str(path.relative_to(store.root)) for path in store.abandoned()]
    text = f"{len(folders)}, such as {folders[0]}; the next run removes them" if folders else "none"
    yield Check("half-written folders", "look" if folders else "ok", text)
    ledger = Ledger(store)
    waiting = [path.name for path in store.checkpoints.glob("*") if not ledger.done(path.name)]
    if waiting:
        size = sum(file.stat().st_size for name in waiting for file in (store.checkpoints / name).glob("*"))
        yield Check("checkpoints", "ok", f"of {number_of(len(waiting), 'unfinished fit')}, {size / 2**20:,.0f} MiB")


def _files(store: Store) -> Iterator[Check]:
    """Check that results, reports and cached files can be read, and what made the results."""
    results = damaged_results(store)
    mend = "restore it from a copy, or move it away: the next run fits it again"
    yield _damage("results", results, mend)
    yield _damage("reports", damaged_reports(store), "remove its folder: harness report STUDY writes it again")
    yield _damage("cache", damaged_cache(store), "harness cache --clear all removes it; it is made again")
    ledger, broken = Ledger(store), {Path(path).parts[1] for path in results}
    whole = [path.name for path in store.jobs.glob("*") if ledger.done(path.name) and path.name not in broken]
    made = mixed_versions([ledger.record(name) for name in whole], versions())
    if made:
        text = f"of the packages that made fits of this store: {made}; a study needs the versions that it started with"
        yield Check("versions", "look", text)


def _damage(name: str, found: Damage, mend: str) -> Check:
    if not found:
        return Check(name, "ok", "all can be read")
    path, reason = next(iter(found.items()))
    return Check(name, "bad", f"{len(found)} cannot be read, such as {path} ({reason}): {mend}")


def _networks(study: Study) -> Iterator[Check]:
    """Check that every network can be built for its image size and that its weights are available."""
    for network in study_networks(study):
        name = f"weights of {network.backbone}"
        found = check_network(network)
        if found.problem:
            yield Check(name if found.setting == "weights" else f"network {network.backbone}", "bad", found.problem)
            continue
        try:
            if is_pretrained(network.weights) and origin_of(network.backbone) is None:
                check_hub(network.backbone)
            yield Check(name, "ok", f"{network.weights}: available" if network.weights != "none" else "none needed")
        except HarnessError as error:
            yield Check(name, "bad", str(error))

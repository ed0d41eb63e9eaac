"""What could be in the way of a run, on this machine and in this store. Changes nothing."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from harness.errors import HarnessError
from harness.models.examine import check_network
from harness.models.hub import check_hub
from harness.store import Ledger, Store
from harness.store.store import read_holder
from harness.study import Study
from harness.study.mixed import mixed_versions
from harness.study.provenance import versions
from harness.training.device import choose_device, device_name
from harness.training.preflight import study_networks

LOW_DISK = 5 * 2**30  # bytes


@dataclass(frozen=True)
class Check:
    """One line of the page; `look` is worth a look, `bad` is in the way."""

    name: str
    verdict: Literal["ok", "look", "bad"]
    text: str


def examine(store: Store, study: Study | None = None) -> list[Check]:
    """Everything that the doctor looks at, in the order of the page."""
    return [
        Check("python", "ok", f"{platform.python_version()}, {os.cpu_count()} cores"),
        *_packages(),
        _device(),
        *_store(store),
        *(() if store.closed_part else (*_left_behind(store), *_versions(store))),
        *dict.fromkeys(_networks(study) if study else ()),
    ]


def _packages() -> Iterator[Check]:
    """Every dependency that is missing or below the floor that the package declares; one line where all is well."""
    wrong = []
    for requirement in requires("harness") or []:
        found = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\d.]+)", requirement)
        if found is None:  # an extra
            continue
        name, floor = found.groups()
        try:
            if release(version(name)) < release(floor):
                wrong.append(f"{name} {version(name)} is older than {floor}")
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "mlflow", "optuna"))
    yield Check("packages", "bad", "; ".join(wrong)) if wrong else Check("packages", "ok", versions)


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version, to be compared: `2.10.0+cpu` -> (2, 10, 0)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _device() -> Check:
    device = choose_device("auto")
    if device.type == "cpu":
        return Check("device", "look", "no GPU: whole networks train slowly here, frozen backbones well")
    return Check("device", "ok", f"{device.type}: {device_name(device)}")


def _store(store: Store) -> Iterator[Check]:
    there = next(path for path in (store.root, *store.root.parents) if path.exists())
    closed = store.closed_part
    new = "" if there == store.root else ", not made yet"
    told = f": you may not read and write {'it' if closed == store.root else closed}" if closed else ""
    yield Check("store", "bad" if closed else "ok", f"{store.root}{new}{told}")
    free = shutil.disk_usage(there).free
    yield Check("disk", "ok" if free > LOW_DISK else "look", f"{free / 2**30:,.1f} GiB free at {there}")
    if closed or not store.database.exists():
        return
    from harness.tracking.health import orphaned_runs, schema_problem
    from harness.tracking.moved import old_places

    problem = schema_problem(store)
    yield Check("database", "bad" if problem else "ok", problem or f"{store.database}, schema up to date")
    moved = [str(place) for place in old_places(store).values()]
    told = f"of a store in {', '.join(moved)}, which this one was moved or copied from; the next command mends that"
    yield Check("artifacts", "look" if moved else "ok", told if moved else str(store.artifacts))
    if problem is None:
        held = {path.stem for path in store.locks.glob("*.json") if read_holder(path)}
        orphans = orphaned_runs(store, held)
        text = f"{len(orphans)} runs are RUNNING and no one holds their study, such as {orphans[0]};" if orphans else ""
        mend = f"{text} the next run of it mends that" if orphans else "none"
        yield Check("orphaned runs", "look" if orphans else "ok", mend)


def _left_behind(store: Store) -> Iterator[Check]:
    folders = [str(path.relative_to(store.root)) for path in store.abandoned()]
    text = f"{len(folders)}, such as {folders[0]}; the next run removes them" if folders else "none"
    yield Check("half-written folders", "look" if folders else "ok", text)
    ledger = Ledger(store)
    waiting = [path.name for path in store.checkpoints.glob("*") if not ledger.done(path.name)]
    if waiting:
        size = sum(file.stat().st_size for name in waiting for file in (store.checkpoints / name).glob("*"))
        yield Check("checkpoints", "ok", f"of {len(waiting)} unfinished fits, {size / 2**20:,.0f} MiB")


def _versions(store: Store) -> Iterator[Check]:
    """What made the fits of the store, where that is not what is installed here."""
    ledger = Ledger(store)
    made = mixed_versions(
        [ledger.record(path.name) for path in store.jobs.glob("*") if ledger.done(path.name)], versions()
    )
    if made:
        text = f"of the packages that made fits of this store: {made}; a study goes on with the versions that began it"
        yield Check("versions", "look", text)


def _networks(study: Study) -> Iterator[Check]:
    """Whether every network can be built for its images, and its weights can be had."""
    for network in study_networks(study):
        name = f"weights of {network.backbone}"
        verdict = check_network(network)
        if verdict.problem:
            yield Check(name if verdict.setting == "weights" else f"network {network.backbone}", "bad", verdict.problem)
            continue
        try:
            if network.weights == "imagenet":
                check_hub(network.backbone)
            yield Check(name, "ok", f"{network.weights}: there" if network.weights != "none" else "none asked for")
        except HarnessError as error:
            yield Check(name, "bad", str(error))

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
from harness.store.store import read_holder
from harness.study import Study
from harness.study.mixed import mixed_versions
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
        *(() if store.closed_part else (*_leftovers(store), *_versions(store))),
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
    new = "" if existing == store.root else ", not made yet"
    problem = f": you may not read and write {'it' if closed == store.root else closed}" if closed else ""
    yield Check("store", "bad" if closed else "ok", f"{store.root}{new}{problem}")
    free = shutil.disk_usage(existing).free
    yield Check("disk", "ok" if free > LOW_DISK_BYTES else "look", f"{free / 2**30:,.1f} GiB free at {existing}")
    if closed or not store.database.exists():
        return
    from harness.tracking.health import orphaned_runs, schema_problem
    from harness.tracking.moved import old_places

    schema = schema_problem(store)
    yield Check("database", "bad" if schema else "ok", schema or f"{store.database}, schema up to date")
    moved = [str(place) for place in old_places(store).values()]
    text = f"of a store in {', '.join(moved)}, which this one was moved or copied from; the next command fixes this"
    yield Check("artifacts", "look" if moved else "ok", text if moved else str(store.artifacts))
    if schema is None:
        active = {path.stem for path in store.locks.glob("*.json") if read_holder(path)}
        orphans = orphaned_runs(store, active)
        text = (
            f"{len(orphans)} runs are RUNNING but no process runs their study, such as {orphans[0]};"
            " the next run of it fixes this"
            if orphans
            else "none"
        )
        yield Check("orphaned runs", "look" if orphans else "ok", text)


def _leftovers(store: Store) -> Iterator[Check]:
    folders = [str(path.relative_to(store.root)) for path in store.abandoned()]
    text = f"{len(folders)}, such as {folders[0]}; the next run removes them" if folders else "none"
    yield Check("half-written folders", "look" if folders else "ok", text)
    ledger = Ledger(store)
    waiting = [path.name for path in store.checkpoints.glob("*") if not ledger.done(path.name)]
    if waiting:
        size = sum(file.stat().st_size for name in waiting for file in (store.checkpoints / name).glob("*"))
        yield Check("checkpoints", "ok", f"of {len(waiting)} unfinished fits, {size / 2**20:,.0f} MiB")


def _versions(store: Store) -> Iterator[Check]:
    """Compare the package versions of the stored fits with the installed ones."""
    ledger = Ledger(store)
    made = mixed_versions(
        [ledger.record(path.name) for path in store.jobs.glob("*") if ledger.done(path.name)], versions()
    )
    if made:
        text = f"of the packages that made fits of this store: {made}; a study needs the versions that it started with"
        yield Check("versions", "look", text)


def _networks(study: Study) -> Iterator[Check]:
    """Check that every network can be built for its image size and that its weights are available."""
    for network in study_networks(study):
        name = f"weights of {network.backbone}"
        found = check_network(network)
        if found.problem:
            yield Check(name if found.setting == "weights" else f"network {network.backbone}", "bad", found.problem)
            continue
        try:
            if network.weights == "imagenet":
                check_hub(network.backbone)
            yield Check(name, "ok", f"{network.weights}: available" if network.weights != "none" else "none needed")
        except HarnessError as error:
            yield Check(name, "bad", str(error))

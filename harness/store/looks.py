"""Looks at test images, and fits that were made again: recorded before they happen, so that what is stopped counts."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from harness.store.chain import HASH, Chain, Content, read_content
from harness.store.files import write_atomic
from harness.store.machine import STORE_FILE, MachineLook, MachineLooks, count_stores, image_hashes, read_hashes
from harness.store.store import Store

if TYPE_CHECKING:
    from harness.data.dataset import Dataset

TEST_IMAGES = "test-images.json"
AGAIN = "fitted-again"
MACHINE = "on-machine"


@dataclass(frozen=True)
class Look:
    """One scoring of test images. Jobs that are scored together, after one selection, share one time."""

    study: str
    key: str  # the jobs that were scored
    study_id: str | None  # None, as for the fields below: recorded by a version that did not store it
    time: float
    same: bool = True  # False: at a subset or a superset of the images
    seed: int | None = None
    version: str | None = None  # the identity of the study without its name and its seed
    jobs: tuple[str, ...] = ()
    registered: str | None = None  # the hash of the study's registration; None, too, where there was none
    number: int | None = field(default=None, compare=False)  # of its entry in the ledger of its store


@dataclass(frozen=True)
class FittedAgain:
    """A finished fit that was replaced by another one of the same job. number: of its entry in the ledger."""

    job: str
    time: float
    number: int


@dataclass(frozen=True)
class Seen:
    """All looks at some test images: those of one store, and those of all stores on its machine, by their last count.

    machine: None where the machine has no ledger of them, or it could not be read when the store was last looked at.
    """

    here: list[Look]
    machine: list[Look] | None = None
    stores: int = 1
    counted: float = 0.0  # the time of the count, in seconds since 1970

    @property
    def all(self) -> list[Look]:
        """The looks that are known, of as many stores as can be known."""
        return self.here if self.machine is None else self.machine


class Looks:
    """The ledger of looks in one store, a chain of small files."""

    def __init__(self, store: Store) -> None:
        self.root, self._place = store.root / "looks", store.root
        self.chain = Chain(self.root, store.root / STORE_FILE, frozenset({TEST_IMAGES}))

    @cached_property
    def machine(self) -> MachineLooks:
        """The ledger of all stores on this machine."""
        return MachineLooks()

    def opening_time(self, now: float) -> float:
        """The time of looks that are recorded next: now, and after the last entry where the clock was set back."""
        last = self.chain.last()
        return now if last is None else max(now, float(last["time"]) + 1e-3)

    def record(self, dataset: "Dataset", look: Look) -> None:
        """Record that a study scores something on the test set of this dataset.

        Call it before the scoring, so that an interrupted look counts too. The same look counts once: the numbers of a
        stored test do not change when they are read again.
        """
        file = self.root / dataset.digest / TEST_IMAGES
        if not file.exists():
            write_atomic(file, image_hashes(dataset.test_images))
        content: dict[str, Any] = {"time": look.time, "study_id": look.study_id, "seed": look.seed}
        content |= {"version": look.version, "jobs": list(look.jobs), "images": _test_set(dataset)}
        content |= {"registered": look.registered} if look.registered else {}
        entry = self.chain.append(f"{dataset.digest}/{look.study}/{look.key}.json", content)
        if HASH in entry:
            self.machine.add(dataset.test_images, entry, self._place)

    def at(self, dataset: "Dataset") -> list[Look]:
        """Every look at test images of this dataset in this store, by any study, in the order of time.

        Another manifest of the same images (another positive class, patient rule or limit) is the same test set.
        """
        mine, found = _short(dataset), []
        for folder in self.root.glob("*"):
            images = read_hashes(folder / TEST_IMAGES)
            same = folder.name == dataset.digest or images == mine
            paths = folder.glob("*/*.json") if same or images & mine else ()
            found += [_look(path, read_content(path) or {}, same) for path in paths]
        return sorted(found, key=_order)

    def count_machine(self, dataset: "Dataset", now: float) -> None:
        """Record what the ledger of this machine knows of these test images, where that has changed.

        From then on it is known wherever the store is. Studies of other stores are named by a hash only.
        """
        there, own = self._on_machine(dataset), {look.study for look in self.at(dataset)}
        if not there:
            return
        same = [(str(found.content["store"]), found.place) for found, look in there if look.same]
        named = {(look.study if look.study in own else _hashed(look.study), look.key): look for _, look in there}
        rows = [[study, key, x.time, x.same, x.seed, x.version] for (study, key), x in sorted(named.items())]
        here = [(self.chain.store_id or "", self._place)] if own else []
        counted = {"looks": rows, "stores": count_stores([*same, *here]), "test_set": _test_set(dataset)}
        before = self._counted(dataset)
        if not before or any(before[-1][key] != value for key, value in counted.items()):
            self.chain.append(f"{MACHINE}/{_test_set(dataset)}-{len(before) + 1}.json", {**counted, "time": now})

    def known(self, dataset: "Dataset") -> int:
        """The number of looks at test images of this dataset that this store or this machine knows."""
        looks = [*self.at(dataset), *(look for _, look in self._on_machine(dataset))]
        return len({(look.study, look.key) for look in looks})

    def _on_machine(self, dataset: "Dataset") -> list[tuple[MachineLook, Look]]:
        """The looks at test images of this dataset in the ledger of this machine."""
        mine = _short(dataset)
        there = [found for found in self.machine.looks() if found.images & mine]
        return [(x, _look(PurePath(str(x.content["file"])), x.content, x.images == mine)) for x in there]

    def _counted(self, dataset: "Dataset") -> list[Content]:
        """What was recorded of the ledger of a machine about these test images, the newest last."""
        return [link for link in self.chain.links() if link.get("test_set") == _test_set(dataset)]

    def seen(self, dataset: "Dataset") -> Seen:
        """Every look at test images of this dataset that is known in this store; the same one in two stores once."""
        here, counted = self.at(dataset), self._counted(dataset)
        if not counted or any((look.number or 0) > counted[-1]["number"] for look in here):
            return Seen(here)
        there = [
            Look(study, key, None, time, same, seed, version)
            for study, key, time, same, seed, version in counted[-1]["looks"]
        ]
        every = {(look.study, look.key): look for look in sorted([*there, *here], key=_order, reverse=True)}
        machine = sorted(every.values(), key=_order)  # of one that is known twice, the first
        return Seen(here, machine, counted[-1]["stores"], counted[-1]["time"])

    def record_again(self, job_id: str, count: int, time: float) -> None:
        """Record that a finished fit is made again; count: how often, with this time."""
        self.chain.append(f"{AGAIN}/{job_id}-{count}.json", {"time": time, "job": job_id})

    def again(self, job_ids: Collection[str]) -> list[FittedAgain]:
        """The fits of these jobs that were made again, in their order."""
        links = [link for link in self.chain.links() if link["file"].startswith(f"{AGAIN}/")]
        return [FittedAgain(x["job"], x["time"], x["number"]) for x in links if x["job"] in job_ids]


def _short(dataset: "Dataset") -> frozenset[str]:
    """The hashes of the test images, shortened."""
    return frozenset(json.loads(image_hashes(dataset.test_images)))


def _test_set(dataset: "Dataset") -> str:
    """The hash of the test images of this dataset, whatever their paths and classes."""
    return hashlib.sha256(image_hashes(dataset.test_images)).hexdigest()


def _hashed(study: str) -> str:
    """A name for a study of another store, which need not be known where this one goes."""
    return f"#{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def _order(look: Look) -> tuple[float, int, str]:
    return look.time, look.number or 0, look.key


def _look(file: PurePath, content: Content, same: bool) -> Look:
    """The look in a file `.../STUDY/KEY.json`; of one whose content is damaged, that it was there."""
    study, key, time = file.parent.name, file.stem, content.get("time")
    if not isinstance(time, int | float):
        return Look(study, key, None, 0.0, same)
    known = {name: content.get(name) for name in ("seed", "version", "number")}
    return Look(study, key, content.get("study_id"), time, same, jobs=tuple(content.get("jobs") or ()), **known)

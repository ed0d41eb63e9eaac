"""A rehearsal: less of a study, so that it is run once within a given time. The test set stays sealed."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.data.dataset import Dataset
from harness.data.decode import decoded
from harness.data.inputs import Workspace
from harness.execution.costs import load_probes, networks, save_probes, study_costs
from harness.execution.probe import probe
from harness.prepare import prepare
from harness.store import Store
from harness.store.clock import duration
from harness.store.files import read_json, write_atomic
from harness.study import Study
from harness.study.grid import NAME
from harness.study.number_words import number_of, verb
from harness.study.provenance import code_and_machine
from harness.study.settings import ResolvedSettings
from harness.study.strict_yaml import dotted
from harness.training.device import choose_device
from harness.training.preflight import check_networks

OF_THE_TIME = 0.8  # what is planned: a probe is no better than that
STUDY_SECONDS = 25.0  # of a study beside its images and fits: libraries, MLflow's database, the report
FIT_SECONDS = 2.5  # of a fit beside its training and scoring: files, MLflow, its part of the report
TIMES_READ = 2  # an image is decoded for its pixels, and read for hashes and the audit
TIMED_IMAGES = 16
LEAST_IMAGES = 8  # of the smallest class in a fold, on average
EPOCHS = 2  # that come before more images: with one, nothing that happens between epochs is rehearsed

Load = Callable[[Sequence[str]], Study]  # with further options, as `--set` has them


@dataclass(frozen=True)
class Rehearsal:
    """A study of less, the options that make it, and the seconds that it takes, extrapolated."""

    study: Study
    options: list[str]
    seconds: float
    untimed: int  # fits of baselines, which no probe times

    def __str__(self) -> str:
        baselines = (
            f"{number_of(self.untimed, 'fit')} of baselines, which {verb(self.untimed, 'was', 'were')} not timed"
        )
        untimed = f", and {baselines}" if self.untimed else ""
        takes = f"takes about {duration(self.seconds)} here{untimed}, EXTRAPOLATED from a probe"
        if not self.options:
            return f"the whole study {takes}: it is run as it is, and this is no rehearsal"
        sealed = "; the test set stays sealed" if "test=null" in self.options else ""
        return f"a rehearsal with {' '.join(f'--set {option}' for option in self.options)} {takes}{sealed}"


@dataclass(frozen=True)
class _Costs:
    """The seconds of a study that do not depend on its images, and those that grow with them."""

    fixed: float
    images: float
    untimed: int

    @property
    def seconds(self) -> float:
        return self.fixed + self.images


class Rehearser:
    """Finds how much of a study fits into a time on this machine.

    say: gets a line about each network that is timed. Those that were timed in this store before are not timed again:
    the same command finds the same amounts, so that a rehearsal that was stopped goes on.
    """

    def __init__(self, load: Load, store: Store, device: str, say: Callable[[str], None]) -> None:
        self._load, self._store, self._say = load, store, say
        self._device = choose_device(device)
        self._whole = load([])
        self._image_seconds: float | None = None

    def fit_into(self, seconds: float, trains: bool = False) -> Rehearsal:
        """The study with as many folds, then images, then epochs as the time allows.

        trains: whether it is run next, so that weights that are not to be had are refused before anything is timed.
        Raises StudyError where not even the least is possible in it, or where nothing of the study can be timed.
        """
        whole, k = prepare(self._whole, self._store), self._whole.folds.k
        check_networks(self._whole, whole.inputs.digests, self._store, hub=trains)
        if self._costs(whole).seconds <= OF_THE_TIME * seconds:
            return self._rehearsal([])
        epochs = min(EPOCHS, self._epochs) if self._has_epochs(whole) else None
        for amounts in dict.fromkeys([(k, epochs), (2, epochs), (2, epochs and 1)]):
            workspace = prepare(self._load(self._options(*amounts)), self._store)
            images, least = self._images(workspace, seconds), _least(workspace)
            if images is None:
                return self._rehearsal(self._longest(amounts[0], seconds) if epochs else self._options(*amounts))
            if images >= least:
                return self._rehearsal([*self._options(*amounts), f"data.limit={images}"])
        costs = self._costs(workspace)
        needed = costs.fixed + costs.images * least / _images(workspace.inputs.dataset)
        raise self._whole.error(
            ("stages",),
            f"--rehearse: {'1 epoch of ' if epochs else ''}{least} images in 2 folds takes about"
            f" {duration(needed / OF_THE_TIME)} here, and {duration(seconds)} are given; give more time, or leave"
            " scenarios out by --set",
        )

    def _has_epochs(self, workspace: Workspace) -> bool:
        """Whether anything is trained in epochs; probes learn in one go."""
        return any(not settings.is_probe for settings in _all_networks(workspace).values())

    @property
    def _epochs(self) -> int:
        """The most epochs that a scenario has."""
        brought: list[int] = [level.brings.get("epochs", 0) for *_, level in self._whole.levels()]
        levels: list[int] = [level.value for _, key, _, level in self._whole.levels() if key == "epochs"]
        return max([self._whole.base.epochs, *brought, *levels])

    def _rehearsal(self, options: list[str]) -> Rehearsal:
        study = self._load(options)
        costs = self._costs(prepare(study, self._store))
        return Rehearsal(study, options, costs.seconds, costs.untimed)

    def _images(self, workspace: Workspace, seconds: float) -> int | None:
        """How many images of the larger split the time allows; None: all."""
        costs, count = self._costs(workspace), _images(workspace.inputs.dataset)
        share = (OF_THE_TIME * seconds - costs.fixed) / costs.images
        if share >= 1:
            return None
        digits = 10 ** max(0, len(str(count)) - 2)
        return max(0, int(share * count) // digits * digits) if share * count > digits else int(max(0.0, share * count))

    def _longest(self, k: int, seconds: float) -> list[str]:
        """The options for all images and as many epochs as the time allows, which is known to be enough for EPOCHS."""
        least, most = min(EPOCHS, self._epochs), self._epochs
        while least < most:
            middle = (least + most + 1) // 2
            found = self._costs(prepare(self._load(self._options(k, middle)), self._store))
            least, most = (middle, most) if found.seconds <= OF_THE_TIME * seconds else (least, middle - 1)
        return self._options(k, least)

    def _options(self, k: int, epochs: int | None) -> list[str]:
        """What makes the study one of k folds without repeats, of at most so many epochs, that scores no test set.

        epochs: None where nothing has any. After a rehearsal the study is often changed, so it takes no look at the
        test set.
        """
        study = self._whole
        fewer: list[tuple[str, Any, bool]] = [
            ("test", None, study.test is not None),
            ("operating", None, study.operating is not None),
            ("prevalences", [], bool(study.prevalences)),
            ("folds.k", k, study.folds.is_drawn and study.folds.k > k),
            ("folds.repeats", 1, study.folds.repeats > 1),
            *(_fewer_epochs(study, epochs) if epochs else ()),
        ]
        return [f"{name}={json.dumps(value)}" for name, value, is_fewer in fewer if is_fewer]

    def _costs(self, workspace: Workspace) -> _Costs:
        """What the whole study costs here, whatever of it is done."""
        self._time_networks(workspace)
        with TemporaryDirectory() as folder:
            empty = replace(workspace, store=Store(Path(folder)))
            save_probes(empty.store, load_probes(self._store))
            costs = study_costs(empty, empty.reader.read())
        if costs is None:
            message = "nothing but baselines is fitted, which are not timed; use --set data.limit=N instead"
            raise self._whole.error(("stages",), f"--rehearse: {message}")
        untimed = costs.unknown + sum(ahead.unknown for ahead in costs.ahead)
        reading = self._seconds_an_image(workspace.inputs.dataset) * len(workspace.inputs.dataset.table) * TIMES_READ
        return _Costs(STUDY_SECONDS + FIT_SECONDS * costs.fits, costs.most_seconds + reading, untimed)

    def _time_networks(self, workspace: Workspace) -> None:
        """Time the networks that no probe in this store has timed."""
        known, machine = load_probes(self._store), code_and_machine()["machine"]
        classes, heads = len(workspace.inputs.dataset.classes), workspace.inputs.heads
        for key, settings in _all_networks(workspace).items():
            if key not in known:
                self._say(f"timing {settings.backbone}, {settings.head}, at {settings.image_size} px")
                save_probes(self._store, {key: probe(settings, classes, self._device, machine, heads)})

    def _seconds_an_image(self, dataset: Dataset) -> float:
        """The seconds to read an image of the whole study and make it small; timed once in a store."""
        if self._image_seconds is None:
            size, place = max(f.size for f in self._whole.framings), self._store.cache / "reading.json"
            known, key = read_json(place) or {}, f"{dataset.digest} at {size} px"
            if key not in known:
                write_atomic(place, json.dumps(known | {key: _reading_seconds(dataset, size)}).encode())
            self._image_seconds = float(read_json(place)[key])
        return self._image_seconds


def _reading_seconds(dataset: Dataset, size: int) -> float:
    """The seconds to read an image and make it small, of some that are read."""
    rows = dataset.table.iloc[:: max(1, len(dataset.table) // TIMED_IMAGES)].index[:TIMED_IMAGES]
    files, hashes = [dataset.files[row] for row in rows], dataset.table.loc[rows, "sha256"].tolist()
    started = time.perf_counter()
    for _ in decoded(files, hashes, size, dataset.pixel_rules):
        pass
    return (time.perf_counter() - started) / len(rows)


def _all_networks(workspace: Workspace) -> dict[str, ResolvedSettings]:
    """The networks of a study, whatever of it is done."""
    with TemporaryDirectory() as folder:
        empty = replace(workspace, store=Store(Path(folder)))
        return networks(empty, empty.reader.read())


def _fewer_epochs(study: Study, epochs: int) -> Iterator[tuple[str, Any, bool]]:
    """The options by which nothing has more epochs: the field, its value, and whether that is fewer."""
    yield "base.epochs", epochs, study.base.epochs > epochs
    for i, stage in enumerate(study.stages):
        for block, grid in (("grid", stage.grid), ("zip", stage.zip)):
            if "epochs" in grid:
                levels = [_at_most(level, epochs) for level in grid["epochs"]]
                levels = levels if block == "zip" else [*{repr(level): level for level in levels}.values()]
                yield f"stages.{i}.{block}.epochs", levels, levels != grid["epochs"]
    for *_, field, level in study.levels():
        if level.brings.get("epochs", 0) > epochs:
            yield dotted(field).replace("[", ".").replace("]", "") + ".epochs", epochs, True


def _at_most(level: Any, epochs: int) -> Any:
    if isinstance(level, dict):
        return level | {NAME: min(level[NAME], epochs)}
    return min(level, epochs)


def _images(dataset: Dataset) -> int:
    """The number of images of the largest split."""
    return max(len(dataset.rows(split)) for split in dataset.splits)


def _least(workspace: Workspace) -> int:
    """The fewest images of the largest split that leave some of each class in every fold."""
    dataset = workspace.inputs.dataset
    training = dataset.counts(dataset.rows("train"))
    share = LEAST_IMAGES * workspace.inputs.k / min(count for count in training.values() if count)
    return min(_images(dataset), round(share * _images(dataset)))

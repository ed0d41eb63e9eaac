"""Resampling of the training images of one fit: copies, images left out, and synthetic ones between their vectors."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.data.dataset import Dataset, Rows
from harness.data.folds import Fold
from harness.errors import DataError, HarnessError, described
from harness.study import Study
from harness.study.allowed import BY_VECTORS, SYNTHESIS, is_of_library
from harness.study.settings import Settings

OVERSAMPLERS = {  # of imbalanced-learn
    "smote": "imblearn.over_sampling:SMOTE",  # Chawla et al. 2002
    "borderline-smote": "imblearn.over_sampling:BorderlineSMOTE",  # Han et al. 2005
    "adasyn": "imblearn.over_sampling:ADASYN",  # He et al. 2008
    "smoteenn": "imblearn.combine:SMOTEENN",  # Batista et al. 2004
    "smotetomek": "imblearn.combine:SMOTETomek",  # Batista et al. 2003
}
UNDERSAMPLERS = {
    "random": "imblearn.under_sampling:RandomUnderSampler",
    "near-miss": "imblearn.under_sampling:NearMiss",  # Mani and Zhang 2003, version 1
    "tomek": "imblearn.under_sampling:TomekLinks",  # Tomek 1976
}
NEIGHBOURS = 5  # of the SMOTE family, besides the image itself
VectorsOf = Callable[[Rows], NDArray[np.float32]]  # rows [n] of the manifest -> their vectors [n, d]


class Resampled(NamedTuple):
    """What a fit learns from.

    rows: [n], of the manifest, each as often as it counts. vectors: [m, d], synthetic. labels: [m], their classes.
    """

    rows: Rows
    vectors: NDArray[np.float32]
    labels: Rows


def resample(rows: Rows, labels: Rows, settings: Settings, seed: int, vectors: VectorsOf | None = None) -> Resampled:
    """Oversample training images, then undersample what there is.

    rows: [n], of the manifest. labels: [n], their classes. vectors: of a frozen backbone, where the settings need them.
    Raises HarnessError where a sampler cannot be used on these images.
    """
    if settings.synthesises:
        assert vectors is not None
        found = _synthesised(rows, labels, settings, seed, vectors(rows))
    else:
        sampled = oversample(rows, labels, settings.oversampling, seed, settings.oversampling_ratio)
        found = Resampled(sampled, np.empty((0, 0), np.float32), np.empty(0, labels.dtype))
    if settings.undersampling == "none":
        return found
    label_of = dict(zip(rows.tolist(), labels.tolist(), strict=True))
    real = np.array([label_of[row] for row in found.rows.tolist()], dtype=labels.dtype)
    return _undersampled(found, real, settings.undersampling, seed, vectors)


def oversample(rows: Rows, labels: Rows, method: str, seed: int, ratio: float = 1.0) -> Rows:
    """Oversample training rows; `random` repeats rows of the smaller classes.

    rows: [n], training rows of the manifest. labels: [n], their classes.
    ratio: the least number of images of a class afterwards, as a proportion of the largest class.
    """
    if method == "none" or len(set(labels.tolist())) < 2:
        return rows
    from imblearn.over_sampling import RandomOverSampler

    sampler = RandomOverSampler(sampling_strategy=_wanted(labels, ratio), random_state=seed)
    sampler.fit_resample(np.arange(len(rows)).reshape(-1, 1), labels)
    chosen: Rows = rows[sampler.sample_indices_]
    return chosen


def check_resampling(study: Study, dataset: Dataset, folds: Sequence[Fold]) -> None:
    """Try the samplers of imbalanced-learn that the study names, and count the neighbours that the SMOTE family needs.

    Raises DataError where a fold has too few images of a class, StudyError where a sampler cannot be used.
    """
    for field, settings in study.settings():
        with study.blamed(*study.place(field, "oversampling")):
            if is_of_library(settings.oversampling):
                _sampler(settings.oversampling, {})
            for fold in folds if settings.oversampling in SYNTHESIS else ():
                _check_neighbours(settings, dataset, dataset.labels[fold.train])


def _check_neighbours(settings: Settings, dataset: Dataset, labels: Rows) -> None:
    wanted = _wanted(labels, settings.oversampling_ratio)
    for label, count in Counter(labels.tolist()).items():
        if count < wanted[label] and count <= NEIGHBOURS:
            raise DataError(
                f"oversampling {settings.oversampling} makes images between one and its {NEIGHBOURS} nearest of its"
                f" class; a fold trains on {count} of {dataset.classes[label]}: use oversampling: random, or more of"
                " them"
            )


def _wanted(labels: Rows, ratio: float) -> dict[int, int]:
    """The images of each class afterwards: at least this proportion of the largest."""
    counts = Counter(labels.tolist())
    least = round(ratio * max(counts.values()))
    return {label: max(count, least) for label, count in counts.items()}


def _synthesised(rows: Rows, labels: Rows, settings: Settings, seed: int, vectors: NDArray[np.float32]) -> Resampled:
    """What a sampler that reads vectors makes of them: rows that it returns as they are, and synthetic vectors."""
    given: dict[str, Any] = {"random_state": seed}
    if settings.oversampling in OVERSAMPLERS:
        given["sampling_strategy"] = _wanted(labels, settings.oversampling_ratio)
    sampler = _sampler(OVERSAMPLERS.get(settings.oversampling, settings.oversampling), given)
    found, classes = _resampled(settings.oversampling, sampler, vectors, labels)
    if missing := len({*labels.tolist()} - {*classes.tolist()}):
        raise HarnessError(f"{settings.oversampling} leaves no image of {missing} of the classes")
    at = _places(vectors, labels, found, classes)
    made = at < 0
    return Resampled(rows[at[~made]], found[made].astype(np.float32), classes[made].astype(labels.dtype))


def _places(vectors: NDArray[Any], labels: Rows, found: NDArray[Any], classes: NDArray[Any]) -> Rows:
    """The place of each vector found among those given, bit for bit and of the same class; -1 for a synthetic one."""

    def keys(of: NDArray[Any], by: NDArray[Any]) -> list[tuple[int, bytes]]:
        return [
            (int(label), blake2b(np.ascontiguousarray(vector).tobytes(), digest_size=16).digest())
            for vector, label in zip(of, by, strict=True)
        ]

    known: dict[tuple[int, bytes], int] = {}
    for place, key in enumerate(keys(vectors, labels)):
        known.setdefault(key, place)  # images with the same vector and class are the same to every head
    return np.array([known.get(key, -1) for key in keys(found, classes)], dtype=np.int64)


def _undersampled(found: Resampled, real: Rows, method: str, seed: int, vectors: VectorsOf | None) -> Resampled:
    """Leave out images of the larger classes, real or synthetic. real: [n], the classes of the rows."""
    everything = np.arange(len(found.rows) + len(found.labels)).reshape(-1, 1)
    values: NDArray[Any] = everything
    if method in BY_VECTORS:
        assert vectors is not None
        values = vectors(found.rows)
        values = np.concatenate([values, found.vectors]) if len(found.labels) else values
    sampler = _sampler(UNDERSAMPLERS[method], {"random_state": seed})
    _resampled(f"undersampling {method}", sampler, values, np.concatenate([real, found.labels]))
    chosen = np.sort(sampler.sample_indices_)
    kept, made = chosen[chosen < len(found.rows)], chosen[chosen >= len(found.rows)] - len(found.rows)
    return Resampled(found.rows[kept], found.vectors[made], found.labels[made])


def _resampled(name: str, sampler: Any, values: NDArray[Any], labels: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        found, classes = sampler.fit_resample(values, labels)
    except (ValueError, RuntimeError) as error:  # such as fewer images than neighbours
        raise HarnessError(f"{name} cannot be used on these training images: {described(error)}") from None
    return np.asarray(found), np.asarray(classes)


def _sampler(name: str, given: Mapping[str, Any]) -> Any:
    """A sampler of imbalanced-learn, `module:Class`, with those of the arguments given that it takes.

    Raises HarnessError where there is none of this name.
    """
    module, _, named = name.partition(":")
    try:
        kind = getattr(import_module(module), named)
        takes = kind().get_params()
        kind.fit_resample  # noqa: B018 - a sampler has it
    except (ImportError, AttributeError, TypeError) as error:
        raise HarnessError(
            f"{name} is no sampler of imbalanced-learn ({described(error)}); such as imblearn.over_sampling:SVMSMOTE"
        ) from None
    return kind(**{key: value for key, value in given.items() if key in takes})

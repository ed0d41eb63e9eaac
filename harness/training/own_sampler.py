"""Samplers of the user's own, `oversampling: module:Class`: they draw from the training images of a fold."""

import numpy as np

from harness.data.dataset import Rows
from harness.errors import HarnessError, described
from harness.models.custom import head_class
from harness.study.own_file import file_name

TRIAL_SEED = 0


def resampled(rows: Rows, labels: Rows, sampler: str, source: str, seed: int) -> Rows:
    """The training rows that the sampler draws.

    rows: [n], of the manifest. labels: [n], their classes. Raises HarnessError where it returns anything else than some
    of what it was given, with all classes among them.
    """
    positions = np.arange(len(rows), dtype=np.int64)
    found = head_class(sampler, source)(random_state=seed).fit_resample(positions.reshape(-1, 1), labels.copy())
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise HarnessError("fit_resample does not return a pair")
    drawn, classes = np.asarray(found[0]), np.asarray(found[1])
    if drawn.ndim != 2 or drawn.shape[1] != 1 or classes.shape != drawn.shape[:1]:
        raise HarnessError(f"fit_resample returns shapes {list(drawn.shape)} and {list(classes.shape)}")
    chosen = drawn[:, 0]
    if not np.issubdtype(chosen.dtype, np.integer) or not np.isin(chosen, positions).all():
        raise HarnessError("fit_resample returns numbers that are none of the images that it was given")
    if not np.array_equal(labels[chosen], classes):
        raise HarnessError("fit_resample returns other classes than those of the images")
    if missing := len({*labels.tolist()} - {*classes.tolist()}):
        raise HarnessError(f"fit_resample leaves no image of {missing} of the classes")
    kept: Rows = rows[chosen]
    return kept


def try_sampler(sampler: str, source: str, labels: Rows) -> None:
    """Draw twice from images of these classes.

    Raises HarnessError, with what is expected of a sampler, where that fails or gives other images the second time.
    """
    head_class(sampler, source)  # its own error is clear enough
    rows = np.arange(len(labels), dtype=np.int64)
    try:
        first, again = (resampled(rows, labels, sampler, source, TRIAL_SEED) for _ in range(2))
        if not np.array_equal(first, again):
            raise HarnessError("with one random_state it draws other images each time")
    except Exception as error:  # a user's code raises anything
        name = sampler.rpartition(":")[2]
        raise HarnessError(
            f"{file_name(sampler)} cannot be used: {described(error)}; expected: {name}(random_state=...) with"
            " fit_resample(X, y), which gets the numbers [n, 1] and the classes [n] of a fold's training images and"
            " returns some of both, repeated or left out, with every class among them"
        ) from None

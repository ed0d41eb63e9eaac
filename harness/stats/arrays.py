"""The arrays of a table of predictions."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def arrays(frame: "pd.DataFrame") -> tuple[list[str], NDArray[np.float64], NDArray[np.int64]]:
    """The classes, the probabilities [n, classes] and the true class of every row [n] of a table of predictions.

    A label that is no class is -1.
    """
    columns = [str(column) for column in frame if str(column).startswith("prob_")]
    classes = [column.removeprefix("prob_") for column in columns]
    places = {name: index for index, name in enumerate(classes)}
    labels = np.array([places.get(label, -1) for label in frame["label"]], dtype=np.int64)
    return classes, frame[columns].to_numpy(np.float64), labels

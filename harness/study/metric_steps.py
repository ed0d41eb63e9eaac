"""By how much the least change of the predictions of one fold moves a metric."""

from collections.abc import Sequence

COUNTED = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "specificity",
    "mcc",
)  # computed from predicted classes
ORDERED = ("roc_auc", "pr_auc")  # computed from the order of the images


def metric_step(metric: str, images: Sequence[float]) -> float:
    """The least step of a metric on so many validation images of each class; 0 for losses, which have no steps.

    One image that is predicted otherwise moves accuracy by 1 / n_val, and the other counted metrics by that on average.
    One pair of images that is ordered otherwise moves the area under a ROC curve by one of its positive x negative
    pairs.
    """
    total = sum(images)
    if metric in COUNTED and total:
        return 1 / total
    pairs = max((of_class * (total - of_class) for of_class in images), default=0)
    return 1 / pairs if metric in ORDERED and pairs else 0.0

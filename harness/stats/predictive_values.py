"""Predictive values at a prevalence that is not that of the images: by Bayes' rule, from both recalls."""

import math

from harness.stats.proportions import Bounded


def predictive_value(own: Bounded, other: Bounded, prevalence: float) -> Bounded | None:
    """The share of a class among what is predicted to be it, with its interval, where it has this prevalence in (0, 1).

    own: the recall of the class; other: that of the other one. Of the positive class it is the positive predictive
    value, of the other one, at 1 - prevalence, the negative one. None where nothing is predicted to be of this class.
    The value falls with the ratio of wrong predictions to right ones, (1 - other) / own, two rates of different images.
    The ends of this ratio are found from those of both rates (MOVER; Donner & Zou 2012, Stat Methods Med Res 21:347).
    """
    wrong = Bounded(1 - other.value, 1 - other.high, 1 - other.low)
    if own.value == wrong.value == 0:
        return None
    ratio = wrong.value / own.value if own.value else math.inf
    return Bounded(*(_at(each, prevalence) for each in (ratio, _highest(wrong, own), _lowest(wrong, own))))


def _at(ratio: float, prevalence: float) -> float:
    """The predictive value of this ratio of wrong predictions, of the other class, to right ones, of the class."""
    return 1 / (1 + ratio * (1 - prevalence) / prevalence)


def _lowest(part: Bounded, whole: Bounded) -> float:
    """The lower end of the ratio of two rates, in the form that divides by no zero."""
    product = part.value * whole.value
    ends = part.low * (2 * part.value - part.low)
    root = math.sqrt(max(0.0, product**2 - ends * whole.high * (2 * whole.value - whole.high)))
    return ends / (product + root) if ends else 0.0


def _highest(part: Bounded, whole: Bounded) -> float:
    """The upper end of the ratio of two rates."""
    product = part.value * whole.value
    ends = whole.low * (2 * whole.value - whole.low)
    root = math.sqrt(max(0.0, product**2 - ends * part.high * (2 * part.value - part.high)))
    return (product + root) / ends if ends else math.inf

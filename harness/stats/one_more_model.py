"""The interval of what one more model of a recipe is worth, from several that were trained by it."""

from collections.abc import Sequence
from statistics import mean, stdev

from harness.stats import UPPER_END
from harness.stats.proportions import Interval


def one_more(interval: Interval, values: Sequence[float]) -> Interval:
    """The interval of the true value of another model by the recipe whose models have these values on some images.

    interval: of the mean of the values, by the images alone. With one value it stays as it is.
    Two errors meet: that of the mean, by the images, and the distance of another model from the mean of N, which is
    t(N - 1) s sqrt(1 + 1 / N) (the prediction interval, Hahn 1969, JASA 64:878). They are independent, so at each end
    the squares of both are added (Zou & Donner 2008, Stat Med 27:1693; Newcombe's hybrid intervals are made so). Where
    the models agree that is the interval of the mean, where they differ much the prediction interval.
    What the seed decides is a source of variance like the sample of images (Bouthillier et al. 2021, MLSys 3:747). The
    spread of the values is on the same images, so it also has which of them each model happens to know: the interval
    is rather too wide than too narrow. Its ends may leave 0 to 1.
    """
    if len(values) < 2:
        return interval
    from scipy.special import stdtrit

    count, centre = len(values), mean(values)
    half = float(stdtrit(count - 1, UPPER_END)) * stdev(values) * (1 + 1 / count) ** 0.5
    low, high = interval
    return centre - ((centre - low) ** 2 + half**2) ** 0.5, centre + ((high - centre) ** 2 + half**2) ** 0.5

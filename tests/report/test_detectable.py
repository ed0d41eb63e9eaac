"""What `plan` says of the differences that a protocol resolves."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from statsmodels.stats.proportion import proportion_confint

from harness.data.inputs import Inputs
from harness.report.numbers import detectable
from harness.stats.power import half_width, images_for, resolved_in_sd
from harness.study import Study
from harness.study.data_block import Data
from harness.study.settings import Settings
from harness.study.stage import Stage


def line(monkeypatch: pytest.MonkeyPatch, images: int, repeats: int = 1, tested: int = 0) -> str:
    """The forecast of a study of four scenarios over 3 folds of so many images, with so many to test on."""
    study = Study(
        study="s",
        data=Data(source="folder"),
        base=Settings(backbone="test_resnet"),
        stages=[Stage(name="s", grid={"epochs": [1, 2, 3, 4]})],
    )
    inputs: Any = SimpleNamespace(k=3, folds=range(3 * repeats), dataset=None)
    rows = SimpleNamespace(rows=lambda split: range(images if split == "train" else tested))
    monkeypatch.setattr(detectable, "chosen_unit", lambda *_: SimpleNamespace(plural="images"))
    monkeypatch.setattr(detectable, "unit_dataset", lambda *_: rows)
    return detectable.resolution(study, cast(Inputs, inputs))


def test_the_forecast_is_of_80_percent_power_alone_and_among_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, strictest = resolved_in_sd(3, 1 / 2), resolved_in_sd(3, 1 / 2, 0.05 / 6)
    assert (
        f"resolution at 80% power: a true mean difference from {alone:.2f} SD of its 3 folds, the strictest of 6"
        f" pairs from {strictest:.2f} SD." in line(monkeypatch, 5216)
    )


def test_the_repeats_are_the_fewest_whose_folds_resolve_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5,216 images a fold has 1,739, and the differences of folds an SD of sqrt(0.05 / 1739) = 0.54 points."""
    assert (
        "an SD is about 0.5 points of accuracy; then one comparison takes more than 20, 2 or 1 repeats to resolve"
        " 1, 2 or 5 points" in line(monkeypatch, 5216)
    )
    assert "then one comparison takes more than 20 repeats to resolve 1, 2 or 5 points" in line(monkeypatch, 60)
    assert resolved_in_sd(6, 1 / 2) * 0.536 < 2 < resolved_in_sd(3, 1 / 2) * 0.536
    assert line(monkeypatch, 5216, repeats=5).endswith(line(monkeypatch, 5216).partition(". ")[2]), "repeats of folds"


def test_the_interval_of_a_test_accuracy_is_forecast_with_the_images_that_others_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By n = z^2 p (1 - p) / h^2, which Wilson's interval is near: 3,457, 864 and 138 for 0.9."""
    assert line(monkeypatch, 5216, tested=624).endswith(
        " On 624 test images an accuracy of 0.9 has a 95 % interval of ± 2.4 points; ± 1, 2 or 5 take 3,461, 868 or 141"
        " images, more where these are not independent"
    )
    assert "test images" not in line(monkeypatch, 5216)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("half", [0.01, 0.05])
def test_the_images_for_an_interval_are_the_fewest(rate: float, half: float) -> None:
    n = images_for(rate, half)
    low, high = proportion_confint(rate * n, n, method="wilson")
    assert half_width(rate, n) == pytest.approx((high - low) / 2)
    assert half_width(rate, n) <= half < half_width(rate, n - 1)

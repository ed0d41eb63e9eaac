import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from rich.console import Console

from harness.cli.show.across import show_ranked
from harness.report.across.ranked_models import Cell, RankedModels
from harness.study.scenario_state import ScenarioState
from harness.study.stage import Select

GOLDEN = Path(__file__).with_name("across")
MODELS = ("tf_efficientnet_lite0 + logistic", "vit_small_patch14_dinov2 + logistic", "test_resnet + knn")
DATA_SETS = ("digits", "phantoms", "x-rays", "textile")


def cell(model: str, data_set: str, mean: float) -> Cell:
    ends = None if data_set == "textile" else (mean - 0.05, mean + 0.05)
    return Cell(model, data_set, mean, 0.012, ends, cast(ScenarioState, None), "SYNTHETIC DATA")


def ranked() -> RankedModels:
    means = np.array([[0.90, 0.95, 0.60], [0.80, 0.85, 0.70], [0.91, 0.93, 0.75], [0.70, 0.72, 0.50]])
    cells = [cell(m, d, float(means[j, i])) for j, d in enumerate(DATA_SETS) for i, m in enumerate(MODELS)]
    return RankedModels((*cells, cell("fails", "digits", 0.5)), DATA_SETS, Select(metric="val/accuracy"))


def printed(width: int) -> list[str]:
    out = io.StringIO()
    show_ranked(Console(file=out, width=width), ranked())
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_models_on_data_sets_look_as_they_should(width: int) -> None:
    assert printed(width) == (GOLDEN / f"{width}.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_mean_is_cut(width: int) -> None:
    lines = printed(width)
    assert all(len(line) <= width for line in lines)
    assert all(any(f"{each.mean:.3f}" in line for line in lines) for each in ranked().cells)
    assert all(any(model in line for line in lines) for model in MODELS)

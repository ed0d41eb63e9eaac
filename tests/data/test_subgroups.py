"""The groups that `subgroups` names, from columns of the metadata."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.data.subgroups import subgroup_table
from harness.errors import DataError
from harness.study import Study

TEXT = """\
study: s
data: {source: phantom}
base: {backbone: resnet18}
stages: [{name: only}]
subgroups:
  - SUBGROUP
"""


def groups(study: Study, values: list[Any], name: str = "age") -> pd.Series:
    """The groups of images with these values, in their order."""
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(len(values))], name: values})
    dataset = Dataset(Path(), table, ("A", "B"), "B", False, metadata=(name, "other"))
    found: pd.Series = subgroup_table(study, dataset)[name]
    assert list(found.index) == list(table["image"])
    return found


@pytest.mark.parametrize(
    ("subgroup", "values", "named", "names"),
    [
        ("{age: [40, 65]}", [39, 40, 64, 65.0, np.nan], ["<40", "40-64", "40-64", ">=65", "missing"], None),
        ("{age: [40, 65]}", [39.5, 40], ["<40", "40 to <65"], ["<40", "40 to <65", ">=65"]),
        ("{age: [0.5]}", [0, 1], ["<0.5", ">=0.5"], ["<0.5", ">=0.5"]),
        ("{age: [1, 2, 5]}", [1, 2], ["1", "2-4"], ["<1", "1", "2-4", ">=5"]),
        ("{age: [-5, 5]}", [0, 5], ["-5 to 4", ">=5"], ["<-5", "-5 to 4", ">=5"]),
        ("{age: [20200101]}", [20191231, 20200101], ["<20200101", ">=20200101"], None),
        ("{age: [40]}", [None, None], ["missing", "missing"], None),
        ("age", [10.0, 9.0, np.nan], ["10", "9", "missing"], ["9", "10", "missing"]),
        ("age", ["M", None, "F"], ["M", "missing", "F"], ["F", "M", "missing"]),
        ("age", ["missing", None, "F"], ["missing", "missing", "F"], ["F", "missing"]),
        ("age", ["007", "7"], ["007", "7"], ["007", "7"]),
    ],
)
def test_values_and_bands_are_groups_and_what_is_missing_is_one_of_its_own(
    study_of: Callable[..., Study], subgroup: str, values: list[Any], named: list[str], names: list[str] | None
) -> None:
    found = groups(study_of(TEXT.replace("SUBGROUP", subgroup)), values)
    assert found.tolist() == named
    assert names is None or found.cat.categories.tolist() == names


@pytest.mark.parametrize(
    ("subgroup", "values", "message"),
    [
        ("agee", [1], "unknown column of the metadata 'agee'; did you mean age?"),
        ("age", [*range(21)], "age has 21 different values; at most 20 make groups; give cut points: {age: [10]}"),
        ("age", [f"s{i}" for i in range(21)], "age has 21 different values; at most 20 make groups"),
        ("{age: [40]}", [None, "F"], "cut points need numbers; age has text, such as 'F': leave the cut points out"),
    ],
)
def test_what_makes_no_groups_is_refused_with_file_and_line(
    study_of: Callable[..., Study], tmp_path: Path, subgroup: str, values: list[Any], message: str
) -> None:
    with pytest.raises(DataError) as refused:
        groups(study_of(TEXT.replace("SUBGROUP", subgroup)), values)
    assert str(refused.value) == f"{tmp_path}/study.yaml:6: subgroups[0]: {message}"


def test_images_without_metadata_have_no_groups(study_of: Callable[..., Study]) -> None:
    dataset = Dataset(Path(), pd.DataFrame({"image": ["a"]}), ("A", "B"), "B", False)
    with pytest.raises(DataError, match=r"study.yaml:6: subgroups\[0\]: the images have no metadata"):
        subgroup_table(study_of(TEXT.replace("SUBGROUP", "sex")), dataset)

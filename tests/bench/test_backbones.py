"""The table of timm's networks, held against the code."""

import re
from importlib.metadata import version

import pytest

from harness.models.names import all_backbones
from tests.bench.backbones import HEADS, TABLE, kinds, row_of, rows_of, table

PAGE = TABLE.read_text(encoding="utf-8")
ROWS = {row[1].strip("`"): row for row in rows_of(PAGE)}


@pytest.mark.skipif(f"timm {version('timm')};" not in PAGE, reason="made with another timm")
@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",
        "test_vit",
        "test_convnext",
        "vgg11",
        *(pytest.param(n, marks=pytest.mark.long) for n in ("test_vit2", "test_vit3", "xcit_nano_12_p8_224")),
    ],
)
def test_a_row_of_the_table_is_what_the_code_says(name: str) -> None:
    (kind,), refused = kinds([name])
    assert refused == {}
    found = row_of(kind)
    assert len(found) == len(HEADS)
    assert (*found[:2], ROWS[name][2], *found[3:]) == ROWS[name]  # the third counts all names of the kind


def test_the_table_has_every_name_of_timm() -> None:
    (told,) = re.findall(r"Every one of timm's ([\d,]+) names", PAGE)
    refused = re.findall(r"(?m)^- `", PAGE)
    counted = sum(int(row[2]) for row in ROWS.values())
    assert counted + len(refused) == int(told.replace(",", ""))
    if f"timm {version('timm')};" in PAGE:
        timms = [name for name in all_backbones() if "." not in name and name not in ("small-cnn", "majority", "som")]
        assert len(timms) == counted + len(refused)


def test_a_name_that_cannot_be_built_is_told_with_its_reason() -> None:
    found, refused = kinds(["test_resnet", "no_such_network"])
    page = table([row_of(kind) for kind in found], refused, 2)
    assert re.search(r"(?m)^- cannot be built: 1 names$", page)
    assert re.search(r"(?m)^- `no_such_network`: Unknown model", page)

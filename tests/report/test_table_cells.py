"""What a table holds as numbers, and what of it a reader sees."""

from pathlib import Path

import numpy as np
import pandas as pd

from harness.report.numbers.records import Comparison, Estimate
from harness.report.tables.cells import Measured, all_digits
from harness.report.tables.estimate_table import comparison_table, interval_cell
from harness.report.tables.export import export_table, rounded
from tests.conftest import Finished


def test_a_cell_is_words_for_readers_and_columns_in_a_csv(tmp_path: Path) -> None:
    cells = [Measured(2 / 3, (0.5, 0.75)), Measured(1 / 3, note=" (small)"), None]
    table = pd.DataFrame({"site": ["A", "B", "C"], "accuracy": cells, "images": [1234, 5, 6]})
    lines = export_table(table, tmp_path, "sites")
    assert lines[2:5] == [
        "| A | 0.667 (0.500 to 0.750) | 1,234 |", "| B | 0.333 (small) | 5 |", "| C | - | 6 |",
    ]  # fmt: skip
    assert "0.667 (0.500 to 0.750)" in (tmp_path / "sites.tex").read_text()
    found = pd.read_csv(tmp_path / "sites.csv", float_precision="round_trip")
    assert list(found) == ["site", "accuracy", "accuracy low", "accuracy high", "accuracy note", "images"]
    assert found["accuracy"].tolist()[:2] == [2 / 3, 1 / 3], "every digit"
    np.testing.assert_array_equal(found["accuracy high"], [0.75, np.nan, np.nan])
    assert found["images"].tolist() == [1234, 5, 6]


def test_an_interval_alone_and_a_deviation_have_their_own_columns() -> None:
    table = pd.DataFrame({"another": [Measured(None, (0.25, 0.5))], "a": [Measured(0.5, sd=0.125)]})
    assert rounded(table).to_numpy().tolist() == [["0.250 to 0.500", "0.500 ± 0.125"]]
    assert all_digits(table).to_dict("list") == {
        "another low": [0.25], "another high": [0.5], "a": [0.5], "a SD": [0.125],
    }  # fmt: skip


def test_a_p_value_is_rounded_for_readers_alone() -> None:
    known = {"on": "folds", "metric": "accuracy", "test": "t", "compares": "recipes", "difference": 0.25}
    table = comparison_table(
        [Comparison(first="a", second="b", p=p, p_holm=p * 2, **known) for p in (0.0004321, 0.0421)]  # type: ignore[arg-type]
    )
    assert table["p"].tolist() == [0.0004321, 0.0421]
    assert rounded(table)[["p", "p (Holm)"]].to_numpy().tolist() == [["< 0.001", "< 0.001"], ["0.042", "0.084"]]
    assert str(interval_cell(Estimate(subject="a", on="b", metric="c", value=0.5, low=0.25, high=0.75))) == (
        "0.500 (0.250 to 0.750)"
    )


def test_no_cell_of_a_report_is_a_number_with_its_interval_in_words(finished: Finished) -> None:
    words = r"-?\d+\.\d+ \(.*\)|-?\d+\.\d+ to -?\d+\.\d+|< 0\.\d+|.* ± .*"
    tables = [path for path in finished.run.report.parent.rglob("*.csv") if path.name != "checklist.csv"]
    assert len(tables) > 15
    for path in tables:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        wrong = [name for name in table if table[name].str.fullmatch(words).any()]
        assert not wrong, (path.name, wrong)
    (pair, *_) = (path for path in tables if path.name.startswith("comparisons-"))
    assert pd.read_csv(pair)["p"].dtype == float

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest

from harness.ledger import Ledger
from harness.results import FoldRecord, FoldResult
from harness.store import Store


def result(job_id: str = "job", accuracy: float = 0.1 + 0.2, model: bytes | None = None) -> FoldResult:
    record = FoldRecord(
        job_id=job_id,
        history=[{"val/loss": 1e-300, "val/accuracy": 0.5}, {"val/loss": 2 / 3, "val/accuracy": accuracy}],
        selected_epoch=2,
        metrics={"val/loss": 2 / 3, "val/accuracy": accuracy},
        class_counts={"before": {"Ä": 3, "B": 5}, "after": {"Ä": 5, "B": 5}},
        facts={"device": "cpu", "seconds": 1.5},
    )
    predictions = pd.DataFrame(
        {"image": ["train/Ä/1.png", "train/B/2.png"], "patient": ["p", "q"], "label": ["Ä", "B"],
         "fold": [0, 0], "repeat": [1, 1], "prob_Ä": [0.1, 1 / 3], "prob_B": [0.9, 2 / 3]},
        index=[7, 9],
    )  # fmt: skip
    return FoldResult(record, predictions, model)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Store(tmp_path / "store"))


def files(ledger: Ledger) -> list[str]:
    return sorted(str(path.relative_to(ledger.root)) for path in ledger.root.rglob("*"))


def test_an_empty_ledger_has_no_job_and_no_folder(ledger: Ledger) -> None:
    assert not ledger.done("job")
    assert not ledger.root.exists()


def test_a_job_comes_back_as_it_was_saved(ledger: Ledger) -> None:
    saved = result()
    ledger.save(saved)
    assert ledger.done("job")
    assert not ledger.done("other")
    assert ledger.record("job") == saved.record  # to the last bit
    pd.testing.assert_frame_equal(
        ledger.predictions("job"), saved.predictions.reset_index(drop=True), check_exact=True, check_dtype=False
    )
    assert files(ledger) == ["job", "job/classes.json", "job/predictions.parquet", "job/result.json"]


def test_a_model_is_kept_byte_for_byte(ledger: Ledger) -> None:
    ledger.save(result(model=b"\0weights\xff"))
    assert (ledger.path("job") / "model.safetensors").read_bytes() == b"\0weights\xff"


def test_jobs_do_not_touch_each_other(ledger: Ledger) -> None:
    ledger.save(result("a", 0.1))
    ledger.save(result("b", 0.2))
    assert [ledger.record(job).metrics["val/accuracy"] for job in "ab"] == [0.1, 0.2]


def test_of_a_job_that_is_saved_twice_the_first_stays(ledger: Ledger) -> None:
    first = result(accuracy=0.1)
    ledger.save(first)
    ledger.save(result(accuracy=0.9, model=b"x"))
    assert ledger.record("job") == first.record
    assert files(ledger) == ["job", "job/classes.json", "job/predictions.parquet", "job/result.json"]


def test_a_save_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    unwritable = pd.DataFrame({"image": ["a", 1, object()]})
    with pytest.raises(pyarrow.ArrowException):
        ledger.save(replace(result(), predictions=unwritable))
    assert not ledger.done("job")
    assert not ledger.root.parent.exists()
    ledger.save(result())
    assert ledger.done("job")


class Racing(pd.DataFrame):
    """Predictions during whose writing another process finishes the same job."""

    def to_parquet(self, *args: Any, **options: Any) -> Any:
        Ledger(Store(Path(self.attrs["store"]))).save(result(accuracy=0.1))
        return super().to_parquet(*args, **options)


def test_of_a_job_that_two_studies_finish_at_once_the_first_stays(ledger: Ledger) -> None:
    late = result(accuracy=0.9)
    racing = Racing(late.predictions)
    racing.attrs["store"] = str(ledger.root.parent)
    ledger.save(replace(late, predictions=racing))
    assert ledger.record("job").metrics["val/accuracy"] == 0.1
    assert files(ledger) == ["job", "job/classes.json", "job/predictions.parquet", "job/result.json"]

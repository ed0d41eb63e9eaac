import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import JobError
from harness.store import Ledger, Store
from harness.store.files import NEW_PREFIX
from harness.store.results import FitFacts, FoldRecord, FoldResult
from tests.conftest import fit_facts


def result(job_id: str = "job", accuracy: float = 0.1 + 0.2, model: bytes | None = None) -> FoldResult:
    record = FoldRecord(
        job_id=job_id,
        history=[{"val/loss": 1e-300, "val/accuracy": 0.5}, {"val/loss": 2 / 3, "val/accuracy": accuracy}],
        selected_epoch=2,
        metrics={"val/loss": 2 / 3, "val/accuracy": accuracy},
        class_counts={"before": {"Ä": 3, "B": 5}, "after": {"Ä": 5, "B": 5}},
        facts=fit_facts(seconds=1.5),
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
    assert files(ledger) == ["job", "job/SHA256SUMS", "job/classes.json", "job/predictions.parquet", "job/result.json"]


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
    assert files(ledger) == ["job", "job/SHA256SUMS", "job/classes.json", "job/predictions.parquet", "job/result.json"]


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
    assert files(ledger) == ["job", "job/SHA256SUMS", "job/classes.json", "job/predictions.parquet", "job/result.json"]


finite = st.floats(allow_nan=False, allow_infinity=False)
metrics = st.dictionaries(st.text(min_size=1, max_size=20), finite, max_size=5)
counts = st.integers(0, 10**9)
facts = st.builds(
    FitFacts,
    device=st.text(max_size=20),
    precision=st.sampled_from(["fp32", "bf16"]),
    torch=st.text(max_size=20),
    seconds=finite,
    parameters=counts,
    trained_parameters=counts,
    threads=st.none() | st.integers(1, 64),
    code=st.none() | st.text(max_size=16),
    versions=st.none() | st.text(max_size=20),
    fold_digest=st.none() | st.text(max_size=16),
    compile=st.sampled_from([None, "on", "off"]),
    stack=st.lists(st.text("0123456789abcdef", min_size=1), max_size=3).map(tuple),
    backbone_passes=st.none() | counts,
    extraction_seconds=st.none() | finite,
    flops=st.none() | counts,
    peak_memory=st.none() | counts,
    energy_wh=st.none() | finite,
)
records = st.builds(
    FoldRecord,
    job_id=st.text("0123456789abcdef", min_size=16, max_size=16),
    history=st.lists(metrics, max_size=3),
    selected_epoch=st.integers(1, 100_000),
    metrics=metrics,
    class_counts=st.dictionaries(
        st.sampled_from(["before", "after"]), st.dictionaries(st.text(max_size=9), st.integers(0, 10**9), max_size=3)
    ),
    facts=facts,
)


@settings(max_examples=25)  # each of them writes files and waits for the disk
@given(st.lists(records, max_size=6), st.lists(st.integers(0, 5), max_size=4))
@example([result().record, result().record], [0, 0])
def test_whatever_is_saved_failed_and_set_aside_the_ledger_says_what_happened_last(
    saved: list[FoldRecord], set_aside: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Store(Path(folder)))
        first: dict[str, FoldRecord] = {}
        for record in saved:
            ledger.begin(record.job_id)
            ledger.save(FoldResult(record, result().predictions))
            first.setdefault(record.job_id, record)
        for index in set_aside:
            job_id = saved[index].job_id if index < len(saved) else ""
            if first.pop(job_id, None):
                moved = ledger.set_aside(job_id)
                assert (moved / "result.json").is_file()
                ledger.fail(JobError(job_id, "once more"))
        for job_id in {record.job_id for record in saved}:
            assert ledger.done(job_id) == (job_id in first)
            if job_id in first:
                assert ledger.record(job_id) == first[job_id]  # to the last bit
                assert ledger.note(job_id) is None
            else:
                assert ledger.note(job_id) == {"status": "failed", "reason": "once more"}
        assert {path.name for path in ledger.root.glob("*")} == first.keys()
        assert not list(Path(folder).rglob(f"{NEW_PREFIX}*"))

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench import decode, finetune, images, tables
from tests.bench.figure import Bench
from tests.bench.process_use import Used, used


@pytest.fixture
def bench(image_folder: Path, tmp_path: Path) -> Bench:
    folder = tmp_path / "bench"
    folder.mkdir()
    return Bench(image_folder, "test_resnet", "none", folder, quick=True)


@pytest.mark.long
def test_decoding_is_timed_against_the_loop_and_every_pixel_compared(bench: Bench) -> None:
    wall, cpu, differ = decode.measure(bench)
    assert wall.value is not None and wall.value > 0
    assert cpu.value is not None and cpu.value > 0
    assert (differ.value, differ.verdict) == (0, "met")


@pytest.mark.long
def test_pixels_that_differ_are_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_plain", lambda _: np.zeros((150, 150, 3), dtype=np.uint8))
    differ = decode.measure(bench)[-1].value
    assert differ is not None and differ > 0.9


@pytest.mark.long
def test_the_fits_are_timed_from_the_first_one_to_the_last(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    monkeypatch.setattr(finetune, "_fit", lambda _, fold, *__: fitted.append(fold.fold))
    (row,) = finetune.measure(bench)
    assert fitted == [0, 1, 2]
    assert row.value is not None and row.value > 1  # the bare loop did nothing here


def test_what_a_process_takes_is_measured_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "little.py").write_text("")
    (tmp_path / "much.py").write_text("x = bytearray(2**28); sum(range(10**7))")
    (tmp_path / "failing.py").write_text("raise SystemExit('no such thing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    little, much = used(["little"]), used(["much"])
    assert 2**27 < much.peak - little.peak < 2**29
    assert much.cpu > little.cpu
    with pytest.raises(RuntimeError, match="no such thing"):
        used(["failing"])


def test_a_process_that_a_large_one_starts_is_measured_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "little.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before, ballast = used(["little"]).peak, np.ones(2**26)  # 512 MiB
    assert used(["little"]).peak < 2 * before < ballast.nbytes


@pytest.mark.long
def test_a_table_is_drawn_planned_and_compared_with_a_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "QUICK_ROWS", 60)
    ratio, peak = tables.measure(bench)
    assert ratio.value is not None and set(ratio.parts) == {"plan", "hashing"}
    assert peak.value is not None and 0.05 < peak.value < 4


def test_growth_is_that_of_the_further_images(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {60: Used(10.6, 220), 600: Used(16.0, 240), 6000: Used(124.0, 360)}
    monkeypatch.setattr(images, "_run", lambda _, count: taken[count])
    monkeypatch.setattr(images, "used", lambda _: Used(3.0, 200))
    cpu, peak, above = images.measure(bench)
    assert cpu.value == pytest.approx(0.02 / 0.01)
    assert (peak.value, peak.verdict) == (1.5, "missed by x1.25")
    assert above.value == 4


def test_the_images_of_the_growth_are_drawn_in_both_splits_and_classes(tmp_path: Path) -> None:
    for number in range(40):
        images._draw((tmp_path, number, 40))
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jpeg"))
    assert len(found) == 40
    assert {path.parts[:2] for path in found} == {("train", "A"), ("train", "B"), ("test", "A"), ("test", "B")}
    assert sum(path.parts[0] == "test" for path in found) == 4
    with Image.open(tmp_path / found[0]) as image:
        assert (image.size, image.mode) == ((64, 64), "L")

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import BusyError
from harness.store import Store
from harness.store.cache import clear, entries
from harness.study import Study
from tests.conftest import run_in


@pytest.fixture
def store(small_study: Callable[..., Study], new_store: Callable[[], Store]) -> Store:
    """The store of a finished study with a frozen backbone."""
    stages = "stages=[{name: all, grid: {trainable: [head]}}]"
    return run_in(small_study(stages, "test=null"), new_store()).store


def test_all_that_is_kept_is_shown_with_its_size(store: Store) -> None:
    found = entries(store)
    files = [path for path in store.cache.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert sum(entry.size for entry in found) == sum(path.stat().st_size for path in files) > 0
    assert {"pixels", "features", "folds"} <= {entry.kind for entry in found}
    features = [entry.text for entry in found if entry.kind == "features"]
    assert all("images of 32 px through test_resnet on cpu in fp32" in text for text in features), features


def test_what_is_cleared_is_gone_and_the_rest_stays(store: Store) -> None:
    before = entries(store)
    removed = clear(store, "features")
    assert removed == [entry for entry in before if entry.kind == "features"] != []
    assert entries(store) == [entry for entry in before if entry.kind != "features"]
    assert not any(entry.path.exists() for entry in removed)
    clear(store)
    assert entries(store) == []


def test_what_other_parts_keep_there_is_shown_and_cleared_too(store: Store) -> None:
    (store.cache / "probes.json").write_text("{}")
    (store.cache / "bad-images").mkdir()
    (store.cache / "bad-images" / "a.json").write_text("{}")
    assert {"probes", "bad-images"} <= {entry.kind for entry in entries(store)}
    clear(store)
    assert not [path for path in store.cache.rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_nothing_is_cleared_while_a_study_runs(store: Store) -> None:
    before = entries(store)
    with store.locked("here"), pytest.raises(BusyError, match=r"study here is running .*: process .* cache when it is"):
        clear(store)
    assert entries(store) == before
    clear(store)


def test_a_store_without_a_cache_holds_nothing(tmp_path: Path) -> None:
    assert entries(Store(tmp_path / "none")) == clear(Store(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()

"""The ledger of looks: what counts, on this machine too, and that no entry can be changed unseen."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.data.dataset import Dataset
from harness.store import Ledger, Store
from harness.store.chain import rendered, signed
from harness.store.check_looks import check_looks
from harness.store.failpoints import VARIABLE
from harness.store.looks import Look, Looks, Seen
from harness.store.machine import MachineLooks

pytestmark = pytest.mark.usefixtures("machine_ledger")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Store(tmp_path / "store"))


def test_looks_of_one_test_set_are_found_under_other_manifests_and_older_ones_are_read(ledger: Ledger) -> None:
    first, second, part, other = (seen_images("AB", n, images) for n, images in enumerate(["pq", "pq", "qr", "xy"]))
    older = ledger.looks.root / first.digest / "old" / "key.json"
    older.parent.mkdir(parents=True)
    older.write_text('{"time": 1.0}')
    assert ledger.looks.at(first) == [Look("old", "key", None, 1.0)]
    ledger.looks.record(first, Look("s", "k1", "id", 2.0))
    ledger.looks.record(second, Look("s", "k2", "id", 3.0))
    ledger.looks.record(second, Look("s", "k2", "another id", 9.0))  # the same look counts once
    ledger.looks.record(part, Look("t", "k3", "id", 4.0))
    ledger.looks.record(other, Look("u", "k4", "id", 5.0))
    found = ledger.looks.at(second)
    assert [(look.key, look.time, look.same) for look in found] == [
        ("key", 1.0, True), ("k1", 2.0, True), ("k2", 3.0, True), ("k3", 4.0, False),
    ]  # fmt: skip
    assert [look.key for look in ledger.looks.at(other)] == ["k4"]


def seen_images(classes: str, positive: int, hashes: str) -> Dataset:
    """A dataset with two test images; another `positive` is another manifest."""
    rows = [[f"test/{c}/{h}.png", "test", c, h, h * 64, 1] for c, h in zip(classes, hashes, strict=True)]
    table = pd.DataFrame(rows, columns=["image", "split", "label", "patient", "sha256", "size"])
    return Dataset(Path(), table, tuple(classes), str(positive), synthetic=False)


SEEN = seen_images("AB", 0, "pq")


def recorded(root: Path, *keys: str, study: str = "s", start: int = 1) -> Store:
    """A store with these looks, a second apart."""
    store = Store(root)
    for time, key in enumerate(keys, start):
        Looks(store).record(SEEN, Look(study, key, "id", time, True, 0, "v", (f"job-{key}",)))
    return store


def counted(store: Store) -> Seen:
    """The looks that are known after the machine's were counted, as a run and a report do."""
    Looks(store).count_machine(SEEN, 50.0)
    return Looks(store).seen(SEEN)


def verdicts(store: Store) -> list[str]:
    return [found.verdict for found in check_looks(store)]


def ledger_files(store: Store) -> list[Path]:
    return sorted(path for path in [store.root / "store.json", *store.root.glob("looks/**/*")] if path.is_file())


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    store = recorded(tmp_path / "store", "k1", "k2", "k3")
    assert set(verdicts(store)) == {"holds"}
    for path in ledger_files(store):
        content = path.read_bytes()
        for at in range(0, len(content), 7):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert "differs" in verdicts(store), (path.name, at)
        path.write_bytes(content)
    assert set(verdicts(store)) == {"holds"}


def test_every_removed_file_is_found_without_the_ledger_of_the_machine_too(
    tmp_path: Path, machine_ledger: Path
) -> None:
    store = recorded(tmp_path / "store", "k1", "k2", "k3")
    shutil.rmtree(machine_ledger)
    assert [found.what for found in check_looks(store) if found.verdict != "holds"] == ["the ledger of this machine"]
    for path in ledger_files(store):
        content = path.read_bytes()
        path.unlink()
        assert "differs" in verdicts(store), path.name
        path.write_bytes(content)


def forged_time(store: Store) -> None:
    """Another time, with a new hash, as someone would write it who knows the format."""
    (path,) = store.root.glob("looks/*/s/k2.json")
    path.write_bytes(rendered(signed({**json.loads(path.read_bytes()), "time": 0.5})))


def last_cut_off(store: Store) -> None:
    """The last look away and `head.json` as it was before: in the store no trace is left."""
    (last,), (before,) = store.root.glob("looks/*/s/k3.json"), store.root.glob("looks/*/s/k2.json")
    last.unlink()
    shutil.copy(before, store.root / "looks" / "head.json")


def renamed(store: Store) -> None:
    (path,) = store.root.glob("looks/*/s/k2.json")
    path.rename(path.with_name("k9.json"))


def added_in_the_old_format(store: Store) -> None:
    (path,) = store.root.glob("looks/*/s/k2.json")
    path.with_name("k9.json").write_text('{"time": 0.5, "study_id": "id"}')


def twice(store: Store) -> None:
    (path,) = store.root.glob("looks/*/s/k2.json")
    content = {**json.loads(path.read_bytes()), "file": f"{path.parent.parent.name}/s/k9.json"}
    path.with_name("k9.json").write_bytes(rendered(signed(content)))


@pytest.mark.parametrize("change", [forged_time, last_cut_off, renamed, added_in_the_old_format, twice])
def test_a_skilled_change_is_found(tmp_path: Path, change: Callable[[Store], None]) -> None:
    store = recorded(tmp_path / "store", "k1", "k2", "k3")
    change(store)
    found = [(each.what, each.words) for each in check_looks(store) if each.verdict == "differs"]
    assert found
    recorded(store.root, "k1", "k2", "k3", "k4", start=10)  # nor is it hidden by what is recorded later
    assert "differs" in verdicts(store)


def test_looks_of_an_older_version_cannot_be_checked_until_a_hash_covers_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    older = store.root / "looks" / SEEN.digest / "s" / "k0.json"
    older.parent.mkdir(parents=True)
    older.write_text('{"time": 0.5, "study_id": "id"}')
    assert set(verdicts(store)) == {"cannot be checked"}
    recorded(store.root, "k1")
    assert [look.key for look in Looks(store).at(SEEN)] == ["k0", "k1"]
    assert set(verdicts(store)) == {"holds"}
    older.write_text('{"time": 9.5, "study_id": "id"}')
    assert [found.what for found in check_looks(store) if found.verdict == "differs"] == [f"{SEEN.digest}/s/k0.json"]
    assert check_looks(Store(tmp_path / "none")) == []


def test_a_damaged_look_still_counts(tmp_path: Path) -> None:
    store = recorded(tmp_path / "store", "k1", "k2")
    (path,) = store.root.glob("looks/*/s/k1.json")
    path.write_text('{"time": "never"')
    assert [look.key for look in Looks(store).at(SEEN)] == ["k1", "k2"]


def test_a_look_whose_process_was_killed_before_its_file_is_written_by_the_next(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tests.store.test_looks import recorded
recorded(Path({str(tmp_path / "store")!r}), "k1", "k2")
"""
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, VARIABLE: "chain.head:2"}, check=False)
    assert killed.returncode == -9
    store = Store(tmp_path / "store")
    assert not list(store.root.glob("looks/*/s/k2.json"))
    assert [found.words for found in check_looks(store) if found.verdict == "differs"] == [
        "it is not there: removed or changed; or its process was killed, and the next look writes it from head.json"
    ]
    recorded(store.root, "k1", "k2", "k3")
    assert [look.number for look in Looks(store).at(SEEN)] == [1, 2, 3]
    assert set(verdicts(store)) == {"holds"}


def _record(root: Path, study: str) -> None:
    recorded(root, *(f"{study}{n}" for n in range(5)), study=study)


def test_studies_that_score_at_once_share_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_record, args=(tmp_path / "store", name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = Store(tmp_path / "store")
    assert sorted(look.number or 0 for look in Looks(store).at(SEEN)) == list(range(1, 16))
    assert set(verdicts(store)) == {"holds"}


def test_the_machine_counts_a_look_once_over_copies_and_stores_that_come_and_go(tmp_path: Path) -> None:
    first = recorded(tmp_path / "first", "k1", "k2")
    copy = Store(shutil.copytree(first.root, tmp_path / "copy"))
    recorded(copy.root, "k1", "k2")  # the same commands again
    seen = counted(first)
    assert seen.machine is not None and [look.key for look in seen.machine] == ["k1", "k2"]
    assert seen.stores == 2
    recorded(copy.root, "k1", "k2", "k3")
    recorded(tmp_path / "second", "k1", "k4")  # k1: the same jobs, so the same work
    shutil.rmtree(tmp_path / "second")
    seen = counted(first)
    assert seen.machine is not None and sorted(look.key for look in seen.machine) == ["k1", "k2", "k3", "k4"]
    assert (seen.stores, len(seen.here)) == (3, 2)
    shutil.rmtree(first.root)
    moved = copy.root.rename(tmp_path / "moved")
    assert counted(Store(moved)).stores == 2  # one store, moved, and the second one
    assert len(counted(recorded(tmp_path / "new", "k5")).all) == 5


def test_what_a_copy_recorded_is_not_missed_in_its_original_and_what_was_removed_is(tmp_path: Path) -> None:
    first = recorded(tmp_path / "first", "k1")
    recorded(shutil.copytree(first.root, tmp_path / "copy"), "k1", "k2")
    (other,) = [each for each in check_looks(first) if each.verdict != "holds"]
    assert other.verdict == "cannot be checked" and f"in {tmp_path / 'copy'}" in other.words
    shutil.rmtree(first.root / "looks")
    found = [each for each in check_looks(first) if each.verdict == "differs"]
    assert ["no entry" in found[0].words, "this machine recorded it" in found[1].words] == [True, True]


@pytest.mark.parametrize("place", ["/dev/null/none", "closed"])
def test_without_a_place_for_it_the_machine_has_no_ledger_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "closed").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / place))
    store = recorded(tmp_path / "store", "k1")
    seen = counted(store)
    assert seen.machine is None and [look.key for look in seen.all] == ["k1"]
    assert {path.name for path in tmp_path.iterdir()} == {"store", "closed"}
    assert not MachineLooks().usable


def test_a_damaged_ledger_of_the_machine_is_no_error(tmp_path: Path) -> None:
    store = recorded(tmp_path / "store", "k1", "k2")
    (first, _) = sorted(MachineLooks().root.glob("*/*-*.json"))
    first.write_text('{"look": {"file": 3}, "place": "x"}')
    first.with_name("images.json").write_text("{")
    assert counted(store).machine is None
    assert check_looks(store)


def test_a_clock_that_was_set_back_does_not_make_a_later_look_the_first(tmp_path: Path) -> None:
    looks = Looks(recorded(tmp_path / "store", "k1"))
    assert looks.opening_time(5.0) == 5.0
    assert looks.opening_time(0.25) > 1.0


def test_only_the_fits_that_were_made_again_are_named(tmp_path: Path) -> None:
    looks = Looks(recorded(tmp_path / "store", "k1"))
    looks.record_again("job-a", 1, 3.0)
    looks.record_again("job-a", 1, 4.0)  # the command that was killed, again
    looks.record_again("job-a", 2, 5.0)
    assert [(fit.time, fit.number) for fit in looks.again({"job-a", "job-b"})] == [(3.0, 2), (5.0, 3)]
    assert looks.again({"job-b"}) == []
    assert [look.key for look in looks.at(SEEN)] == ["k1"]
    assert "differs" not in verdicts(Store(tmp_path / "store"))

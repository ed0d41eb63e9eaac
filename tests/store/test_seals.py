import subprocess
from pathlib import Path

import pytest

from harness.store.seals import SEAL, broken, broken_file, seal, seal_file

FILES = {"a.txt": b"one", "sub/b.bin": bytes(range(256)), "sub/SHA256SUMS": b"of the inner folder", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_sealed_folder_is_whole_and_sha256sum_reads_its_seal(folder: Path) -> None:
    (folder / "odd\\na\nme").write_text("of a file that sha256sum escapes")
    seal(folder)
    assert broken(folder) == {}
    done = subprocess.run(["sha256sum", "--check", "--strict", SEAL], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(FILES) + 1


def test_a_folder_without_a_seal_is_not_whole_but_unknown(folder: Path) -> None:
    assert broken(folder) is None


def test_every_flipped_byte_of_a_sealed_folder_is_found(folder: Path) -> None:
    seal(folder)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for place in range(len(content)):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
            assert broken(folder), (path, place)
        path.write_bytes(content)
    assert broken(folder) == {}


def test_a_lost_and_an_added_file_are_named(folder: Path) -> None:
    seal(folder)
    (folder / "a.txt").rename(folder / "sub" / "c.txt")
    found = broken(folder)
    assert found == {"a.txt": "is missing", "sub/c.txt": "was added after the folder was sealed"}
    for content in (b"", b"\n", b"\xff", (folder / SEAL).read_bytes()[:-1]):
        (folder / SEAL).write_bytes(content)
        assert broken(folder)


def test_a_single_file_has_a_seal_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    path.write_bytes(b"maps")
    assert broken_file(path) is None
    assert seal_file(path).name == "maps.npz.sha256"
    assert broken_file(path) == ""
    subprocess.run(["sha256sum", "--check", "--strict", "maps.npz.sha256"], cwd=tmp_path, check=True)
    for changed in (path, tmp_path / "maps.npz.sha256"):
        content = changed.read_bytes()
        changed.write_bytes(content[:-2] + b"x" + content[-1:])
        assert broken_file(path) == "has changed since it was sealed"
        changed.write_bytes(content)

from pathlib import Path

import pytest

from harness.report.published.privacy import Anonymiser, private_places

PATHS = ["/home/ann/data/chest", "/mnt/x/chest", "/home/ann/w/a.safetensors", "/srv/mlruns"]


@pytest.fixture
def anonymiser() -> Anonymiser:
    return Anonymiser([Path(path) for path in PATHS], Path("/home/ann"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("path: /home/ann/data/chest", "path: /author/chest"),
        ("/mnt/x/chest/train/A/1.png", "/author/chest-2/train/A/1.png"),
        ("/home/ann/other/b.yaml", "/author/other/b.yaml"),
        ("/home/anna/data", "/home/anna/data"),
        ("/srv/mlruns-2 and /srv/mlruns.", "/srv/mlruns-2 and /author/mlruns."),
        ("weights: /home/ann/w/a.safetensors", "weights: /author/a.safetensors"),
    ],
)
def test_known_paths_are_replaced_and_others_are_not(anonymiser: Anonymiser, text: str, shown: str) -> None:
    assert anonymiser.text(text) == shown
    assert anonymiser.value({text: [text, 1, None]}) == {shown: [shown, 1, None]}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("harness run /scratch/bob/s.yaml --store /srv/mlruns", "harness run /author/s.yaml --store /author/mlruns"),
        ("harness run s.yaml --set data.path=/scratch/bob/x", "harness run s.yaml --set data.path=/author/x"),
        ("harness run ~bob/s.yaml --data ../x/y", "harness run /author/s.yaml --data ../x/y"),
        (
            "harness run s.yaml --tracking-uri http://box.corp:5000/a",
            "harness run s.yaml --tracking-uri http://server/a",
        ),
        (
            "harness search s.yaml --storage postgresql+psycopg://h/d",
            "harness search s.yaml --storage postgresql+psycopg://server/d",
        ),
    ],
)
def test_a_command_line_names_no_folder_and_no_server(anonymiser: Anonymiser, line: str, shown: str) -> None:
    assert anonymiser.command(line) == shown


def test_files_that_still_name_a_place_are_found(tmp_path: Path) -> None:
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "own.py").write_bytes(b"\xff open('/home/ann/x')")
    (tmp_path / "fine.txt").write_text("/home/anna/x")
    assert private_places(tmp_path, ["/home/ann/", "/"]) == {"heads/own.py": "/home/ann/"}

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from harness.cli import main
from tests.cli.test_commands import Ended
from tests.field.outsider import Outsider, python

STUDY = """\
study: {study}
data: {{source: folder, path: {path}, image_size: {size}{data}}}
folds: {{k: {k}}}
base: {{backbone: {backbone}, weights: none, trainable: {trainable}, epochs: 2, batch_size: 8, learning_rate: 1.0e-2}}
stages:
  - name: a
    grid: {grid}
    select: {{metric: val/balanced_accuracy}}
{test}
"""
DEFAULTS = {
    "study": "s", "path": "d", "size": 32, "data": "", "k": 2, "backbone": "test_resnet", "trainable": "head",
    "grid": "{head: [dropout-gap]}", "test": "test: {stages: [a]}",
}  # fmt: skip


def draw(folder: Path, count: int, bright: int = 0, pattern: str = "img{:03d}.png") -> None:
    """Gray noise of 48 x 40 with a spot, each image another one; `{}` in the pattern is the number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([zlib.crc32(os.fsencode(str(folder))), number])
        pixels = np.kron(rng.normal(90, 40, (10, 12)), np.ones((4, 4)))
        pixels[8:24, 8:24] += bright
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / pattern.format(number))


def four(count: int = 8, root: Path = Path("d")) -> None:
    """Images of two classes, ILL and WELL, in train/ and, four of each, in test/."""
    for label, bright in (("ILL", 60), ("WELL", 0)):
        draw(root / "train" / label, count, bright)
        draw(root / "test" / label, 4, bright)


def write_study(file: str = "s.yaml", **settings: object) -> None:
    """A small study of the images in `d`; a setting replaces its default. `data`: more keys of that block."""
    values = {**DEFAULTS, **settings}
    values["data"] = f", {values['data']}" if values["data"] else ""
    Path(file).write_text(STUDY.format(**values), encoding="utf-8")


class Harness:
    """The command line, in the folder of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> Ended:
        """How the command ended, in this process."""
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        told = self._capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    def apart(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """How the command ended, in a process of its own; for what depends on its environment."""
        root = str(Path(__file__).parents[2])
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", *arguments],
            capture_output=True, env={**os.environ, "PYTHONPATH": root, **(env or {})}, timeout=300, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def refused(self, *arguments: str) -> str:
        """The one line in which the command is refused; raises AssertionError where it is not."""
        ended = self(*arguments)
        assert ended.code == 2, ended
        assert "Traceback" not in ended.err
        (line,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        return line


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Harness]:
    """Runs commands in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield Harness(monkeypatch, capsys)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def outsider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outsider]:
    """Runs commands as another user in an empty folder, which is the current one; skips where that cannot be."""
    if os.geteuid():
        pytest.skip("only root can play another user")
    python()
    with TemporaryDirectory() as folder:  # nobody else may enter pytest's own
        Path(folder).chmod(0o755)
        monkeypatch.chdir(folder)
        yield Outsider()
        monkeypatch.undo()

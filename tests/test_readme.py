"""README's commands, run one after the other as a reader would, on a small data set in a store of their own."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import make_app
from tests.conftest import ROOT, draw_images

README = (ROOT / "README.md").read_text()
COMMAND = (".venv/bin/", "make ", "ray ", "mlflow ", "PATH=", "CUDA_VISIBLE_DEVICES=")
NOT_RUN = {  # the beginning of a command, or a part of it -> why not here
    "ray st": "a cluster: tests/executors",
    "--address": "a cluster: tests/executors",
    "mlflow ": "a server: tests/tracking, tests/serving",
    "PATH=": "a server: tests/serving",
    "--tracking-uri": "a server: tests/tracking",
    "make setup": "the environment that these tests run in is made by it",
    "make ui": "serves until it is stopped: tests/browser",
    "make dashboard": "serves until it is stopped",
    "make bench": "measures for minutes: tests/bench",
    "make search": "tests/search",
    "harness search": "tests/search",
    "CUDA_VISIBLE_DEVICES": "GPUs: make bench-gpu",
    "--workers": "tests/executors",
    "--executor inline": "tests/executors",
    "--onnx": "takes long: tests/serving",
    "path/to/": "the real radiographs: tests/data",
    "--data ...": "the real radiographs: tests/data",
    "--install-completion": "writes into the shell's start-up file: tests/test_completion.py",
}
WHOLE = {"make study": "all of the quickstart takes minutes; here it is run smaller"}  # only just so


def commands() -> list[str]:
    """The commands of the shell blocks in their order, each once, without comments and optional parts."""
    found: list[str] = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        if not language and block.startswith(COMMAND):
            text = re.sub(r"\\\n\s+|\n\s+(?=\[)", " ", block)
            lines = (
                re.sub(r"\s+#.*| \[[A-Z-][^\]]*\](\.\.\.)?| +(?= )", "", line).strip() for line in text.splitlines()
            )
            found += [line for line in lines if line]
    return list(dict.fromkeys(found))


def reason(command: str) -> str | None:
    """Why this one is not run; None where it is."""
    return WHOLE.get(command) or next((why for part, why in NOT_RUN.items() if part in command), None)


def test_the_commands_are_found_and_every_exception_is_one() -> None:
    every = commands()
    assert [line for line in every if not line.startswith(COMMAND)] == []
    assert len(every) > 40
    assert len([line for line in every if reason(line) is None]) > 15
    assert [part for part in NOT_RUN if not any(part in line for line in every)] == []
    assert set(WHOLE) <= set(every)


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_every_make_target_is_there(command: str) -> None:
    assert harness_line(command) is not None


def harness_line(command: str) -> str | None:
    """The last line that make would run; None where it would not."""
    # Not as a part of the make that runs the tests, which would say where it is.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    make = ["make", "--no-print-directory", "-n", *shlex.split(command)[1:]]
    done = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.stdout.splitlines()[-1] if done.returncode == 0 else None


class Reader:
    """Follows README in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.followed = folder, list[list[str]]()
        counts = {"train/A": 12, "train/B": 8, "test/A": 4, "test/B": 4}
        names = [f"{at}/p{at[:2]}{at[-1]}{n // 2}-{n % 2}.png" for at, count in counts.items() for n in range(count)]
        draw_images(folder / "DIR", {name: seed for seed, name in enumerate(names)})
        for number, name in enumerate(("scan1.png", "scan2.jpg")):
            draw_images(folder, {name: 100 + number})
        shutil.copytree(ROOT / "studies", folder / "studies", ignore=shutil.ignore_patterns("results"))
        (own_head,) = re.findall(r"^```python\n(# studies/my_heads.py\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
        (folder / "studies" / "my_heads.py").write_text(own_head)

    def follow(self, command: str) -> tuple[int, str]:
        """The exit code and the output of a command."""
        line = harness_line(command) if command.startswith("make ") else command
        words = shlex.split((line or "").partition(">")[0])
        assert words[0] == ".venv/bin/harness", command
        names = {"STUDY": "studies/mine.yaml", "NAME": "dropout-gap + none", "N": "0", "RUN_ID": self.fold_run()}
        arguments = [names.get(word, word) for word in words[1:]]
        if "studies/quickstart.yaml" in arguments and arguments[0] == "run":
            for smaller in ("data.phantom={train: 48, test: 8}", "data.image_size=32", "base.epochs=1", "test=null"):
                arguments += ["--set", smaller]
        if arguments[0] in ("run", "test", "plan", "rerun", "reproduce", "predict") and "--device" not in arguments:
            arguments += ["--device", "cpu"]
        if arguments in self.followed:  # in other words
            return 0, ""
        self.followed.append(arguments)
        done = CliRunner().invoke(make_app(), arguments)
        if arguments[0] == "new":
            self.smaller(self.folder / "studies" / "mine.yaml")
        return done.exit_code, f"{done.output}\n{done.exception!r}"

    def smaller(self, study: Path) -> None:
        """What a reader without a network would change, and less work."""
        text = study.read_text()
        for old, new in (("resnet18.tv_in1k", "test_resnet"), ("weights: imagenet", "weights: none"),
                         ("epochs: 15", "epochs: 1"), ("image_size: 224", "image_size: 32")):  # fmt: skip
            assert text.count(old) == 1
            text = text.replace(old, new)
        study.write_text(text)

    def fold_run(self) -> str:
        """A fold's run in the store, once there is one."""
        from mlflow import MlflowClient

        if not (self.folder / "mlruns" / "mlflow.db").exists():
            return "RUN_ID"
        client = MlflowClient(f"sqlite:///{self.folder}/mlruns/mlflow.db")
        runs = client.search_runs(
            [e.experiment_id for e in client.search_experiments()], "tags.`harness.level` = 'fold'"
        )
        return runs[0].info.run_id if runs else "RUN_ID"


@pytest.mark.slow
def test_every_other_command_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.launch", lambda _: 0)
    reader = Reader(tmp_path)
    run = [command for command in commands() if reason(command) is None]
    first = run.index(next(command for command in run if "harness new " in command))
    study = next(command for command in run if command.startswith("make study STUDY=studies/mine.yaml"))
    ended = {}
    for command in dict.fromkeys([run[first], study, *run]):  # what stands before the first steps needs them too
        code, told = reader.follow(command)
        ended[command] = (code, told[-600:]) if code else (0, "")
    assert {command: end for command, end in ended.items() if end[0]} == {}
    assert (tmp_path / "mlruns" / "reports" / "mine" / "index.html").is_file()

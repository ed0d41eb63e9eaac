"""README's commands, each as it stands there, run by a shell in a fresh clone as a reader would."""

import os
import re
import shutil
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT, draw_images
from tests.postgres import PASSWORD, create_database, programs
from tests.postgres import server as database_server

README = (ROOT / "README.md").read_text()
COMMAND = (".venv/bin/", "make ", "ray ", "mlflow ", "PATH=", "CUDA_VISIBLE_DEVICES=")
SERVES = {  # how a command that serves until it is stopped begins -> what answers then
    "make ui": "http://127.0.0.1:5000",
    "make dashboard": "http://127.0.0.1:8080/dashboard",
    "PATH=$PWD": "http://127.0.0.1:5001/ping",
    "mlflow server": "http://127.0.0.1:5000/health",
}
STAYS = "mlflow server"  # for the commands after it
FROM_THE_HUB = (  # ImageNet weights come from there; where it cannot be reached, one line has to say so
    "make study STUDY=studies/pneumonia-frozen.yaml DATA=path/to/chest_xray",
    "make study STUDY=studies/pneumonia.yaml DATA=path/to/chest_xray",
    "make search STUDY=studies/pneumonia-search.yaml DATA=path/to/chest_xray WORKERS=2",
)
SMALLER = {  # in the studies that are run: what a reader without time would change
    "studies/pneumonia.yaml": {"epochs: 15": "epochs: 1", "image_size: 150": "image_size: 32"},
    "studies/pneumonia-frozen.yaml": {"epochs: 15": "epochs: 1", "image_size: 150": "image_size: 32"},
    "studies/pneumonia-search.yaml": {"trials: 40": "trials: 3", "repeats: 5": "repeats: 1"},
    "studies/mine.yaml": {
        "resnet18.tv_in1k": "test_resnet", "weights: imagenet": "weights: none", "epochs: 15": "epochs: 1",
        "image_size: 224": "image_size: 32",
    },
}  # fmt: skip
SEARCHED = "\nsearch:\n  space: {learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}}\n  trials: 2\n"


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


def test_the_commands_are_found() -> None:
    every = commands()
    assert len(every) > 50
    assert [line for line in every if not line.startswith(COMMAND)] == []
    assert set(FROM_THE_HUB) <= set(every)
    assert [start for start in SERVES if not any(line.startswith(start) for line in every)] == []


class Reader:
    """Follows README in a fresh clone, with an environment of its own in which all libraries are installed already."""

    def __init__(self, folder: Path, database: str) -> None:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        self.folder, self.copies = folder, 0
        self._environment(folder / ".venv")
        at = re.search(r"127\.0\.0\.1:\d+", database)
        assert at is not None
        self.words = {
            "path/to/chest_xray": "path/to/chest_xray", "--data ...": "--data path/to/chest_xray",
            "postgresql://USER@HOST": f"postgresql://tester@{at[0]}", "//HOST": "//127.0.0.1", "FIRST": "127.0.0.1",
            "--checklist": "--checklist --set base.weights=path/to/tf_efficientnet_lite0.safetensors",
            "--scenario NAME": "--scenario 'dropout-gap + none'", "--fold N": "--fold 0",
        }  # fmt: skip
        for study, changes in SMALLER.items():
            if (folder / study).exists():
                self.change(study, changes)
        _draw(folder)
        self.running: list[subprocess.Popen[str]] = []

    def _environment(self, venv: Path) -> None:
        """An environment that finds the libraries of the one that runs the tests, and installs only what is missing."""
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        (packages,) = venv.glob("lib/python*/site-packages")
        (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        for script in Path(sys.executable).parent.iterdir():  # those of the libraries
            if script.name != "harness" and not (venv / "bin" / script.name).exists():
                (venv / "bin" / script.name).symlink_to(script)
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "PYTHONPATH", "VIRTUAL_ENV")},
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "HOME": str(venv.parent / "home"), "PGPASSWORD": PASSWORD, "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "", "RAY_worker_niceness": "0",
        }  # fmt: skip

    def change(self, study: str, changes: dict[str, str]) -> None:
        """Other words in a study file, each of which stands there once."""
        text = (self.folder / study).read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, (study, old)
            text = text.replace(old, new)
        (self.folder / study).write_text(text)

    def line(self, command: str) -> str:
        """The command with a reader's own names and places."""
        for word, own in self.words.items():
            command = command.replace(word, own)
        if "harness run STUDY" in command:  # so that there is something to fit
            self.copies += 1
            text = (self.folder / "studies" / "mine.yaml").read_text()
            copy = self.folder / "studies" / f"mine{self.copies}.yaml"
            copy.write_text(text.replace("study: mine", f"study: mine{self.copies}") + f"\nseed: {self.copies}\n")
            command = command.replace("STUDY", f"studies/{copy.name}")
        return re.sub(r" STUDY(?!=)", " studies/mine.yaml", command).replace("RUN_ID", self.fold_run(command))

    def follow(self, command: str) -> str | None:
        """What went wrong; None where all is well."""
        line, log = self.line(command), self.folder.parent / f"log-{len(list(self.folder.parent.glob('log-*')))}"
        with log.open("w+") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"{line}\nexit $?"], cwd=self.folder, env=self._with_arguments(line), text=True,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
            self.running.append(process)
            served = next((url for start, url in SERVES.items() if command.startswith(start)), None)
            if served:
                well = _answers(served, process)
                if not command.startswith(STAYS):
                    self.stop(process)
            else:
                code = process.wait(timeout=900)
                told = log.read_text()
                well = code == 0 or (command in FROM_THE_HUB and code == 2 and "the hub cannot be reached" in told)
                self.running.remove(process)
        if command.startswith(".venv/bin/harness new "):
            self.change("studies/mine.yaml", SMALLER["studies/mine.yaml"])
            with (self.folder / "studies" / "mine.yaml").open("a") as file:
                file.write(SEARCHED)
        return None if well else f"{line}\n{log.read_text()[-2000:]}"

    def _with_arguments(self, line: str) -> dict[str, str]:
        """The environment; of `make bench`, which takes half an hour, a small part."""
        return {**self.environment, "ARGS": "--quick --only decode" if line == "make bench" else ""}

    def stop(self, process: "subprocess.Popen[str]") -> None:
        """Ends a server as a reader does, by Ctrl-C, and by force if need be."""
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
                break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.running.remove(process)

    def fold_run(self, command: str) -> str:
        """A whole fold's run, in the store or on the server, for a command that wants one."""
        from mlflow import MlflowClient

        if "RUN_ID" not in command:
            return "RUN_ID"
        local = f"sqlite:///{self.folder}/mlruns/mlflow.db"
        client = MlflowClient("http://127.0.0.1:5000" if "--tracking-uri" in command else local)
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(ids, "tags.`harness.level` = 'fold' AND tags.`harness.complete` = 'true'")
        return str(runs[0].info.run_id)


def _draw(folder: Path) -> None:
    """Small images in DIR, some in the real data set's names, two to predict, and weights that are random."""
    import safetensors.torch
    import timm

    own = {"train/A": 12, "train/B": 8, "test/A": 4, "test/B": 4}
    names = [f"DIR/{at}/p{at[:2]}{at[-1]}{n // 2}-{n % 2}.png" for at, count in own.items() for n in range(count)]
    xrays = {
        "train/NORMAL/NORMAL2-IM-{:04d}-0001.jpeg": 12, "train/PNEUMONIA/person{}_virus_1.jpeg": 12,
        "test/NORMAL/IM-{:04d}-0001.jpeg": 6, "test/PNEUMONIA/person10{}_bacteria_1.jpeg": 6,
    }  # fmt: skip
    names += [f"path/to/chest_xray/{name.format(n)}" for name, count in xrays.items() for n in range(count)]
    draw_images(folder, {name: seed for seed, name in enumerate([*names, "scan1.png", "scan2.jpg"])})
    weights = timm.create_model("tf_efficientnet_lite0").state_dict()
    safetensors.torch.save_file(weights, folder / "path" / "to" / "tf_efficientnet_lite0.safetensors")
    (own_head,) = re.findall(r"^```python\n(# studies/my_heads.py\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (folder / "studies" / "my_heads.py").write_text(own_head)
    (folder / "home").mkdir()


def _answers(url: str, process: "subprocess.Popen[str]") -> bool:
    """Whether a server answers, once it has had the time to install itself and to start."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
        time.sleep(0.5)
    return False


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = programs()
    if folder is None or shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git, a clone, and PostgreSQL")
    for port in (5000, 5001, 6379, 8080, 10001):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is taken")
    with database_server(folder) as url:
        for name in ("mlflow", "optuna"):
            create_database(url, name)
        found = Reader(tmp_path / "clone", url)
        yield found
        for process in list(found.running):
            found.stop(process)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.services
@pytest.mark.network
def test_every_command_does_what_it_says(reader: Reader) -> None:
    every = commands()
    new = next(command for command in every if "harness new " in command)
    order = ["make setup", new, *every]  # what stands before the first steps needs them too
    ended = {command: reader.follow(command) for command in dict.fromkeys(order)}
    assert [wrong for wrong in ended.values() if wrong] == []
    assert (reader.folder / "mlruns" / "reports" / "quickstart" / "index.html").is_file()
    assert (reader.folder / "mlruns" / "reports" / "mine" / "index.html").is_file()

"""A reader who follows README and its pages in a fresh clone, each command as it is written, in a shell."""

import os
import re
import shlex
import shutil
import signal
import site
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

from tests.conftest import ROOT, draw_images
from tests.forks import start_harness
from tests.postgres import PASSWORD

SERVES = {  # how a command that serves until it is stopped begins -> what answers then
    "make ui": "http://127.0.0.1:5000",
    "make dashboard": "http://127.0.0.1:8080/dashboard",
    "PATH=$PWD": "http://127.0.0.1:5001/ping",
    "mlflow server": "http://127.0.0.1:5000/health",
}
HARNESS = ".venv/bin/harness "
NEEDS_A_SHELL = re.compile(r"[<>|&;$]|--executor ray|--install-completion|run studies/pneumonia")
STAYS = "mlflow server"  # for the commands after it
FROM_THE_HUB = (  # ImageNet weights come from there; where it cannot be reached, one line has to say so
    "make study STUDY=studies/pneumonia-frozen.yaml DATA=path/to/chest_xray",
    "make study STUDY=studies/pneumonia.yaml DATA=path/to/chest_xray",
    "make search STUDY=studies/pneumonia-search.yaml DATA=path/to/chest_xray WORKERS=2",
    ".venv/bin/harness run studies/pneumonia.yaml --data path/to/chest_xray --set data.limit=200 --set base.epochs=1",
)
ARGUMENTS = {"make bench": "--quick --only decode"}  # in ARGS: a small part of what takes half an hour
COMMAND_SECONDS, SERVER_SECONDS, STOP_SECONDS = 900, 300, 20
SMALLER = {  # in the studies that are run: what a reader without time would change
    "studies/quickstart.yaml": {
        "epochs: 10": "epochs: 1",
        "image_size: 64": "image_size: 32\n  phantom: {train: 96, test: 24}",
    },
    "studies/pneumonia.yaml": {"epochs: 15": "epochs: 1", "image_size: 150": "image_size: 32"},
    "studies/pneumonia-frozen.yaml": {
        "epochs: 15": "epochs: 1",
        "image_size: 150": "image_size: 32",
        "k: 3": "k: 2",
        "dropout-flatten, batchnorm-gap, batchnorm-flatten": "batchnorm-gap",
    },
    "studies/pneumonia-search.yaml": {"trials: 40": "trials: 3", "repeats: 5": "repeats: 1"},
}
SMALLER_MINE = {
    "resnet18.tv_in1k": "test_resnet", "weights: pretrained": "weights: none", "epochs: 15": "epochs: 1",
    "image_size: 224": "image_size: 32", "k: 3": "k: 2", "[dropout-gap, batchnorm-gap]": "[dropout-gap]",
}  # fmt: skip
SEARCHED = "\nsearch:\n  space: {learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}}\n  trials: 2\n"


class Reader:
    """Runs commands in a clone, with an environment in which all libraries are installed already.

    forks: most commands of the harness begin in a process that has imported what they need, and draw no figures.
    """

    def __init__(self, folder: Path, locks: Path, forks: bool = False) -> None:
        self.folder, self.locks, self.forks, self.copies = folder, locks, forks, 0
        self.output = ""  # of the last command
        self.words = {
            "path/to/chest_xray": "path/to/chest_xray", "--data ...": "--data path/to/chest_xray",
            "--checklist": "--checklist --set base.weights=path/to/tf_efficientnet_lite0.safetensors",
            "--scenario NAME": "--scenario 'dropout-gap + none'", "--fold N": "--fold 0",
            "//HOST": "//127.0.0.1", "FIRST": "127.0.0.1",
        }  # fmt: skip
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "PYTHONPATH", "VIRTUAL_ENV")},
            "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder / "home"), "XDG_STATE_HOME": str(folder / "home" / "state"), "PGPASSWORD": PASSWORD,
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "", "RAY_worker_niceness": "0",
        }  # fmt: skip
        self.running: list[subprocess.Popen[str]] = []
        self.ports = ExitStack()  # those of the servers that are running

    def use_database(self, url: str) -> None:
        """Take the PostgreSQL of this URL where a page has `USER@HOST`."""
        at = re.search(r"127\.0\.0\.1:\d+", url)
        assert at is not None
        self.words = {"postgresql://USER@HOST": f"postgresql://tester@{at[0]}", **self.words}

    def line(self, command: str) -> str:
        """The command with a reader's own names and places."""
        for word, own in self.words.items():
            command = command.replace(word, own)
        if re.search("harness (run|register) STUDY", command):  # so that there is something to fit, or nothing fitted
            self.copies += 1
            text = (self.folder / "studies" / "mine.yaml").read_text(encoding="utf-8")
            copy = self.folder / "studies" / f"mine{self.copies}.yaml"
            text = text.replace("study: mine", f"study: mine{self.copies}") + f"\nseed: {self.copies}\n"
            if "harness run" in command:  # README's own commands test and register models
                text = re.sub(r"^test: .*\n", "", text, flags=re.MULTILINE)
            copy.write_text(text, encoding="utf-8")
            command = command.replace("STUDY", f"studies/{copy.name}")
        return re.sub(r" STUDY(?!=)", " studies/mine.yaml", command).replace("RUN_ID", self._fold_run(command))

    def follow(self, command: str) -> str | None:
        """Run a command and return what went wrong; None where all is well."""
        url = next((url for start, url in SERVES.items() if command.startswith(start)), None)
        line = self.line(command)
        if url is None:
            code = self._run(line)
            well = code == 0 or (code == 2 and command in FROM_THE_HUB and "the hub cannot be reached" in self.output)
        else:
            well = self._serve(line, url, stays=command.startswith(STAYS))
        if command.startswith(".venv/bin/harness new "):
            change(self.folder / "studies" / "mine.yaml", SMALLER_MINE)
            with (self.folder / "studies" / "mine.yaml").open("a", encoding="utf-8") as file:
                file.write(SEARCHED)
        return None if well else f"{line}\n{self.output[-2000:]}"

    def _start(self, line: str, log: Path) -> "subprocess.Popen[str]":
        with log.open("w") as file:
            return subprocess.Popen(
                ["bash", "-c", f"{line}\nexit $?"], cwd=self.folder, text=True, stdout=file, stderr=file,
                env={**self.environment, "ARGS": ARGUMENTS.get(line, "")}, start_new_session=True,
            )  # fmt: skip

    def _run(self, line: str) -> int:
        """Run a command to its end and return its exit code."""
        log = self.folder / "home" / "log"
        if self.forks and line.startswith(HARNESS) and not NEEDS_A_SHELL.search(line):
            return self._fork(shlex.split(line)[1:], log)
        process = self._start(line, log)
        self.running.append(process)
        code = process.wait(timeout=COMMAND_SECONDS)
        self.running.remove(process)
        self.output = log.read_text()
        return code

    def _fork(self, arguments: list[str], log: Path) -> int:
        """Run `harness ARGUMENTS` to its end in a process that need not import anything; return its exit code."""
        process = start_harness(arguments, self.folder, log, self.environment)
        process.join(COMMAND_SECONDS)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"harness {' '.join(arguments)}: {log.read_text()[-2000:]}")
        self.output = log.read_text()
        return process.exitcode if process.exitcode is not None else 1

    def _serve(self, line: str, url: str, stays: bool) -> bool:
        """Start a server and return whether it answers; stop it where no later command needs it."""
        log, (port,) = self.folder / "home" / "server-log", re.findall(r":(\d+)", url)
        self.ports.enter_context(FileLock(self.locks / f"port-{port}.lock", timeout=COMMAND_SECONDS))
        process = self._start(line, log)
        self.running.append(process)
        answered = _answers(url, process)
        self.output = log.read_text()
        if not stays:
            self.stop(process)
            self.ports.close()
        return answered

    def stop(self, process: "subprocess.Popen[str]") -> None:
        """End a server as a reader does, by Ctrl-C, and by force if need be."""
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=STOP_SECONDS)
                break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.running.remove(process)

    def leave(self) -> None:
        """Stop what is still running."""
        for process in list(self.running):
            self.stop(process)
        self.ports.close()

    def _fold_run(self, command: str) -> str:
        """The id of a fold's run, in the store or on the server, for a command that needs one."""
        from mlflow import MlflowClient

        if "RUN_ID" not in command:
            return "RUN_ID"
        local = f"sqlite:///{self.folder}/mlruns/mlflow.db"
        client = MlflowClient("http://127.0.0.1:5000" if "--tracking-uri" in command else local)
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(ids, "tags.`harness.level` = 'fold' AND tags.`harness.complete` = 'true'")
        return str(runs[0].info.run_id)


def change(study: Path, changes: dict[str, str]) -> None:
    """Replace words in a study file, each of which is in it once."""
    text = study.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, (study, old)
        text = text.replace(old, new)
    study.write_text(text, encoding="utf-8")


def new_clone(folder: Path, own_head: str) -> None:
    """Clone the repository into `folder`, with an environment that is not set up, smaller studies and small images."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    (folder / "home").mkdir()
    _new_environment(folder / ".venv")
    for study, changes in SMALLER.items():
        change(folder / study, changes)
    _draw(folder)
    (folder / "studies" / "my_heads.py").write_text(own_head, encoding="utf-8")


def copy_clone(clone: Path, folder: Path) -> None:
    """Copy a clone with environment and store. The programs of the environment still run the code of `clone`."""
    shutil.copytree(clone, folder, symlinks=True)


def _new_environment(venv: Path) -> None:
    """Make an environment that finds the libraries of the one that runs the tests, so that little is installed."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    for script in Path(sys.executable).parent.iterdir():  # those of the libraries
        if script.name != "harness" and not (venv / "bin" / script.name).exists():
            (venv / "bin" / script.name).symlink_to(script)


def _draw(folder: Path) -> None:
    """Draw small images in DIR, some under the real data set's names, two to predict, and random weights."""
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


def _answers(url: str, process: "subprocess.Popen[str]") -> bool:
    """Whether a server answers, once it has had the time to install itself and to start."""
    deadline = time.monotonic() + SERVER_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
        time.sleep(0.5)
    return False

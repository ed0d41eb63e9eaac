import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.cli import main
from harness.store import Store
from tests.conftest import PATIENT, SMALL_STUDY, Finished

STUDY = f"""\
study: demo
data:
  source: folder
  path: images
  image_size: 32
  patient: {PATIENT}
folds: {{k: 2}}
base:
  backbone: test_resnet
  weights: none
  epochs: 1
  batch_size: 8
stages:
  - name: heads
    grid: {{head: [dropout-gap, batchnorm-gap]}}
    select: {{metric: val/accuracy}}
"""
PHANTOM = """\
study: demo
data: {source: phantom, image_size: 32, phantom: {train: 40, test: 12}}
folds: {k: 2}
base: {backbone: test_resnet, weights: none, epochs: 1}
stages: [{name: heads, grid: {head: [dropout-gap, batchnorm-gap]}}]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Harness = Callable[..., Ended]
Tree = dict[str, bytes | None]


@pytest.fixture
def harness(
    tmp_path: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Harness]:
    """Runs the command line in this process, in tmp_path, where study.yaml and its images lie."""

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return Ended(int(end.value.code or 0), told.out, told.err)

    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(image_folder.parent)
    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def tree(folder: Path) -> Tree:
    """Every path below a folder, with the content of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(ended: Ended, told: str) -> None:
    """Asserts that the command ended with one line on standard error that starts like this."""
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {told}")
    assert ended.err.count("\n") == 1
    assert ended.err.endswith("\n")


FILE = "study.yaml:4: data.path:"
WRONG_KEY = "base.epoch: unknown key 'epoch'; did you mean epochs"
NO_RULE = "data.patient: 'kermani' names no rule and has no group `patient`; allowed: kermany, phantom, or"
SAME_FILE = "1 identical file is in train/ and in test/, such as train/A/trA0-0.png and test/A/copy-0.png"

# an override, and what is said of it
WRONG_OVERRIDES = {
    "epochs": "expected KEY=VALUE, such as base.epochs=1",
    "base.epoch=1": WRONG_KEY,
    "folds.k=two": "folds.k: 'two' is given; input should be a valid integer",
    "folds.k=5": "folds.k: 5 folds need at least 5 patients of each class; B has 4",
    "data.positive=C": "data.positive: the positive class C is not in the data; its classes: A, B",
    "data.patient=kermani": NO_RULE,
    "data.patient='(?P<patient>'": "data.patient: '(?P<patient>' is no regular expression",
    "data.patient=kermany": "data.patient: the patient rule 'kermany' does not match 28 of 28 images, first ",
    "base.backbone=resnet5O": "base.backbone: unknown backbone 'resnet5O'; did you mean resnet50",
    "stages.0.grid.backbone=[resnet5O]": "stages[0].grid.backbone[0]: unknown backbone 'resnet5O'",
    "base.head=dropout": "base.head: unknown head 'dropout'; did you mean dropout-gap",
    "stages.0.grid.head.1=dropout": "stages[0].grid.head[1]: unknown head 'dropout'; did you mean dropout-gap",
    "base.weights=no.safetensors": "base.weights: HERE/no.safetensors is not there; name a .safetensors file",
}


def test_the_version_is_that_of_the_package(harness: Harness) -> None:
    assert harness("--version") == Ended(0, f"harness {version('harness')}\n", "")


@pytest.mark.parametrize("override", WRONG_OVERRIDES)
def test_a_wrong_override_is_one_line_and_nothing_is_written(harness: Harness, tmp_path: Path, override: str) -> None:
    before = tree(tmp_path)
    refused(
        harness("plan", "study.yaml", "--set", override),
        f"--set {override}: {WRONG_OVERRIDES[override]}".replace("HERE", str(tmp_path)),
    )
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.yaml"], "nothing.yaml: no such study file; `harness new NAME --data DIR` writes one"),
        (["stdy.yaml"], "stdy.yaml: no such study file; did you mean study.yaml?"),
        (["quickstrat"], "quickstrat: no such study file; did you mean quickstart?"),
        (["."], ".: this is a folder; name the study file: did you mean study.yaml?"),
        (["study.yaml", "--data", "x"], "--data x: data.path: HERE/x is not a folder; expected one with train/CLASS"),
        (["study.yaml", "--data", "study.yaml"], "--data study.yaml: data.path: HERE/study.yaml is not a folder"),
        (["study.yaml", "--data", ""], "--data : data.path: "),
        (["study.yaml", "--set", "data.path=null"], "study.yaml:3: data.source: the source folder needs a path"),
        (["study.yaml", "--set", "data.source=phantom"], f"{FILE} the source phantom draws its own images"),
        (
            ["study.yaml", "--set", r"data.patient=(?P<patient>[AB]\d+)-"],
            f"{FILE} 4 patients are in train/ and in test/",
        ),
        (["study.yaml", "--store", "study.yaml"], "--store study.yaml: this is a file; name a folder"),
    ],
)
def test_a_wrong_request_is_one_line_and_nothing_is_written(
    harness: Harness, tmp_path: Path, arguments: list[str], told: str
) -> None:
    before = tree(tmp_path)
    refused(harness("plan", *arguments), told.replace("HERE", str(tmp_path)))
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: root.rename(root.parent / "moved"), "{root} is not a folder; expected one with train/CLASS/*"),
        (lambda root: shutil.rmtree(root / "train"), "{root} has no folder train/; expected train/CLASS/*"),
        (lambda root: (root / "train/C").mkdir(), "class C is empty: {root}/train/C holds no image"),
        (
            lambda root: (root / "train/B").rename(root / "B"),
            "{root}/train has the classes ['A']; at least two are needed",
        ),
        (lambda root: (root / "test/B").rename(root / "test/C"), "test/ has classes that train/ lacks: C"),
        (lambda root: shutil.rmtree(root / "test/B"), "test/ lacks classes of train/: B"),
        (lambda root: shutil.copy(root / "train/A/trA0-0.png", root / "test/A/copy-0.png"), SAME_FILE),
    ],
    ids=["no folder", "no train", "empty class", "one class", "class only in test", "class only in train", "leak"],
)
def test_wrong_images_are_one_line_and_nothing_is_written(
    harness: Harness, tmp_path: Path, image_folder: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(image_folder)
    before = tree(tmp_path)
    refused(harness("plan", "study.yaml"), f"{FILE} {told.format(root=image_folder)}")
    assert tree(tmp_path) == before


def test_a_wrong_file_is_one_line_with_its_place(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("epochs", "epoch"))
    before = tree(tmp_path)
    for command in ("plan", "run", "test", "report"):
        refused(harness(command, "study.yaml"), f"study.yaml:11: {WRONG_KEY}")
    assert tree(tmp_path) == before


TOO_LONG = "n" * 5000
UNFORESEEN = {
    "no such user": ["--data", "~nobody-of-this-name/x"],
    "weights of no such user": ["--set", "base.weights=~nobody-of-this-name/x.safetensors"],
    "long path": ["--data", TOO_LONG],
    "long weights": ["--set", f"base.weights={TOO_LONG}.safetensors"],
    "long store": ["--store", TOO_LONG],
    "store below a file": ["--store", "study.yaml/below"],
    "expression too large": ["--set", "data.patient='(?P<patient>a{99999999999})'"],
}


@pytest.mark.parametrize("arguments", UNFORESEEN.values(), ids=UNFORESEEN)
def test_a_request_that_the_system_refuses_is_one_line(harness: Harness, tmp_path: Path, arguments: list[str]) -> None:
    before = tree(tmp_path)
    refused(harness("plan", "study.yaml", *arguments), arguments[0])
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "device",
    [
        "tpu",
        "",
        pytest.param("cuda", marks=pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is one")),
        "cpu:x",
    ],
)
def test_a_device_that_is_not_there_is_refused(harness: Harness, tmp_path: Path, device: str) -> None:
    before = tree(tmp_path)
    ended = harness("run", "study.yaml", "--device", device)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(f"error: --device {device}: not on this machine; allowed here: auto, ")
    assert tree(tmp_path) == before


def spoil_image(root: Path) -> None:
    file = root / "train/A/trA0-0.png"
    file.write_bytes(file.read_bytes()[:100])


def test_an_unreadable_image_is_named_before_any_training(harness: Harness, tmp_path: Path, image_folder: Path) -> None:
    spoil_image(image_folder)
    ended = harness("run", "study.yaml", "--device", "cpu")
    assert (ended.code, ended.out) == (2, "")
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"error: {FILE} 1 of 28 images cannot be read: {image_folder}/train/A/trA0-0.png (")
    assert "Traceback" not in ended.err
    assert not Store(tmp_path / "mlruns").jobs.exists()
    assert not Store(tmp_path / "mlruns").database.exists()


def test_an_unreadable_image_leaves_nothing_written(harness: Harness, tmp_path: Path, image_folder: Path) -> None:
    spoil_image(image_folder)
    before = tree(tmp_path)
    assert harness("run", "study.yaml", "--device", "cpu").code == 2
    assert set(tree(tmp_path)) == set(before)


def test_weights_that_do_not_fit_are_refused(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    ended = harness("run", "study.yaml", "--set", "base.weights=w.safetensors", "--device", "cpu")
    assert (ended.code, ended.out) == (2, "")
    last = ended.err.splitlines()[-1]
    assert last.startswith(
        f"error: --set base.weights=w.safetensors: base.weights: the weights {tmp_path}/w.safetensors cannot be "
    )
    assert "Traceback" not in ended.err
    assert not Store(tmp_path / "mlruns").jobs.exists()


@pytest.mark.parametrize(
    ("command", "override", "told"),
    [
        ("test", "seed=0", "study.yaml:1: test: the study has no test: block"),
        (
            "test",
            "test={stages: [heads]}",
            "--set test={stages: [heads]}: test: stage heads is not finished; first run",
        ),
        ("report", "seed=0", "study.yaml:1: study: nothing was run in "),
    ],
)
def test_what_needs_results_says_which_command_comes_first(
    harness: Harness, command: str, override: str, told: str
) -> None:
    ended = harness(command, "study.yaml", "--set", override)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(f"error: {told}")


def test_the_ui_of_an_empty_store_says_what_to_do(harness: Harness, tmp_path: Path) -> None:
    before = tree(tmp_path)
    refused(harness("ui", "--store", "runs"), f"{tmp_path}/runs has no runs yet; start with: harness run STUDY --store")
    assert tree(tmp_path) == before


def test_a_study_that_runs_elsewhere_ends_with_code_3(harness: Harness, tmp_path: Path) -> None:
    with Store(tmp_path / "mlruns").locked("demo"):
        ended = harness("run", "study.yaml", "--device", "cpu")
    assert (ended.code, ended.out) == (3, "")
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"error: study demo is running already in {tmp_path}/mlruns: process {os.getpid()} on ")


@pytest.mark.parametrize("arguments", [["bogus"], ["plan"], ["run", "study.yaml", "--what"], ["ui", "--port", "x"]])
def test_a_wrong_command_line_ends_with_code_2_and_no_traceback(harness: Harness, arguments: list[str]) -> None:
    ended = harness(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    assert "Traceback" not in ended.err


def test_help_names_every_command(harness: Harness) -> None:
    ended = harness("--help")
    assert ended.code == 0
    assert {"plan", "run", "test", "report", "ui"} <= set(re.findall(r"\w+", ended.out))


def rows(out: str, *first: str) -> list[list[str]]:
    """The cells of the printed lines that start with these words."""
    return [line.split() for line in out.splitlines() if line.split()[: len(first)] == list(first)]


def test_the_plan_of_a_phantom_counts_images_and_patients_and_says_synthetic(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(PHANTOM)
    ended = harness("plan", "study.yaml", "--store", "runs")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0].startswith("SYNTHETIC")
    (root,) = (tmp_path / "runs" / "data").iterdir()
    images = 0
    for split in ("train", "test"):
        for name in ("NORMAL", "PNEUMONIA"):
            files = list((root / split / name).iterdir())
            patients = {file.name.rpartition("_")[0] for file in files}
            assert rows(ended.out, split, name) == [[split, name, str(len(files)), str(len(patients))]]
            images += len(files)
    assert images == 52
    assert "stage heads: 2 scenarios, no winner" in ended.out
    assert [row[2] for row in rows(ended.out, "dropout-gap") + rows(ended.out, "batchnorm-gap")] == ["0/2", "0/2"]
    assert "jobs: 4 known, 0 done" in ended.out
    folds = rows(ended.out, "0", "0") + rows(ended.out, "0", "1")
    assert [sum(map(int, row[2:])) for row in folds] == [40, 40]
    again = harness("plan", "study.yaml", "--store", "runs")
    assert again == ended


def test_the_plan_of_an_image_folder_counts_it_and_does_not_say_synthetic(harness: Harness) -> None:
    ended = harness("plan", "study.yaml")
    assert ended.code == 0
    assert rows(ended.out, "train") + rows(ended.out, "test") == [
        ["train", "A", "12", "6"], ["train", "B", "8", "4"], ["test", "A", "4", "2"], ["test", "B", "4", "2"],
    ]  # fmt: skip
    assert "SYNTHETIC" not in ended.out
    assert "REHEARSAL" not in ended.out
    assert "grouped by patient" in ended.out


def test_the_plan_says_what_waits_and_that_a_limit_is_a_rehearsal(harness: Harness) -> None:
    later = "stages=[{name: a, grid: {head: [dropout-gap]}, select: {}}, {name: b, grid: {epochs: [1, 2, 3]}}]"
    out = harness("plan", "study.yaml", "--set", later, "--set", "data.limit=16", "--set", "folds.grouped=false").out
    assert out.startswith("REHEARSAL: data.limit 16\nPATIENTS TORN APART")
    assert "NOT grouped by patient" in out
    assert "the rest from the winner of stage a" in out
    assert "jobs: 2 known, 0 done, and up to 6 more once the winners are known" in out


@pytest.mark.filterwarnings("error::UserWarning")
def test_folds_that_are_not_grouped_are_planned_without_a_warning(harness: Harness) -> None:
    assert harness("plan", "study.yaml", "--set", "folds.grouped=false").code == 0


def test_a_finished_study_is_planned_as_done_and_is_not_fitted_again(
    harness: Harness, tmp_path: Path, finished: Finished
) -> None:
    (tmp_path / "study.yaml").write_text(SMALL_STUDY)
    store = ["--store", str(finished.store.root)]
    plan = harness("plan", "study.yaml", *store)
    known = int(re.findall(r"jobs: (\d+) known, \1 done\n", plan.out)[0])
    assert known == 6
    assert plan.out.count("winner\n") == 2
    run = harness("run", "study.yaml", *store, "--device", "cpu")
    assert run.code == 0
    assert " fits" not in run.err
    titles = [line for line in run.out.splitlines() if line.endswith("(SYNTHETIC DATA)")]
    assert [title.partition(":")[0] for title in titles] == ["small, stage heads", "small, stage sampling", "test set"]
    assert "test accuracy " in run.out
    report, leaderboard, following = run.out.splitlines()[-3:]
    assert re.match(r"leaderboard: http://127\.0\.0\.1:5000/\S+viewStateShareKey=\S+$", leaderboard)
    assert re.match(rf"next: .* ui --store .*{finished.store.root}, which serves the leaderboard$", following)
    refused = harness("run", "study.yaml", *store, "--device", "gpu")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines()[-1] == "error: --device gpu: allowed: auto, cpu, cuda, cuda:N, mps"
    again = harness("report", "study.yaml", *store)
    assert again.code == 0
    page = again.out.strip()
    assert Path(page).is_file()
    assert report in (f"report:      {os.path.relpath(page)}", f"report:      {page}")


def test_the_report_opens_in_the_browser(
    harness: Harness, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.yaml").write_text(SMALL_STUDY)
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    report = harness("report", "study.yaml", "--store", str(finished.store.root), "--open")
    assert opened == [Path(report.out.strip()).as_uri()]
    assert report.out.strip().endswith("reports/small/index.html")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
    ],
)
def test_a_signal_ends_a_command_with_its_code_and_one_line(tmp_path: Path, number: signal.Signals, code: int) -> None:
    os.mkfifo(tmp_path / "study.yaml")  # a file whose reader waits
    command = [sys.executable, "-m", "harness.cli", "plan", str(tmp_path / "study.yaml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process, (tmp_path / "study.yaml").open("w"):  # opens when the command begins to read
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err == "stopped; the same command continues from here\n"


def test_the_console_script_says_what_is_wrong_without_a_traceback(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("harness")
    done = subprocess.run([script, "plan", "nothing.yaml"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "error: nothing.yaml: no such study file; `harness new NAME --data DIR` writes one\n",
    )
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("words", [["schema"], ["doctor", "--store", "{store}"]])
def test_a_pipe_that_is_closed_early_is_no_failed_fit(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "harness.cli", *(word.format(store=tmp_path / "store") for word in words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 128 + signal.SIGPIPE)

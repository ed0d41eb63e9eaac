"""Row 14 of the table of promises: archives and weights that mean harm, and passwords in addresses.

The harness unpacks no archive: what it reads are images, safetensors, Parquet, JSON and YAML.
"""

import hashlib
import importlib
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.faults.images import IMAGES, SMALL, png, with_images
from tests.faults.rig import RUN, Ended, Rig

SECRET = "correct-horse"
Hostile = Callable[[Rig], None]


class Payload:
    """What writes a file into the working folder once it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("payload-ran",)


def _refused(folder: Path, ended: Ended, *told: str) -> None:
    """One line, that says this; no code was run, and nothing was written, in the store or beside the folder."""
    assert ended.code == 2, ended
    (last,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    for words in told:
        assert words in last, last
    assert "Traceback" not in ended.err
    assert not (folder / "payload-ran").exists()
    assert not (folder / "mlruns/jobs").exists()
    assert not list(folder.parent.glob("slipped*"))


def zip_slip(rig: Rig) -> None:
    folder = rig.empty()
    with zipfile.ZipFile(folder / "images", "w") as archive:
        archive.writestr("../slipped.png", "x")
    _refused(folder, rig.run(folder, *RUN, *IMAGES), "images is not a folder")


def tar_of_links(rig: Rig) -> None:
    folder = rig.empty()
    with tarfile.open(folder / "images", "w") as archive:
        link = tarfile.TarInfo("train")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    _refused(folder, rig.run(folder, *RUN, *IMAGES), "images is not a folder")


def zip_bomb_as_image(rig: Rig) -> None:
    folder, image = with_images(rig)
    with zipfile.ZipFile(image, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    _refused(folder, rig.run(folder, *RUN, *IMAGES, *SMALL), str(image), "not an image that Pillow reads")


def text_bomb_in_image(rig: Rig) -> None:
    """A PNG whose text, a few kB, would be 100 MB."""
    folder, image = with_images(rig)
    image.write_bytes(png(32, 32, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000)))))
    _refused(folder, rig.run(folder, *RUN, *IMAGES, *SMALL), str(image))


def _planted() -> None:
    """Has the download of a data set be the folder `unpacked`."""
    import kagglehub

    kagglehub.dataset_download = lambda _: str(Path.cwd() / "unpacked")


def download_with_links(rig: Rig) -> None:
    """A data set that was unpacked with a link to a file of the machine, under the name of an image."""
    folder, image = with_images(rig)
    image.unlink()
    image.symlink_to("/etc/hostname")
    (folder / "unpacked").mkdir()
    (folder / "images").rename(folder / "unpacked/chest_xray")
    ended = rig.run(folder, *RUN, "--set", "data={source: kermany, image_size: 32}", *SMALL, before=_planted)
    _refused(folder, ended, image.name, "a link out of the image folder")


def _weights(rig: Rig, content: bytes, name: str, *told: str) -> None:
    folder = rig.place()
    (folder / name).write_bytes(content)
    _refused(folder, rig.run(folder, *RUN, "--set", f"base.weights={name}"), name, *told)


def _saved(**options: Any) -> bytes:
    """What torch.save makes of a payload."""
    content = io.BytesIO()
    torch.save({"conv1.weight": Payload()}, content, **options)
    return content.getvalue()


def pickle_by_its_name(rig: Rig) -> None:
    for name in ("weights.pth", "weights.bin", "weights.pkl"):
        _weights(rig, pickle.dumps(Payload()), name, "the path of a .safetensors file")


def pickle_renamed(rig: Rig) -> None:
    _weights(rig, pickle.dumps(Payload()), "w.safetensors", "cannot be loaded into test_resnet")


def torch_file_renamed(rig: Rig) -> None:
    for new in (True, False):
        _weights(rig, _saved(_use_new_zipfile_serialization=new), "w.safetensors", "cannot be loaded into test_resnet")


def header_bombs(rig: Rig) -> None:
    """A header of 4 EiB, and a tensor of 4 TiB in a file of a few bytes."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    for content in (struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", len(header)) + header):
        _weights(rig, content, "w.safetensors", "cannot be loaded into test_resnet")


def pickle_in_a_model_folder(rig: Rig) -> None:
    """The folder of a classifier whose weights are a pickle; its description names their hash."""
    folder, image = with_images(rig)
    shutil.copytree(next((rig.reference / "mlruns/artifacts").rglob("classifier")), folder / "model")
    about = json.loads((folder / "model/classifier.json").read_text())
    (folder / "model/model.safetensors").write_bytes(content := _saved())
    (folder / "model/classifier.json").write_text(
        json.dumps(about | {"weights_sha256": hashlib.sha256(content).hexdigest()})
    )
    _refused(folder, rig.run(folder, "predict", "model", str(image), "--device", "cpu"), "model.safetensors")


def pickle_as_checkpoint(rig: Rig) -> None:
    """A checkpoint that is a pickle, under the name of its own hash: it is passed over."""
    folder = rig.place()
    for job in (rig.reference / "mlruns/jobs").iterdir():
        (folder / "mlruns/checkpoints" / job.name).mkdir(parents=True)
        name = f"000001-{hashlib.sha256(_saved()).hexdigest()}.safetensors"
        (folder / "mlruns/checkpoints" / job.name / name).write_bytes(_saved())
    rig.finish(folder, *RUN)
    assert not (folder / "payload-ran").exists()
    rig.check(folder)


def no_secret(folder: Path) -> None:
    """Asserts that no file below holds the password: outputs, logs, database, artifacts, reports."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path


def _address() -> None:
    os.environ["MLFLOW_TRACKING_URI"] = f"http://ann:{SECRET}@127.0.0.1:9"


def password_in_the_environment(rig: Rig) -> None:
    """A whole run, and those who look at it, under a tracking address that holds a password."""
    folder = rig.place()
    for command in (RUN, ("doctor", "study.yaml"), ("status", "study.yaml"), ("report", "study.yaml")):
        ended = rig.run(folder, *command, before=_address)
        assert ended.code == 0, ended
    no_secret(folder)
    rig.check(folder)


def _address_in_a_traceback() -> None:
    """The address in the environment, and an error that repeats it, in each fit and at the end."""
    _address()
    job: Any = importlib.import_module("harness.training.job")
    runner: Any = importlib.import_module("harness.runner")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"cannot reach {os.environ['MLFLOW_TRACKING_URI']}/api")

    job.fit_once = fail
    runner.update_report = fail


def password_in_a_traceback(rig: Rig) -> None:
    folder = rig.place()
    ended = rig.run(folder, *RUN, before=_address_in_a_traceback)
    assert ended.code == 1, ended
    assert "cannot reach http://ann:***@127.0.0.1:9/api" in ended.err
    assert "Traceback" in ended.err
    no_secret(folder)


def password_in_an_option(rig: Rig) -> None:
    folder = rig.place()
    at = f"//ann:{SECRET}@127.0.0.1:9"
    for command in (
        (*RUN, "--tracking-uri", f"http:{at}"),
        (*RUN, "--set", f"data.path=http:{at}/x", "--set", "data.source=folder"),
        (*RUN, "--set", f"base.weights=http:{at}/x.safetensors"),
        ("predict", f"http:{at}/model", "x.png"),
    ):
        ended = rig.run(folder, *command)
        assert ended.code == 2, ended
    no_secret(folder)


CASES: dict[str, Hostile] = {
    case.__name__: case
    for case in (
        zip_slip, tar_of_links, zip_bomb_as_image, text_bomb_in_image, download_with_links, pickle_by_its_name,
        pickle_renamed, torch_file_renamed, header_bombs, pickle_in_a_model_folder, pickle_as_checkpoint,
        password_in_the_environment, password_in_a_traceback, password_in_an_option,
    )
}  # fmt: skip


def hostile(rig: Rig, name: str) -> int:
    """One attempt that came to nothing."""
    CASES[name](rig)
    return 1

"""A classifier as a study fitted it, preprocessing inside: images of any size in, classes and probabilities out."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from harness.data.decode import Pixels
from harness.errors import HarnessError
from harness.models.backbone import Backbone, feature_shape, load_backbone
from harness.models.heads import make_head, part_read
from harness.serving.images import AnyImage, read_images
from harness.study.settings import ResolvedSettings
from harness.training.device import all_cores, choose_device, deterministic, resolve_precision
from harness.training.features import BATCH, extract
from harness.training.fit import predict
from harness.training.loaders import PixelInputs, Rows

FORMAT = 2  # raise it when a folder written before cannot be read any more
WEIGHTS, ABOUT = "model.safetensors", "classifier.json"


@dataclass(frozen=True)
class About:
    """What has to be known of a classifier beside its weights: the content of its JSON file."""

    settings: ResolvedSettings
    classes: tuple[str, ...]
    positive: str | None
    mean: tuple[float, ...]  # of the backbone's normalisation, of pixels from 0 to 1
    std: tuple[float, ...]
    batch: int  # images that went through the network at a time
    threads: int  # of the fit: they decide the last bits of a prediction on the CPU
    study: str
    job: str
    manifest: str  # the digest of the images that it was fitted and tested on
    synthetic: bool
    head_source: str | None = None  # of a head of the user's own


class Classifier:
    """A network on a device, and what its study says of it."""

    def __init__(self, about: About, backbone: Backbone, head: nn.Module, device: torch.device) -> None:
        self.about, self.device = about, device
        network = nn.Sequential()
        network.add_module("backbone", backbone)
        network.add_module("head", head)
        network.to(device)
        backbone.put_on(device)
        self.network, self.backbone, self.head = network.eval(), backbone, head

    def predict(self, images: Sequence[AnyImage]) -> pd.DataFrame:
        """A row for each image: `class`, the most probable one, and prob_<class> for each class.

        images: paths, the bytes of image files, or arrays (uint8 [h, w] or [h, w, 3 or 4], uint16 [h, w]).
        Raises DataError for the first one that is not an image.
        """
        size = self.about.settings.image_size
        parts = [self.probabilities(read_images(images[rows], size)) for rows in self._portions(len(images))]
        found = np.concatenate(parts) if parts else np.empty((0, len(self.about.classes)))
        frame = pd.DataFrame({f"prob_{name}": found[:, index] for index, name in enumerate(self.about.classes)})
        frame.insert(0, "class", np.array(self.about.classes, dtype=object)[found.argmax(axis=1)])
        return frame

    def probabilities(self, pixels: Pixels) -> NDArray[np.float64]:
        """The probabilities [n, classes] of images [n, 1 or 3, size, size], computed as in the study.

        The same images in the same order give the same bits as there, on the same machine: a batch of another size may
        round differently.
        """
        settings = self.about.settings
        inputs, rows = self.inputs(pixels), np.arange(len(pixels))
        precision = resolve_precision(settings.precision, self.device)
        with deterministic(self.about.threads):
            if settings.trainable != "head":
                return predict(self.network, inputs, rows, self.about.batch, precision, self.device)
            shape = self.feature_shape
            maps = np.empty((len(rows), *shape), dtype=np.float32)
            moments = np.empty((len(rows), 2, shape[0]), dtype=np.float32)
            with all_cores():
                extract(self.backbone, inputs, rows, maps, moments, self.device, precision)
            features = part_read(self.head, torch.from_numpy(maps), torch.from_numpy(moments))

            def kept(rows: Rows) -> Tensor:
                return features[rows].to(self.device)

            return predict(self.head, kept, rows, self.about.batch, "fp32", self.device)

    def inputs(self, pixels: Pixels) -> PixelInputs:
        """What the backbone reads of these pixels."""
        return PixelInputs(pixels, self.about.mean, self.about.std, self.device)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """The shape (C, h, w) of the backbone's feature map."""
        return feature_shape(self.backbone, self.about.settings.image_size)

    def _portions(self, count: int) -> Iterator[slice]:
        """Images decoded at a time: whole batches, so that the batches are those of all images in one call."""
        batch = self.about.batch
        portion = math.lcm(BATCH, batch) if self.about.settings.trainable == "head" else batch
        return (slice(start, start + portion) for start in range(0, count, portion))

    def save(self, folder: Path) -> None:
        """Writes the classifier into a folder that is there: safetensors and JSON."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        weights = safetensors.torch.save(state)
        (folder / WEIGHTS).write_bytes(weights)
        about = asdict(self.about) | {"settings": self.about.settings.model_dump(mode="json")}
        text = {"format": FORMAT, "weights_sha256": hashlib.sha256(weights).hexdigest(), "about": about}
        (folder / ABOUT).write_text(json.dumps(text, indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: Path, device: str = "auto") -> "Classifier":
        """The classifier of a folder that `save` wrote. Raises HarnessError where it is not one, or not whole."""
        where = choose_device(device)
        about, digest = _read_about(folder)
        weights = (folder / WEIGHTS).read_bytes() if (folder / WEIGHTS).is_file() else b""
        if hashlib.sha256(weights).hexdigest() != digest:
            raise HarnessError(f"{folder / WEIGHTS} is not the file that was saved; copy the folder again")
        classes, source = len(about.classes), about.head_source
        backbone, head = plain_network(about.settings, classes, seed=0, weights="none", source=source)
        try:
            load_states(backbone, head, weights)
        except (SafetensorError, RuntimeError) as error:  # RuntimeError: weights of another network
            told = " ".join(str(error).split())[:200]
            raise HarnessError(f"{folder / WEIGHTS} does not hold the weights of its model: {told}") from None
        return Classifier(about, backbone, head, where)


def plain_network(
    settings: ResolvedSettings, classes: int, seed: int, weights: str, source: str | None = None
) -> tuple[Backbone, nn.Module]:
    """A backbone with these weights, and a head on it with any. source: of a head of the user's own."""
    backbone = load_backbone(settings.model_copy(update={"weights": weights, "trainable": "all"}), seed)
    shape = feature_shape(backbone, settings.image_size)
    return backbone, make_head(settings, shape, classes, source)


def load_states(backbone: Backbone, head: nn.Module, weights: bytes) -> None:
    """Gives both the weights of a safetensors file, named `backbone.` and `head.`."""
    state = safetensors.torch.load(weights)
    for name, module in (("backbone.", backbone), ("head.", head)):
        module.load_state_dict({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})


def _read_about(folder: Path) -> tuple[About, str]:
    """What the JSON file says, and the hash of the weights."""
    try:
        text: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if text["format"] != FORMAT:
            raise HarnessError(f"{folder / ABOUT} has format {text['format']}; this version reads {FORMAT}")
        return TypeAdapter(About).validate_python(text["about"]), text["weights_sha256"]
    except FileNotFoundError:
        raise HarnessError(f"{folder} holds no {ABOUT}; name the folder of a saved classifier") from None
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        raise HarnessError(f"{folder / ABOUT} is not a classifier's description; copy the folder again") from None

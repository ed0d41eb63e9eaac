"""A fitted classifier with its preprocessing: images of any size in, classes and probabilities out."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
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

from harness.data.dataset import Rows
from harness.data.decode import Pixels
from harness.errors import HarnessError, one_line
from harness.models.backbone import Backbone, feature_shape, load_backbone
from harness.models.heads import make_head, part_read
from harness.serving.architecture import save_architecture, with_architecture
from harness.serving.images import AnyImage, read_images
from harness.study.pixel_rules import DEFAULT_RULES, PixelRules
from harness.study.settings import ResolvedSettings
from harness.training.device import Arithmetic, all_cores, choose_device, deterministic, resolve_precision
from harness.training.extract import IMAGES_AT_A_TIME, FeatureArrays, extract
from harness.training.loaders import PixelLoader
from harness.training.network import Network
from harness.training.predict import predict

FORMAT = 2  # raise it when older folders can no longer be read
WITH_PIXEL_RULES = 3  # of folders with pixel rules that are not the default, which older versions would not follow
WEIGHTS_FILE, METADATA_FILE = "model.safetensors", "classifier.json"


@dataclass(frozen=True)
class ClassifierMetadata:
    """The metadata of a classifier: the content of its JSON file."""

    settings: ResolvedSettings
    classes: tuple[str, ...]
    positive: str | None
    mean: tuple[float, ...]  # of the normalisation of pixels from 0 to 1
    std: tuple[float, ...]
    batch: int  # images per forward pass
    threads: int  # of the fit; they affect the last bits of a prediction on the CPU
    study: str
    job: str
    manifest: str  # the digest of the images that it was fitted and tested on
    synthetic: bool
    head_source: str | None = None  # of a custom head
    marks: tuple[str, ...] = ()  # why the study's numbers are less than they seem
    pixel_rules: PixelRules = DEFAULT_RULES


class Classifier:
    """A network on a device, with its metadata. network: in fp32, whatever the precision of the fit."""

    def __init__(self, about: ClassifierMetadata, backbone: Backbone, head: nn.Module, device: torch.device) -> None:
        self.about, self.device = about, device
        backbone.put_on(device)
        self._arithmetic = Arithmetic(device, resolve_precision(about.settings.precision, device))
        self.network = Network(backbone, head.to(device), Arithmetic(device, "fp32")).eval()
        self.backbone, self.head = backbone, head

    def predict(self, images: Sequence[AnyImage]) -> pd.DataFrame:
        """Classify images; return one row per image: the predicted `class`, and prob_<class> for each class.

        images: paths, bytes of image files, or arrays (uint8 [h, w] or [h, w, 3 or 4], uint16 [h, w]).
        Raises DataError for the first one that is not an image.
        """
        size, rules = self.about.settings.image_size, self.about.pixel_rules
        parts = [self.probabilities(read_images(images[part], size, rules)) for part in self._batches(len(images))]
        found = np.concatenate(parts) if parts else np.empty((0, len(self.about.classes)))
        frame = pd.DataFrame({f"prob_{name}": found[:, index] for index, name in enumerate(self.about.classes)})
        frame.insert(0, "class", np.array(self.about.classes, dtype=object)[found.argmax(axis=1)])
        return frame

    def probabilities(self, pixels: Pixels) -> NDArray[np.float64]:
        """Compute the probabilities [n, classes] of images [n, 1 or 3, size, size], as in the study.

        The same images in the same order give the same bits as in the study, on the same machine; batches of another
        size may round differently.
        """
        settings = self.about.settings
        loader, rows = self.loader(pixels), np.arange(len(pixels))
        with deterministic(self.about.threads):
            if settings.trainable != "head":
                network = Network(self.backbone, self.head, self._arithmetic)
                return predict(network, loader, rows, self.about.batch, tta=settings.tta)
            arrays = FeatureArrays.empty(len(rows), self.feature_shape)
            with all_cores():
                extract(self.backbone, loader, rows, {self.backbone.layout: arrays}, self._arithmetic)
            features = part_read(self.head, *(torch.from_numpy(array) for array in arrays if array is not None))

            def load(parts: Sequence[Rows]) -> Iterator[Tensor]:
                return (features[part].to(self.device) for part in parts)

            return predict(self.head, load, rows, self.about.batch)

    def loader(self, pixels: Pixels) -> PixelLoader:
        """The loader of these pixels for the backbone."""
        return PixelLoader(pixels, self.about.mean, self.about.std, self.device)

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """The shape (C, h, w) of the backbone's feature map."""
        return feature_shape(self.backbone, self.about.settings.image_size)

    def _batches(self, count: int) -> Iterator[slice]:
        """The images to decode at a time: a multiple of the batch size, so that the network gets the same batches."""
        batch = self.about.batch
        size = math.lcm(IMAGES_AT_A_TIME, batch) if self.about.settings.trainable == "head" else batch
        return (slice(start, start + size) for start in range(0, count, size))

    def save(self, folder: Path) -> None:
        """Write the classifier into an existing folder, as safetensors and JSON."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        weights = safetensors.torch.save(state)
        (folder / WEIGHTS_FILE).write_bytes(weights)
        settings = save_architecture(self.about.settings, folder)
        about = asdict(self.about) | {"settings": settings.model_dump(mode="json")}
        form = WITH_PIXEL_RULES if self.about.pixel_rules.changed else FORMAT
        text = {"format": form, "weights_sha256": hashlib.sha256(weights).hexdigest(), "about": about}
        (folder / METADATA_FILE).write_text(json.dumps(text, indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: Path, device: str = "auto") -> "Classifier":
        """Load the classifier of a folder that `save` wrote. Raises HarnessError where it is not a complete one."""
        where = choose_device(device)
        about, digest = _read_about(folder)
        about = replace(about, settings=with_architecture(about.settings, folder))
        path = folder / WEIGHTS_FILE
        weights = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(weights).hexdigest() != digest:
            raise HarnessError(f"{path} is not the file that was saved; copy the folder again")
        classes, source = len(about.classes), about.head_source
        backbone, head = plain_network(about.settings, classes, seed=0, weights="none", source=source)
        try:
            load_states(backbone, head, weights)
        except (SafetensorError, RuntimeError) as error:  # RuntimeError: weights of another network
            raise HarnessError(f"{path} does not contain the weights of its model: {one_line(error)}") from None
        return Classifier(about, backbone, head, where)


def plain_network(
    settings: ResolvedSettings, classes: int, seed: int, weights: str, source: str | None = None
) -> tuple[Backbone, nn.Module]:
    """Make a backbone with these weights, and a newly initialised head for it. source: of a custom head."""
    backbone = load_backbone(settings.model_copy(update={"weights": weights, "trainable": "all"}), seed)
    shape = feature_shape(backbone, settings.image_size)
    return backbone, make_head(settings, shape, classes, source)


def load_states(backbone: Backbone, head: nn.Module, weights: bytes) -> None:
    """Load both from the content of a safetensors file, with the prefixes `backbone.` and `head.`."""
    state = safetensors.torch.load(weights)
    for name, module in (("backbone.", backbone), ("head.", head)):
        module.load_state_dict({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})


def _read_about(folder: Path) -> tuple[ClassifierMetadata, str]:
    """Read the JSON file; return the metadata and the hash of the weights."""
    path = folder / METADATA_FILE
    try:
        text: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if text["format"] not in (FORMAT, WITH_PIXEL_RULES):
            raise HarnessError(
                f"{path} has format {text['format']}; this version reads {FORMAT} and {WITH_PIXEL_RULES}"
            )
        return TypeAdapter(ClassifierMetadata).validate_python(text["about"]), text["weights_sha256"]
    except FileNotFoundError:
        raise HarnessError(f"{folder} has no {METADATA_FILE}; name the folder of a saved classifier") from None
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        raise HarnessError(f"{path} is not the metadata of a classifier; copy the folder again") from None

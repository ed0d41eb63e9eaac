"""Export a classifier as an ONNX file, checked against torch."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import HarnessError, one_line
from harness.serving.classifier import Classifier
from harness.store.files import write_atomic
from harness.study.origin import short_name
from harness.training.views import views_of

PROBABILITY_TOLERANCE = 1e-4
CHECKED_IMAGES = 3


class _WithPreprocessing(nn.Module):
    """Pixels from 0 to 255, float32 [n, 3, size, size] -> probabilities float32 [n, classes]."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        about = classifier.about
        self.mean = torch.tensor(about.mean).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(about.std).view(1, 3, 1, 1) * 255
        self.views = views_of(about.settings.tta)

    def forward(self, pixels: Tensor) -> Tensor:
        images = (pixels - self.mean) / self.std
        found = [self.network(view(images)).softmax(dim=1) for view in self.views]
        return found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)


def export_onnx(classifier: Classifier, path: Path) -> float:
    """Write the ONNX file; return the largest difference from torch's probabilities, on random images.

    The file takes `pixels`, float32 [n, 3, size, size] from 0 to 255, resized as in the study, and returns
    `probabilities` [n, classes]; its metadata name the classes, and how files become pixels.
    Raises HarnessError, and writes nothing, where torch cannot export the network, the difference is above the
    tolerance, or a library is missing.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch needs it for the export
    except ImportError as error:
        raise HarnessError(f"{error.name} is not installed; pip install 'harness[onnx]'") from None
    network, size = _WithPreprocessing(classifier).eval(), classifier.about.settings.image_size
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (CHECKED_IMAGES, 3, size, size))).float()
    with torch.inference_mode():
        expected = network(images).numpy()
    model = _exported(network, images, classifier.about.settings.backbone)
    about = classifier.about
    facts = {"classes": json.dumps(about.classes), "study": about.study, "job": about.job}
    facts["pixels"] = json.dumps(asdict(about.pixel_rules))
    onnx.helper.set_model_props(model, facts)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    one_by_one = [session.run(None, {"pixels": image[None].numpy()})[0][0] for image in images]
    difference = float(np.abs(np.stack(one_by_one) - expected).max())
    if not difference <= PROBABILITY_TOLERANCE:
        raise HarnessError(
            f"ONNX differs from torch by {difference:.1e}, more than {PROBABILITY_TOLERANCE:g}; nothing was written"
        )
    write_atomic(path, content)
    return difference


def _exported(network: nn.Module, images: Tensor, backbone: str) -> Any:
    """The ONNX model of a network, for any number of images. Raises HarnessError where torch cannot export it."""
    try:
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        )
    except torch.onnx.errors.OnnxExporterError as error:
        why = one_line(error.__cause__ or error)
        raise HarnessError(f"torch cannot export {short_name(backbone)} to ONNX; nothing was written: {why}") from error
    assert program is not None
    return program.model_proto

"""The commands that use a finished study's model: predict, export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import MLRUNS, DeviceName, StorePath, TrackingUri

if TYPE_CHECKING:
    from harness.serving.classifier import Classifier
    from harness.store import Store

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A study file (its champion), an MLflow URI such as models:/NAME@champion, or a folder."
    ),
]


def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files of any size.")],
    store: StorePath = MLRUNS,
    device: DeviceName = "auto",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every digit.")] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Prints the class and the probabilities of images, by the model that a study chose."""
    from harness.store import Store

    found = _classifier(model, Store(store, tracking_uri), device).predict(images)
    found.insert(0, "image", [str(image) for image in images])
    print(found.to_csv(index=False) if csv else found.to_string(index=False, float_format="{:.4f}".format), end="")
    if not csv:
        print()


def export(
    model: Model,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The ONNX file to write.", show_default=False)],
    store: StorePath = MLRUNS,
    tracking_uri: TrackingUri = None,
) -> None:
    """Writes a model as ONNX, checked against torch."""
    from harness.store import Store

    classifier = _classifier(model, Store(store, tracking_uri), "cpu")
    from harness.serving.onnx import CHECKED, TOLERANCE, export_onnx

    difference = export_onnx(classifier, onnx)
    print(
        f"{onnx}: probabilities differ from torch's by {difference:.1e} at most on {CHECKED} random images"
        f" (allowed: {TOLERANCE:g})"
    )


def _classifier(model: str, store: "Store", device: str) -> "Classifier":
    """The classifier that MODEL names, on a device."""
    folder = _folder(model, store)
    from harness.serving.classifier import Classifier

    return Classifier.load(folder, device)


def _folder(model: str, store: "Store") -> Path:
    """Where the classifier that MODEL names lies."""
    if model.startswith(("models:/", "runs:/")):
        uri = model
    elif Path(model).suffix in (".yaml", ".yml"):
        from harness.study import load_study

        uri = f"models:/{load_study(Path(model), []).study}@champion"
    else:
        return Path(model)
    from harness.tracking.champion import champion_folder

    return champion_folder(store, uri)

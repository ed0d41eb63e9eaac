"""The commands that use the model of a finished study: `predict` and `export`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    STUDY_SUFFIXES,
    DataPath,
    DeviceName,
    Overrides,
    StoreFolder,
    TrackingUri,
    find_workspace,
)  # fmt: skip

if TYPE_CHECKING:
    from harness.serving.classifier import Classifier
    from harness.store import Store

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A study file (its model), an MLflow URI such as models:/NAME@champion, or a folder."
    ),
]


def predict(
    model: ModelName,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files of any size.", readable=False)],
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every digit.")] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Print the predicted class and the probabilities of images, by the model that a study selected."""
    from harness.store import Store

    store = Store(store_folder, tracking_uri)
    classifier = _classifier(_folder(model, store, data, overrides), device)
    found = classifier.predict(images)
    for mark in classifier.about.marks:
        print(f"the study of this model: {mark}", file=sys.stderr)
    found.insert(0, "image", [str(image) for image in images])
    print(found.to_csv(index=False) if csv else found.to_string(index=False, float_format="{:.4f}".format), end="")
    if not csv:
        print()


def export(
    model: ModelName,
    onnx: Annotated[
        Path, typer.Option("--onnx", metavar="FILE", help="The ONNX file to write.", show_default=False, readable=False)
    ],
    data: DataPath = None,
    store_folder: StoreFolder = DEFAULT_STORE,
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Export a model as ONNX, checked against torch."""
    from harness.store import Store

    classifier = _classifier(_folder(model, Store(store_folder, tracking_uri), data, overrides), "cpu")
    from harness.serving.onnx import CHECKED_IMAGES, PROBABILITY_TOLERANCE, export_onnx

    difference = export_onnx(classifier, onnx)
    print(
        f"{onnx}: probabilities differ from torch's by at most {difference:.1e} on {CHECKED_IMAGES} random images"
        f" (allowed: {PROBABILITY_TOLERANCE:g})"
    )


def _classifier(folder: Path, device: str) -> "Classifier":
    """Load the classifier in a folder."""
    from harness.serving.classifier import Classifier

    return Classifier.load(folder, device)


def _folder(model: str, store: "Store", data: str | None, overrides: list[str] | None) -> Path:
    """The folder of the classifier that MODEL names. data, overrides: the options that the study was run with."""
    is_uri, is_file = model.startswith(("models:/", "runs:/")), Path(model).suffix in STUDY_SUFFIXES
    if Path(model).is_dir() or not (is_uri or is_file or store.root.exists()):
        return Path(model)
    from harness.tracking.registry import champion_folder, require_models, study_model

    if is_uri:
        return champion_folder(store, model)
    require_models(store)  # before images are drawn
    return champion_folder(store, study_model(find_workspace(Path(model), data, overrides, store)))

"""The commands that use a finished study's model: predict, export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import MLRUNS, DeviceName, StorePath

if TYPE_CHECKING:
    from harness.serving.classifier import Classifier

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
) -> None:
    """Prints the class and the probabilities of images, by the model that a study chose."""
    found = _classifier(model, store, device).predict(images)
    found.insert(0, "image", [str(image) for image in images])
    print(found.to_csv(index=False) if csv else found.to_string(index=False, float_format="{:.4f}".format), end="")
    if not csv:
        print()


def export(
    model: Model,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The ONNX file to write.", show_default=False)],
    store: StorePath = MLRUNS,
) -> None:
    """Writes a model as ONNX, checked against torch."""
    classifier = _classifier(model, store, "cpu")
    from harness.serving.onnx import CHECKED, TOLERANCE, export_onnx

    difference = export_onnx(classifier, onnx)
    print(
        f"{onnx}: probabilities differ from torch's by {difference:.1e} at most on {CHECKED} random images"
        f" (allowed: {TOLERANCE:g})"
    )


def _classifier(model: str, store: Path, device: str) -> "Classifier":
    """The classifier that MODEL names, on a device."""
    folder = _folder(model, store)
    from harness.serving.classifier import Classifier

    return Classifier.load(folder, device)


def _folder(model: str, store: Path) -> Path:
    """Where the classifier that MODEL names lies."""
    from harness.store import Store

    if model.startswith(("models:/", "runs:/")):
        uri = model
    elif Path(model).suffix in (".yaml", ".yml"):
        from harness.study import load_study

        uri = f"models:/{load_study(Path(model), []).study}@champion"
    else:
        return Path(model)
    from harness.tracking.champion import champion_folder

    return champion_folder(Store(store), uri)

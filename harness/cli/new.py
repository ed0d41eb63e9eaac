"""The commands `new` and `schema`."""

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The study's name.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="PATH", help="A folder with train/CLASS/*, a table, or an .npz file.", readable=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the study file goes.", readable=False)
    ] = Path("studies"),
) -> None:
    """Write a first study file for a folder or a table of images, or an .npz file."""
    from harness.cli.new_study import write_study

    written = write_study(name, data, out / f"{name}.yaml")
    for note in written.notes:
        print(note)
    print(f"{written.path}: check it, then: harness plan {written.path}")


def schema() -> None:
    """Print the JSON Schema of the study file, for editors."""
    import json

    from harness.models.names import HEADS
    from harness.study.schema import study_schema

    print(json.dumps(study_schema(HEADS), indent=1))

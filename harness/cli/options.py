"""The arguments and options that commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.completion import complete_override

if TYPE_CHECKING:
    from harness.store import Store

# readable=False: what may not be read is refused in one line where it is read, and not in a box here
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file.", show_default=False, readable=False)]
DataPath = Annotated[str | None, typer.Option("--data", metavar="PATH", help="Image folder, instead of data.path.")]
StorePath = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="Where everything produced is kept.", readable=False)
]
TrackingUri = Annotated[
    str | None, typer.Option("--tracking-uri", metavar="URL", help="An MLflow server that the runs go to.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Another value for a field, e.g. base.epochs=1.",
        autocompletion=complete_override,
    ),
]
DeviceName = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
ExecutorName = Annotated[str, typer.Option("--executor", metavar="NAME", help="auto, inline, process or ray.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, max=4096, help="At most so many fits at a time.")]
JobsPerDevice = Annotated[int, typer.Option("--jobs-per-device", min=1, max=64, help="Fits that share a GPU.")]
Threads = Annotated[int, typer.Option("--threads", min=1, max=1024, help="CPU threads of a fit; they decide its bits.")]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="Of a Ray cluster: auto or ray://HOST:PORT."),
]
SharedStore = Annotated[bool, typer.Option("--shared-store", help="Ray's nodes see the store under the same path.")]
CompileMode = Annotated[
    Literal["auto", "on", "off"],
    typer.Option("--compile", help="torch.compile whole networks; auto: long fits on CUDA."),
]
StackMode = Annotated[
    Literal["auto", "on", "off"],
    typer.Option("--stack", help="Fit the heads of a frozen backbone in one loop; auto: on CUDA."),
]
MixedVersions = Annotated[
    bool, typer.Option("--mixed-versions", help="Allow fits by different versions of torch, timm, ...: marked.")
]
MLRUNS = Path("mlruns")


def open_store(path: Path, tracking_uri: str | None = None, mixed_versions: bool = False) -> "Store":
    """The store of a command that writes to it. Raises HarnessError where that may not be."""
    from harness.store import Store

    store = Store(path, tracking_uri, mixed_versions)
    store.require_open()
    return store

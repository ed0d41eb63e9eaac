"""The arguments and options that commands share."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.completion import complete_override
from harness.errors import StudyError

if TYPE_CHECKING:
    from harness.data.inputs import Workspace
    from harness.store import Store
    from harness.study import Study

# readable=False: a file that may not be read gets the one-line error of the harness instead of typer's box
StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY", help="The study file, or the name of one that comes with the harness.", show_default=False,
        readable=False,
    ),
]  # fmt: skip
StudyOrName = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY", help="The study file, or its name or id in the store.", show_default=False, readable=False
    ),
]
DataPath = Annotated[str | None, typer.Option("--data", metavar="PATH", help="The images, instead of data.path.")]
StoreFolder = Annotated[Path, typer.Option("--store", metavar="DIR", help="The folder of all results.", readable=False)]
TrackingUri = Annotated[
    str | None, typer.Option("--tracking-uri", metavar="URL", help="An MLflow server that gets the runs.")
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
DeviceName = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
ExecutorName = Annotated[str, typer.Option("--executor", metavar="NAME", help="auto, inline, process or ray.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, max=4096, help="Maximum number of parallel fits.")]
JobsPerDevice = Annotated[int, typer.Option("--jobs-per-device", min=1, max=64, help="Fits that share a GPU.")]
Threads = Annotated[
    int, typer.Option("--threads", min=1, max=1024, help="CPU threads of a fit; they affect its last bits.")
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="Of a Ray cluster: auto or ray://HOST:PORT."),
]
SharedStore = Annotated[bool, typer.Option("--shared-store", help="Ray's nodes see the store under the same path.")]
CompileMode = Annotated[
    Literal["auto", "on", "off"],
    typer.Option("--compile", help="torch.compile whole networks; auto: very long fits on CUDA."),
]
CaptureMode = Annotated[
    Literal["auto", "off"],
    typer.Option("--capture", help="Whole steps as CUDA graphs, which changes no number; auto: on CUDA."),
]
FuseMode = Annotated[
    Literal["auto", "off"],
    typer.Option("--fuse", help="Batch norms by kernels of the harness; auto: on CUDA in bf16."),
]
StackMode = Annotated[
    Literal["auto", "on", "off"],
    typer.Option("--stack", help="Train the heads on a frozen backbone together; auto: on CUDA."),
]
MixedVersions = Annotated[
    bool, typer.Option("--mixed-versions", help="Allow fits by different versions of torch, timm, ...: marked.")
]
DEFAULT_STORE = Path("mlruns")
STUDY_SUFFIXES = (".yaml", ".yml")


def read_study(study_file: Path, data: str | None, overrides: list[str] | None) -> "Study":
    """Load the study with the options of the command line."""
    from harness.study import load_study

    return load_study(study_file, overrides or [], data)


def named_values(option: str, given: Sequence[str], form: str) -> dict[str, str]:
    """The values of an option that is given as NAME=VALUE, by their names. form: what is expected, for the error."""
    found = {}
    for words in given:
        name, separator, value = words.partition("=")
        if not separator or not name or not value:
            raise StudyError(f"{option} {words}: expected {form}")
        found[name] = value
    return found


def find_workspace(
    study: Path, data: str | None, overrides: list[str] | None, store: "Store", for_audit: bool = False
) -> "Workspace":
    """The study in this store that a command reads. study: its file, or its name or id in the store.

    Else the name of a study that comes with the harness; with options for a study file it is that file in any case.
    """
    from harness.data.record import records
    from harness.prepare import named_workspace, stored_workspace
    from harness.study.shipped import study_path

    is_shipped = study_path(study) != study and (data is not None or overrides or not records(store, str(study)))
    if study.suffix in STUDY_SUFFIXES or study.exists() or is_shipped:
        return stored_workspace(read_study(study, data, overrides), store, partial(print, file=sys.stderr), for_audit)
    if data is not None or overrides:
        raise StudyError(f"{study}: no such study file; --data and --set go with a study file")
    return named_workspace(str(study), store)


def open_store(folder: Path, tracking_uri: str | None = None, mixed_versions: bool = False) -> "Store":
    """Open the store for a command that writes to it. Raises HarnessError where that is not permitted.

    Commands that only read a store take `Store` itself.
    """
    from harness.store import Store

    store = Store(folder, tracking_uri, mixed_versions)
    store.require_open()
    return store

"""The arguments and options that commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file.", show_default=False)]
DataPath = Annotated[str | None, typer.Option("--data", metavar="PATH", help="Image folder, instead of data.path.")]
StorePath = Annotated[Path, typer.Option("--store", metavar="DIR", help="Where everything produced is kept.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a field, e.g. base.epochs=1.")
]
DeviceName = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
ExecutorName = Annotated[str, typer.Option("--executor", metavar="NAME", help="auto, inline or process.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, max=4096, help="At most so many fits at a time.")]
JobsPerDevice = Annotated[int, typer.Option("--jobs-per-device", min=1, max=64, help="Fits that share a GPU.")]
Threads = Annotated[int, typer.Option("--threads", min=1, max=1024, help="CPU threads of a fit; they decide its bits.")]
CompileMode = Annotated[
    Literal["auto", "on", "off"],
    typer.Option("--compile", help="torch.compile whole networks; auto: long fits on CUDA."),
]
MLRUNS = Path("mlruns")

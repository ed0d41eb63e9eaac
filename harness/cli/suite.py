"""The command `suite`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    DEFAULT_STORE,
    DeviceName,
    ExecutorName,
    MixedVersions,
    Overrides,
    StoreFolder,
    Threads,
    Workers,
    named_values,
    open_store,
)  # fmt: skip

if TYPE_CHECKING:
    from harness.report.across.suite_page import SuitePage
    from harness.study.suite_file import Suite

DATA = "NAME=PATH, the name of a data set and where its images are"


def suite(
    suite_file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The suite file, or the name of one that comes with the harness.", readable=False
        ),
    ],
    store_folder: StoreFolder = DEFAULT_STORE,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME,...", help="These data sets, not all.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="NAME=PATH", help="Where the images of a data set are.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be done. Trains nothing.")] = False,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="CSV", help="Earlier rows, shown beside and never ranked.", readable=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the page to this folder.", readable=False)
    ] = None,
    overrides: Overrides = None,
    device: DeviceName = "auto",
    executor: ExecutorName = "auto",
    workers: Workers = None,
    threads: Threads = 1,
    mixed_versions: MixedVersions = False,
) -> None:
    """Run one grid on many data sets, and rank its models over them."""
    from harness.execution.compute import Compute
    from harness.execution.progress import Reporter
    from harness.study.suite_file import load_suite

    loaded = load_suite(suite_file, overrides or [], named_values("--data", data or [], DATA))
    if only:
        loaded = loaded.only([name for names in only for name in names.split(",") if name])
    if plan:
        _plan(loaded, store_folder)
        return
    store = open_store(store_folder, mixed_versions=mixed_versions)
    from harness.report.across.across_page import across_place
    from harness.report.across.suite_page import SuitePage, write_suite
    from harness.report.across.suite_rows import read_reference

    earlier = read_reference(reference) if reference else None
    place = across_place(store, loaded.name, out)
    from harness.suite import run_suite

    with Reporter() as reporter:
        done = run_suite(loaded, store, device, reporter, Compute(executor, workers, threads=threads))
    command = _command(suite_file, only or [], overrides or [])
    page = SuitePage(loaded, done.sides, done.ranked, done.failed, command, earlier)
    _show(page)
    print(f"page: {write_suite(page, place)}")
    if done.failed:
        raise typer.Exit(1)


def _command(file: Path, only: Sequence[str], overrides: Sequence[str]) -> str:
    """The command as another one would type it: without folders of this machine."""
    options = [*(f"--only {name}" for name in only), *(f"--set {words}" for words in overrides)]
    return " ".join(["harness suite", file.name, *options])


def _show(page: "SuitePage") -> None:
    """Print the ranked models, and what failed."""
    from harness.cli.show.across import show_suite
    from harness.cli.show.console import new_console

    show_suite(new_console(), page)


def _plan(loaded: "Suite", store_folder: Path) -> None:
    """Print the plan of each data set; exit code 2 where one cannot be run."""
    from harness.store import Store
    from harness.suite import plan_suite, require_images

    store = Store(store_folder)
    require_images(loaded, store)
    from harness.cli.show.across import show_suite_plan
    from harness.cli.show.console import new_console

    planned = plan_suite(loaded, store)
    show_suite_plan(new_console(), planned)
    if any(isinstance(found, str) for _, found in planned):
        raise typer.Exit(2)
